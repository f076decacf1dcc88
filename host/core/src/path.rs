//! Field paths: where in an object a value is, as indexes, mappings and projections name it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::Value;
use crate::printable::excerpt;

/// `.spec.nodeName`, `.spec.containers[*].image`, `.metadata.labels['app.kubernetes.io/name']`.
///
/// The leading dot may be left out. `[*]` stands for every item of an array.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Field(String),
    Each,
}

/// The text is no field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field path {path:?}, at byte {at}: {problem}")]
pub struct BadPath {
    path: String,
    at: usize,
    problem: &'static str,
}

/// Nothing nests deeper in any object that Kubernetes takes.
const MAX_STEPS: usize = 64;

impl FromStr for FieldPath {
    type Err = BadPath;

    fn from_str(path: &str) -> Result<Self, BadPath> {
        let bad = |at, problem| BadPath { path: excerpt(path), at, problem };
        let mut steps = Vec::new();
        let mut rest = path;
        while !rest.is_empty() {
            let at = path.len() - rest.len();
            if let Some(after) = rest.strip_prefix("[*]") {
                steps.push(Step::Each);
                rest = after;
            } else if let Some(quoted) = rest.strip_prefix("['") {
                let Some((field, after)) = quoted.split_once("']") else {
                    return Err(bad(at, "the bracket is not closed: write ['name']"));
                };
                steps.push(Step::Field(field.to_owned()));
                rest = after;
            } else if rest.starts_with('[') {
                return Err(bad(at, "only [*] and ['name'] may be in brackets"));
            } else {
                let name = match rest.strip_prefix('.') {
                    Some(name) => name,
                    None if steps.is_empty() => rest,
                    None => return Err(bad(at, "a dot or a bracket is missing")),
                };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (field, after) = name.split_at_checked(end).unwrap_or((name, ""));
                if field.is_empty() {
                    return Err(bad(at, "a field's name is missing"));
                }
                if let Some(odd) = field.find(|c: char| !c.is_ascii_alphanumeric() && !"_-$".contains(c)) {
                    return Err(bad(
                        path.len() - name.len() + odd,
                        "write a name with such a character as ['name']",
                    ));
                }
                steps.push(Step::Field(field.to_owned()));
                rest = after;
            }
            if steps.len() > MAX_STEPS {
                return Err(bad(at, "more than 64 steps"));
            }
        }
        if steps.is_empty() {
            return Err(bad(0, "it is empty"));
        }
        Ok(Self { steps })
    }
}

impl FieldPath {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The label whose value is at this path, if it is a label's.
    pub fn as_label(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Field(metadata), Step::Field(labels), Step::Field(label)]
                if metadata == "metadata" && labels == "labels" =>
            {
                Some(label)
            }
            _ => None,
        }
    }

    /// The path of a label's value.
    pub fn of_label(label: &str) -> Self {
        Self { steps: ["metadata", "labels", label].map(|name| Step::Field(name.to_owned())).into() }
    }

    /// Calls `found` with each value at the path, in order.
    pub fn visit<'a>(&self, object: Value<'a>, found: &mut dyn FnMut(Value<'a>)) {
        walk(&self.steps, object, found);
    }

    /// Whether what is at the path differs between two states of an object, of which either may be missing.
    /// Places are compared one by one, so an item that moves within an array makes a difference; `null` and
    /// nothing are not the same.
    pub fn differs(&self, old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
        differs(&self.steps, old, new)
    }

    /// The scalar values at the path as text, each once: what an index files the object under.
    /// Strings stand for themselves, numbers and booleans for their JSON text. Null, arrays and
    /// objects are no values. The empty string is one.
    pub fn texts<'a>(&self, object: Value<'a>) -> Vec<Cow<'a, str>> {
        let mut texts: Vec<Cow<'a, str>> = Vec::new();
        let mut seen = HashSet::new();
        self.visit(object, &mut |value| {
            let text = match value.as_str() {
                Some(text) => Cow::Borrowed(text),
                None if value.is_null() || value.is_array() || value.is_object() => return,
                None => Cow::Owned(value.to_json()),
            };
            // Whoever writes the object says how many there are: to look through all for each would take
            // minutes for the largest.
            if seen.insert(text.clone()) {
                texts.push(text);
            }
        });
        texts
    }
}

fn walk<'a>(steps: &[Step], value: Value<'a>, found: &mut dyn FnMut(Value<'a>)) {
    match steps.split_first() {
        None => found(value),
        Some((Step::Field(name), rest)) => {
            if let Some(value) = value.get(name) {
                walk(rest, value, found);
            }
        }
        Some((Step::Each, rest)) => value.items().for_each(|item| walk(rest, item, found)),
    }
}

