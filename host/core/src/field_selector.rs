//! Field selectors, in the grammar of `k8s.io/apimachinery/pkg/fields`.

use std::fmt;
use std::str::FromStr;

use crate::printable::excerpt;
use crate::selector::SELECTOR_BYTES;
use crate::{FieldPath, Key, Value};

/// `spec.nodeName=n1,status.phase!=Failed`: all requirements must hold. The empty one selects all.
///
/// In a value, `\`, `,` and `=` are written with a backslash before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

/// One of a field selector's requirements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// Where.
    pub path: FieldPath,
    /// What.
    pub value: String,
    /// Whether it must be that, or must not.
    pub equal: bool,
}

impl FieldRequirement {
    /// Whether an object satisfies it: of several values at the path, one must be (`=`), or none may
    /// be (`!=`), that value.
    pub fn holds(&self, object: Value<'_>) -> bool {
        let texts = self.path.texts(object);
        let found =
            texts.iter().any(|text| *text == self.value) || (texts.is_empty() && self.is_of_absent_fields());
        found == self.equal
    }

    /// Whether the value is one that an absent field has, for the API server: what Go prints of a zero.
    pub fn is_of_absent_fields(&self) -> bool {
        matches!(self.value.as_str(), "" | "false" | "0")
    }
}

/// The text is no field selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field selector {selector:?}, at byte {at}: {problem}")]
pub struct BadFieldSelector {
    selector: String,
    at: usize,
    problem: String,
}

impl FromStr for FieldSelector {
    type Err = BadFieldSelector;

    fn from_str(text: &str) -> Result<Self, BadFieldSelector> {
        if text.len() > SELECTOR_BYTES {
            let problem = format!("it has {} bytes, at most {SELECTOR_BYTES} may be", text.len());
            return Err(BadFieldSelector { selector: excerpt(text), at: SELECTOR_BYTES, problem });
        }
        let mut requirements = Vec::new();
        let mut at = 0;
        // An empty requirement is none, as in Kubernetes: `a=b,`.
        for part in split(text) {
            if !part.trim().is_empty() {
                let bad = |(offset, problem)| BadFieldSelector {
                    selector: excerpt(text),
                    at: at + offset,
                    problem,
                };
                requirements.push(requirement(part).map_err(bad)?);
            }
            at += part.len() + 1;
        }
        Ok(Self { requirements })
    }
}

/// At every comma that no backslash is before.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

fn requirement(part: &str) -> Result<FieldRequirement, (usize, String)> {
    let Some(sign) = part.find(['=', '!']) else {
        return Err((0, "write path=value or path!=value".to_owned()));
    };
    let (path, rest) = part.split_at_checked(sign).unwrap_or((part, ""));
    let (equal, value) = if let Some(value) = rest.strip_prefix("==") {
        (true, value)
    } else if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix('=') {
        (true, value)
    } else {
        return Err((sign, "'=' is missing after '!'".to_owned()));
    };
    let value = unescape(value).map_err(|offset| {
        let problem = "write '\\', ',' and '=' in a value as '\\\\', '\\,' and '\\='";
        (part.len() - value.len() + offset, problem.to_owned())
    })?;
    let start = path.len() - path.trim_start().len();
    let path = path.trim().parse().map_err(|error: crate::path::BadPath| (start, error.to_string()))?;
    Ok(FieldRequirement { path, value, equal })
}

/// The value, or where it is wrong.
fn unescape(value: &str) -> Result<String, usize> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | ',' | '='))) => plain.push(c),
                _ => return Err(at),
            },
            '=' => return Err(at),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

/// Where an object's name is.
fn is_of_metadata(path: &FieldPath, field: &str) -> bool {
    use crate::path::Step;
    matches!(path.steps(), [Step::Field(metadata), Step::Field(name)] if metadata == "metadata" && name == field)
}

impl FieldSelector {
    /// The name that an object must have to be selected, if there is one.
    pub fn required_name(&self) -> Option<&str> {
        let required = |r: &&FieldRequirement| r.equal && is_of_metadata(&r.path, "name");
        self.requirements.iter().find(required).map(|requirement| requirement.value.as_str())
    }

