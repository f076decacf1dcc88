//! Fields that a body has twice. Whoever reads the body takes the last one, and is told of it: by path in JSON, by line
//! in YAML, as the decoders of the two tell it.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::object::Json;
use crate::strict::StrictErrors;

/// Finds each field that comes a second time in JSON of which so many fields were read; none in what is no JSON.
pub(crate) fn find(bytes: &[u8], read: usize, found: &mut StrictErrors) {
    // To count is cheap, and nearly always all there is to do.
    if colons(bytes) == read {
        return;
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk::<String>::new(&mut String::new(), found).deserialize(&mut json);
    if walked.is_err() {
        found.clear();
    }
}

/// Finds each field that comes a second time in YAML that could be read.
pub(crate) fn find_in_yaml(text: &str, found: &mut StrictErrors) {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    let walked = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        Walk::<Spanned<String>>::new(&mut String::new(), found).deserialize(yaml)
    });
    // It has been read before: what was found up to something that this cannot walk over is so all the same.
    drop(walked);
}

/// The name of a field, with what its decoder knows of where it is.
trait Name: DeserializeOwned {
    fn text(&self) -> &str;

    /// Tells that the field came before, which is at this path.
    fn tell(&self, path: &str, found: &mut StrictErrors);
}

impl Name for String {
    fn text(&self) -> &str {
        self
    }

    fn tell(&self, path: &str, found: &mut StrictErrors) {
        found.add(format_args!("duplicate field {path:?}"));
    }
}

impl Name for Spanned<String> {
    fn text(&self) -> &str {
        &self.value
    }

    fn tell(&self, _: &str, found: &mut StrictErrors) {
        let line = self.referenced.line();
        found.add(format_args!("line {line}: key {:?} already set in map", self.value));
    }
}

/// How many fields an object has, at whatever depth.
pub(crate) fn fields_of(json: &Json) -> usize {
    json.values().fold(json.len(), |sum, value| sum.saturating_add(fields(value)))
}

/// How many fields a value has.
pub(crate) fn fields(value: &Value) -> usize {
    match value {
        Value::Object(json) => fields_of(json),
        Value::Array(items) => items.iter().fold(0, |sum, item| sum.saturating_add(fields(item))),
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

struct Walk<'a, N> {
    path: &'a mut String,
    found: &'a mut StrictErrors,
    names: PhantomData<N>,
}

impl<'a, N> Walk<'a, N> {
    fn new(path: &'a mut String, found: &'a mut StrictErrors) -> Self {
        Self { path, found, names: PhantomData }
    }

    /// What is done one step further down.
    fn below<R>(&mut self, step: &str, walk: impl FnOnce(Walk<'_, N>) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(step);
        let result = walk(Walk::new(self.path, self.found));
        self.path.truncate(length);
        result
    }
}

impl<'de, N: Name> DeserializeSeed<'de> for Walk<'_, N> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, N: Name> Visitor<'de> for Walk<'_, N> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // With each, how often it came.
        let mut names: HashMap<String, usize> = HashMap::new();
        while let Some(name) = map.next_key::<N>()? {
            let text = name.text();
            let step = if self.path.is_empty() { text.to_owned() } else { format!(".{text}") };
            let count = names.entry(text.to_owned()).or_default();
            *count = count.saturating_add(1);
            let is_second = *count == 2;
            self.below(&step, |walk| {
                if is_second {
                    name.tell(walk.path, walk.found);
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

    fn visit_none<E>(self) -> Result<(), E> {
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

    #[test]
    fn yaml_tells_of_keys_by_their_lines() {
        let text = "a: 1\nb:\n- c: ~\n- c: 1.5\n  c: [true]\na: x\n";
        let mut found = StrictErrors::new(true);
        super::find_in_yaml(text, &mut found);
        let expected = ["line 5: key \"c\" already set in map", "line 6: key \"a\" already set in map"];
        assert_eq!(found.into_lines(), expected);
    }

    fn doubled(text: &[u8]) -> Vec<String> {
        let mut found = StrictErrors::new(true);
        let read: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        super::find(text, super::fields(&read), &mut found);
        found.into_lines()
    }

    #[test]
    fn a_field_that_comes_again_is_named_by_its_path() {
        let body =
            br#"{ "a": 1, "b": [{ "c": null }, { "c": 1.5, "c": "x", "d": true }], "a": -2, "e": {} }"#;
        assert_eq!(doubled(body), [r#"duplicate field "b[1].c""#, r#"duplicate field "a""#]);
        assert!(doubled(b"a: 1\na: 2").is_empty());
        assert!(doubled(br#"{ "a": 1, "a": 2, b }"#).is_empty());
        let text =
            br#"{ "a": [{ "b": [[]], "c": {} }, null, 1, -1, 1.5, true, "x"], "d": { "e": { "f": "g" } } }"#;
        assert!(doubled(text).is_empty());
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
        assert_eq!(doubled(br#"{ "a:": ":", "a:": "\\" }"#), [r#"duplicate field "a:""#]);
    }
}
