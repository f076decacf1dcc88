//! Label selectors, in the full grammar of `k8s.io/apimachinery/pkg/labels`.

use std::fmt;

use crate::Value;

mod parse;

/// Bytes of a selector, with all of which each object is compared: megabytes would hold up the host.
pub(crate) const SELECTOR_BYTES: usize = 16 << 10;

/// `app=web,tier in (front,back),!canary`: all requirements must hold. The empty one selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Requirement {
    label: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Condition {
    /// Each once, in order: thousands of them are searched for each object.
    In(Vec<String>),
    /// Likewise. It holds for an object without the label, too.
    NotIn(Vec<String>),
    Exists,
    Absent,
    /// The label's value is an integer above this.
    Above(i64),
    /// The label's value is an integer below this.
    Below(i64),
}

/// The text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("label selector {selector:?}, at byte {at}: {problem}")]
pub struct BadSelector {
    selector: String,
    at: usize,
    problem: String,
}

impl LabelSelector {
    /// That selects everything.
    pub const fn all() -> Self {
        Self { requirements: Vec::new() }
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// How many requirements it has.
    pub fn len(&self) -> usize {
        self.requirements.len()
    }

    /// Whether this one selects, as far as can be told without objects, all that the other selects.
    pub fn covers(&self, other: &Self) -> bool {
        self.requirements.iter().all(|requirement| other.requirements.contains(requirement))
    }

    /// The narrowest that can be told to select all that either selects.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let common = |requirement: &&Requirement| other.requirements.contains(requirement);
        Self { requirements: self.requirements.iter().filter(common).cloned().collect() }
    }

    /// The labels that must have just one value, and that value.
    pub fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.requirements.iter().filter_map(|requirement| match &requirement.condition {
            Condition::In(values) => match values.as_slice() {
                [value] => Some((requirement.label.as_str(), value.as_str())),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether an object's labels satisfy it.
    pub fn matches(&self, object: Value<'_>) -> bool {
        if self.requirements.is_empty() {
            return true;
        }
        let labels = object.at(&["metadata", "labels"]);
        self.requirements.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.label)).and_then(Value::as_str);
            match (&requirement.condition, value) {
                (Condition::In(values), Some(value)) => has(values, value),
                (Condition::NotIn(values), Some(value)) => !has(values, value),
                (Condition::NotIn(_) | Condition::Absent, None) => true,
                (Condition::Exists, value) => value.is_some(),
                (Condition::Above(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v > *bound),
                (Condition::Below(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v < *bound),
                (Condition::Absent, Some(_)) | (_, None) => false,
            }
        })
    }
}

fn has(values: &[String], value: &str) -> bool {
    values.binary_search_by(|v| v.as_str().cmp(value)).is_ok()
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Requirement { label, condition }) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match condition {
                Condition::In(values) => match values.as_slice() {
                    [value] => write!(f, "{label}={value}")?,
                    values => write!(f, "{label} in ({})", values.join(","))?,
                },
                Condition::NotIn(values) => match values.as_slice() {
                    [value] => write!(f, "{label}!={value}")?,
                    values => write!(f, "{label} notin ({})", values.join(","))?,
                },
                Condition::Exists => f.write_str(label)?,
                Condition::Absent => write!(f, "!{label}")?,
                Condition::Above(bound) => write!(f, "{label}>{bound}")?,
                Condition::Below(bound) => write!(f, "{label}<{bound}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Object;

    fn selects(selector: &str, labels: serde_json::Value) -> bool {
        let object = Object::from_value(&json!({"metadata": {"labels": labels}})).unwrap();
        selector.parse::<LabelSelector>().unwrap().matches(object.value())
    }

    #[test]
    fn hostile_a_selector_has_a_bound_and_so_has_what_is_said_of_another() {
        let of = |bytes: usize| format!("a in ({})", "v,".repeat((bytes - 8) / 2));
        assert!(of(SELECTOR_BYTES).parse::<LabelSelector>().is_ok());
        for text in [of(SELECTOR_BYTES + 2), "/".repeat(10_000), format!("a>{}", "9".repeat(10_000))] {
            let error = text.parse::<LabelSelector>().unwrap_err().to_string();
            assert!(error.len() < 500, "{error}");
        }
    }

    #[test]
    fn each_operator_selects_what_kubernetes_says() {
        let web = || json!({"app": "web", "tier": "front", "n": "7"});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app=db", false),
            ("app!=db", true),
            ("app!=web", false),
            ("other!=x", true),
            ("app in (db, web)", true),
            ("app notin (db)", true),
            ("app notin (db,web)", false),
            ("other notin (a)", true),
            ("other in (a)", false),
            ("app", true),
            ("other", false),
            ("!other", true),
            ("!app", false),
            ("n>6", true),
            ("n>7", false),
            ("n<8,app", true),
            ("app=", false),
        ] {
            assert_eq!(selects(selector, web()), expected, "{selector}");
        }
        assert!(!selects("a=b", json!(null)));
        assert!(selects("a=", json!({"a": ""})));
        assert!(selects("in in (in)", json!({"in": "in"})));
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_position() {
        for (selector, at) in [
            ("app web", 4),
            ("a=b c", 4),
            ("a in b", 6),
            ("a in (b", 7),
            ("-a=b", 0),
            ("a=b,", 4),
            ("a=b/c", 2),
        ] {
            let error = selector.parse::<LabelSelector>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }

    #[test]
    fn fewer_requirements_cover_more_and_a_hull_has_the_common_ones() {
        let selector = |text: &str| text.parse::<LabelSelector>().unwrap();
        assert!(selector("").covers(&selector("a=b")) && !selector("a=b").covers(&selector("")));
        assert!(
            selector("a=b").covers(&selector("!c,a=b")) && !selector("a=b").covers(&selector("a in (b,c)"))
        );
        assert_eq!(selector("a=b,!c").hull(&selector("!c,d")), selector("!c"));
        assert_eq!(
            selector("a=b,c in (d),e in (f,g),h!=i").equalities().collect::<Vec<_>>(),
            [("a", "b"), ("c", "d")]
        );
    }

    #[test]
    fn a_selector_prints_as_it_is_written() {
        let text = "a=b,c!=d,e in (f,g),h notin (i,j),k,!l,m>1,n<2";
        assert_eq!(text.parse::<LabelSelector>().unwrap().to_string(), text);
    }
}
