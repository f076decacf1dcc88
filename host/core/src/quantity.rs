//! Numbers with units, as people write them: bytes as Kubernetes quantities, times as durations.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, usize); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// How bytes are written: a number, or a text with `Ki`, `Mi`, `Gi`, `k`, `M` or `G`, after
/// `k8s.io/apimachinery/pkg/api/resource`. For serde's `with`.
pub(crate) struct Bytes;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

/// Bytes of a quantity; none if it is no such text, or too large.
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    number.parse::<usize>().ok()?.checked_mul(unit)
}

impl Bytes {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let bytes = match Written::deserialize(deserializer)? {
            Written::Number(number) => usize::try_from(number).map_err(|_| number.to_string()),
            Written::Text(text) => parse_bytes(&text).ok_or(text),
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

/// How times are written: `30s`, `1m30s`, `200ms`. For serde's `with`.
pub(crate) struct Time;

impl Time {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is no duration ({error}): write 30s, or 200ms"))
        })
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

#[cfg(feature = "schemars")]
mod schemas {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    impl JsonSchema for super::Bytes {
        fn schema_name() -> Cow<'static, str> {
            "Bytes".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"x-kubernetes-int-or-string": true})
        }
    }

    impl JsonSchema for super::Time {
        fn schema_name() -> Cow<'static, str> {
            "Time".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string"})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes as parse;

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