fn differs(steps: &[Step], old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
    if old.is_none() && new.is_none() {
        return false;
    }
    match steps.split_first() {
        None => old != new,
        Some((Step::Field(name), rest)) => {
            differs(rest, old.and_then(|value| value.get(name)), new.and_then(|value| value.get(name)))
        }
        Some((Step::Each, rest)) => {
            let (mut old, mut new) = (old.map(Value::items), new.map(Value::items));
            loop {
                match (old.as_mut().and_then(Iterator::next), new.as_mut().and_then(Iterator::next)) {
                    (None, None) => return false,
                    (old, new) if differs(rest, old, new) => return true,
                    _ => {}
                }
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each => f.write_str("[*]"),
            Self::Field(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b)) => {
                write!(f, ".{name}")
            }
            Self::Field(name) => write!(f, "['{name}']"),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "{step}"))
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Object;

    fn texts(path: &str, object: &serde_json::Value) -> Vec<String> {
        let object = Object::from_value(object).unwrap();
        path.parse::<FieldPath>().unwrap().texts(object.value()).into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn hostile_an_array_of_many_values_is_indexed_in_no_time() {
        let items: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
        let object = Object::from_value(&json!({"items": items})).unwrap();
        let begun = std::time::Instant::now();
        let texts = ".items[*]".parse::<FieldPath>().unwrap().texts(object.value()).len();
        assert_eq!(texts, 100_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_path_finds_nested_fields_items_and_odd_names() {
        let pod = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"nodeName": "n1", "hostNetwork": true,
                     "containers": [{"image": "a", "ports": [{"p": 1}, {"p": 2}]}, {"image": "a"}, {"image": "b"}]}
        });
        assert_eq!(texts(".spec.nodeName", &pod), ["n1"]);
        assert_eq!(texts("spec.nodeName", &pod), ["n1"]);
        assert_eq!(texts(".spec.hostNetwork", &pod), ["true"]);
        assert_eq!(texts(".spec.containers[*].image", &pod), ["a", "b"]);
        assert_eq!(texts(".spec.containers[*].ports[*].p", &pod), ["1", "2"]);
        assert_eq!(texts(".metadata.labels['app.kubernetes.io/name']", &pod), ["web"]);
        assert!(texts(".spec.containers", &pod).is_empty());
        assert!(texts(".spec.nodeName.deeper", &pod).is_empty());
    }

    #[test]
    fn two_states_are_compared_place_by_place() {
        let differs = |path: &str, old: serde_json::Value, new: serde_json::Value| {
            let (old, new) = (Object::from_value(&old).unwrap(), Object::from_value(&new).unwrap());
            let path = path.parse::<FieldPath>().unwrap();
            assert!(
                !path.differs(Some(old.value()), Some(old.value())),
                "{path}: {old:?} is equal to itself"
            );
            path.differs(Some(old.value()), Some(new.value()))
        };
        assert!(differs(".a.b", json!({"a": {"b": 1}}), json!({"a": {"b": 2}})));
        assert!(!differs(".a.b", json!({"a": {"b": 1, "c": 1}}), json!({"a": {"b": 1, "c": 2}})));
        assert!(differs(".a", json!({"a": {"b": [1]}}), json!({"a": {"b": [1, 2]}})), "all that is below");
        assert!(differs(".a", json!({"a": 1}), json!({"a": "1"})), "by value, not by text");
        assert!(
            differs(".a", json!({"a": null}), json!({"b": 1})) && differs(".a", json!({}), json!({"a": 0}))
        );
        assert!(!differs(".a.b", json!({"a": {}}), json!({})), "nothing is there before and after");
        let items =
            |images: &[&str]| json!({"c": images.iter().map(|i| json!({"i": i})).collect::<Vec<_>>()});
        assert!(differs(".c[*].i", items(&["a", "b"]), items(&["b", "a"])));
        assert!(differs(".c[*].i", items(&["a"]), items(&["a", "a"])));
        assert!(differs(".c[*].i", json!({"c": [{"i": 1}, {}]}), json!({"c": [{}, {"i": 1}]})));
        assert!(!differs(".c[*].i", json!({"c": [{"i": 1}]}), json!({"c": [{"i": 1}, {"j": 1}]})));
        assert!(
            ".a".parse::<FieldPath>()
                .unwrap()
                .differs(None, Some(Object::from_value(&json!({"a": 1})).unwrap().value()))
        );
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_position() {
        for (path, at) in
            [("", 0), (".", 0), (".a..b", 2), (".a[0]", 2), (".a['b", 2), (".a[*]b", 5), (".a b", 2)]
        {
            let error = path.parse::<FieldPath>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }

    #[test]
    fn a_path_prints_as_it_is_written() {
        for path in [".spec.containers[*].image", ".metadata.labels['a.b/c']"] {
            assert_eq!(path.parse::<FieldPath>().unwrap().to_string(), path);
        }
    }
}