    /// Whether it may select an object of this key, as far as the key tells.
    pub fn may_have(&self, key: &Key) -> bool {
        self.requirements.iter().all(|FieldRequirement { path, value, equal }| {
            let text = if is_of_metadata(path, "name") {
                &key.name
            } else if is_of_metadata(path, "namespace") {
                &key.namespace
            } else {
                return true;
            };
            (text == value) == *equal
        })
    }
    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// All of which must hold.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether an object satisfies it.
    pub fn matches(&self, object: Value<'_>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(object))
    }

    /// Whether this one selects, as far as can be told without objects, all that the other selects.
    pub fn covers(&self, other: &Self) -> bool {
        self.requirements.iter().all(|requirement| other.requirements.contains(requirement))
    }

    /// The narrowest that can be told to select all that either selects.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let common = |requirement: &&FieldRequirement| other.requirements.contains(requirement);
        Self { requirements: self.requirements.iter().filter(common).cloned().collect() }
    }
}

impl fmt::Display for FieldSelector {
    /// As the API server takes it: paths without the leading dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FieldRequirement { path, value, equal }) in self.requirements.iter().enumerate() {
            let path = path.to_string();
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            let (comma, sign) = (if i > 0 { "," } else { "" }, if *equal { "=" } else { "!=" });
            write!(f, "{comma}{}{sign}{value}", path.trim_start_matches('.'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Object;

    fn selects(selector: &str) -> bool {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1", "hostNetwork": true, "x": "a,b=c\\"}});
        let pod = Object::from_value(&pod).unwrap();
        selector.parse::<FieldSelector>().unwrap().matches(pod.value())
    }

    #[test]
    fn hostile_a_field_selector_has_a_bound() {
        let of = |bytes: usize| format!("a={}", "v".repeat(bytes - 2));
        assert!(of(SELECTOR_BYTES).parse::<FieldSelector>().is_ok());
        let error = of(SELECTOR_BYTES + 1).parse::<FieldSelector>().unwrap_err().to_string();
        assert!(error.len() < 500 && error.contains("16384"), "{error}");
    }

    #[test]
    fn a_field_is_or_is_not_a_value_and_one_that_is_absent_is_zero() {
        for (selector, expected) in [
            ("", true),
            ("spec.nodeName=n1", true),
            (".spec.nodeName==n1", true),
            ("spec.nodeName!=n1", false),
            ("spec.nodeName=n1,metadata.name=a", true),
            ("spec.nodeName=n1,metadata.name=b", false),
            ("spec.hostNetwork=true", true),
            ("spec.other=", true),
            ("spec.other!=", false),
            ("spec.other!=x", true),
            ("spec.unschedulable=false", true),
            ("spec.unschedulable!=true", true),
            ("status.successful=0,status.successful!=1", true),
            ("spec.hostNetwork=false", false),
            ("spec.nodeName=", false),
            (r"spec.x=a\,b\=c\\", true),
            ("spec.nodeName=n1,", true),
        ] {
            assert_eq!(selects(selector), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_position() {
        for (selector, at) in [
            ("spec", 0),
            ("a=b,spec", 4),
            ("a=b,c!d", 5),
            ("a=b=c", 3),
            (r"a=b\c", 3),
            ("a=b, .=c", 5),
            ("=a", 0),
        ] {
            let error = selector.parse::<FieldSelector>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }

    #[test]
    fn a_selector_prints_as_the_server_takes_it() {
        let selector = r"spec.nodeName=a\,b,status.phase!=Failed";
        assert_eq!(selector.parse::<FieldSelector>().unwrap().to_string(), selector);
    }

    #[test]
    fn fewer_requirements_cover_more_and_a_hull_has_the_common_ones() {
        let selector = |text: &str| text.parse::<FieldSelector>().unwrap();
        assert!(selector("").covers(&selector("a=b")) && !selector("a=b").covers(&selector("")));
        assert!(selector("a=b").covers(&selector("c=d,a=b")) && !selector("a=b").covers(&selector("a=c")));
        assert_eq!(selector("a=b,c=d").hull(&selector("c=d,e=f")), selector("c=d"));
    }
}
