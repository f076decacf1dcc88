//! Label selectors as objects have them, with `matchLabels` and `matchExpressions`, rather than as text.

use std::fmt;

use serde_json::Value;

use crate::object::{self, Json};
use crate::selector::{LabelSelector, Requirement};

impl LabelSelector {
    /// The selector of an object, its requirements by their keys. An operator that there is not selects nothing.
    pub(crate) fn of(selector: &Json) -> Self {
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        let labels = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement::Is(key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let expressions = object::items(selector, &["matchExpressions"]).iter().map(|expression| {
            let key = object::field(expression, "key").to_owned();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let mut values: Vec<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
            values.sort();
            match object::field(expression, "operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => Requirement::In(key, Vec::new()),
            }
        });
        let mut requirements: Vec<Requirement> = labels.chain(expressions).collect();
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        Self(requirements)
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Is(key, _) => key,
            Self::In(key, _) | Self::NotIn(key, _) | Self::Greater(key, _) | Self::Less(key, _) => key,
        }
    }
}

/// As in a query: `a=b,c in (d,e),!f`.
impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            match requirement {
                Requirement::Exists(key) => write!(formatter, "{key}"),
                Requirement::Absent(key) => write!(formatter, "!{key}"),
                Requirement::Is(key, value) => write!(formatter, "{key}={value}"),
                Requirement::In(key, values) => write!(formatter, "{key} in ({})", values.join(",")),
                Requirement::NotIn(key, values) => write!(formatter, "{key} notin ({})", values.join(",")),
                Requirement::Greater(key, bound) => write!(formatter, "{key}>{bound}"),
                Requirement::Less(key, bound) => write!(formatter, "{key}<{bound}"),
            }?;
        }
        Ok(())
    }
}
