//! Fields that a JSON body has twice. Whoever reads the body takes the last one, and is told of it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::object::Json;
use crate::strict::StrictErrors;

/// Finds each field that comes a second time in a body that was read as `read`; none in what is no JSON.
pub(crate) fn find(bytes: &[u8], read: &Json, found: &mut StrictErrors) {
    // To count is cheap, and nearly always all there is to do.
    let mut written = 0_usize;
    let counted = (Count(&mut written)).deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    if counted.is_err() || written == fields(read) {
        return;
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // It is JSON to the end, and so can be walked.
    drop(Walk { path: &mut String::new(), found }.deserialize(&mut json));
}

/// How many fields there are, at whatever depth.
fn fields(json: &Json) -> usize {
    json.values().fold(json.len(), |sum, value| sum.saturating_add(fields_of(value)))
}

fn fields_of(value: &Value) -> usize {
    match value {
        Value::Object(json) => fields(json),
        Value::Array(items) => items.iter().fold(0, |sum, item| sum.saturating_add(fields_of(item))),
        _ => 0,
    }
}

/// Counts the fields of a text.
struct Count<'a>(&'a mut usize);

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            *self.0 = self.0.saturating_add(1);
            map.next_value_seed(Count(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Count(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

struct Walk<'a> {
    path: &'a mut String,
    found: &'a mut StrictErrors,
}

impl Walk<'_> {
    /// What is done one step further down.
    fn below<R>(&mut self, step: &str, walk: impl FnOnce(Walk<'_>) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(step);
        let result = walk(Walk { path: self.path, found: self.found });
        self.path.truncate(length);
        result
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // With each, how often it came.
        let mut names: HashMap<String, usize> = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let step = if self.path.is_empty() { name.clone() } else { format!(".{name}") };
            let count = names.entry(name).or_default();
            *count = count.saturating_add(1);
            let is_second = *count == 2;
            self.below(&step, |walk| {
                if is_second {
                    walk.found.add(format_args!("duplicate field {:?}", walk.path));
                }
                map.next_value_seed(walk)
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while self.below(&format!("[{index}]"), |walk| items.next_element_seed(walk))?.is_some() {
            index = index.saturating_add(1);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::strict::StrictErrors;

    fn doubled(text: &[u8]) -> Vec<String> {
        let mut found = StrictErrors::new(true);
        super::find(text, &serde_json::from_slice(text).unwrap_or_default(), &mut found);
        found.into_lines()
    }

    #[test]
    fn a_field_that_comes_again_is_named_by_its_path() {
        let body =
            br#"{ "a": 1, "b": [{ "c": null }, { "c": 1.5, "c": "x", "d": true }], "a": -2, "e": {} }"#;
        assert_eq!(doubled(body), [r#"duplicate field "b[1].c""#, r#"duplicate field "a""#]);
        assert!(doubled(b"a: 1\na: 2").is_empty());
        let text =
            br#"{ "a": [{ "b": [[]], "c": {} }, null, 1, -1, 1.5, true, "x"], "d": { "e": { "f": "g" } } }"#;
        assert!(doubled(text).is_empty());
    }
}
