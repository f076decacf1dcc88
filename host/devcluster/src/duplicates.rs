//! Fields that a JSON body has twice. Whoever reads the body takes the last one, and is told of it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::object::Json;

/// A line for each field that comes a second time in a body that was read as `read`; none for what is no JSON.
pub(crate) fn of(bytes: &[u8], read: &Json) -> Vec<String> {
    let mut found = Vec::new();
    // To count is cheap, and nearly always all there is to do.
    if colons(bytes) == fields(read) {
        return found;
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    match (Walk { path: &mut String::new(), found: &mut found }).deserialize(&mut json) {
        Ok(()) => found,
        Err(_) => Vec::new(),
    }
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

/// How many colons there are outside of texts: in JSON, one for each field.
fn colons(bytes: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b':' if !is_text => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

struct Walk<'a> {
    path: &'a mut String,
    found: &'a mut Vec<String>,
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
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let step = if self.path.is_empty() { name.clone() } else { format!(".{name}") };
            let is_new = names.insert(name);
            self.below(&step, |walk| {
                if !is_new {
                    walk.found.push(format!("duplicate field {:?}", walk.path));
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
    #[test]
    fn a_field_that_comes_again_is_named_by_its_path() {
        let body =
            br#"{ "a": 1, "b": [{ "c": null }, { "c": 1.5, "c": "x", "d": true }], "a": -2, "e": {} }"#;
        let read = serde_json::from_slice(body).unwrap();
        assert_eq!(super::of(body, &read), [r#"duplicate field "b[1].c""#, r#"duplicate field "a""#]);
        assert!(super::of(b"a: 1\na: 2", &read).is_empty());
        let text =
            br#"{ "a": [{ "b": [[]], "c": {} }, null, 1, -1, 1.5, true, "x"], "d": { "e": { "f": "g" } } }"#;
        assert!(super::of(text, &serde_json::from_slice(text).unwrap()).is_empty());
    }

    #[test]
    fn a_colon_within_a_text_is_no_field() {
        for text in [
            r#"{ "a:b": "c:d" }"#,
            r#"{ "a": "\":\"", "b": "\\", "c": "\\\":" }"#,
            r#"{ "\u003a": ":", "b\"": ["::", "\\"] }"#,
        ] {
            let read = serde_json::from_str(text).unwrap();
            assert_eq!(super::colons(text.as_bytes()), super::fields(&read), "{text}");
        }
        let doubled = r#"{ "a:": ":", "a:": "\\" }"#;
        let read = serde_json::from_str(doubled).unwrap();
        assert_eq!(super::of(doubled.as_bytes(), &read), [r#"duplicate field "a:""#]);
    }
}
