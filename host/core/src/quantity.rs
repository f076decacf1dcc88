//! Numbers with units, as people write them: bytes as Kubernetes quantities, times as durations.

/// Bytes: a number, or a text with `Ki`, `Mi`, `Gi`, `k`, `M` or `G`, after
/// `k8s.io/apimachinery/pkg/api/resource`.
pub(crate) mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    const UNITS: [(&str, usize); 6] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];

    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }

    /// Bytes of a quantity; none if it is no such text, or too large.
    pub fn parse(text: &str) -> Option<usize> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1));
        number.parse::<usize>().ok()?.checked_mul(unit)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        use serde::de::Error as _;
        let bytes = match Written::deserialize(deserializer)? {
            Written::Number(number) => usize::try_from(number).map_err(|_| number.to_string()),
            Written::Text(text) => parse(&text).ok_or(text),
        };
        bytes.map_err(|text| D::Error::custom(format!("{text:?} are no bytes: write 64Mi, or 67108864")))
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        let binary = UNITS.iter().take(3).rev();
        match binary.into_iter().find(|(_, unit)| *bytes > 0 && bytes.is_multiple_of(*unit)) {
            Some((suffix, unit)) => serializer.serialize_str(&format!("{}{suffix}", bytes / unit)),
            None => serializer.serialize_str(&bytes.to_string()),
        }
    }
}

/// `30s`, `1m30s`, `200ms`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is no duration ({error}): write 30s, or 200ms"))
        })
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::parse;

    #[test]
    fn bytes_have_the_units_of_kubernetes() {
        assert_eq!(parse("64Mi"), Some(64 << 20));
        assert_eq!(parse("1G"), Some(1_000_000_000));
        assert_eq!(parse("17"), Some(17));
        for bad in ["", "Mi", "1.5Mi", "-1", "1 Mi", "1MB", "99999999999999999999", "18446744073709551615Ki"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
