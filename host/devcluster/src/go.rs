//! Values as Go prints them, where kube-apiserver's messages have them so.

use serde_json::Value;

/// The name of a value's type.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go prints it with `%v`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("{name}:{}", plain(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// A value as Go prints it with `%#v`.
pub(crate) fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            let items = items.iter().map(syntax).collect::<Vec<_>>().join(", ");
            format!("{}{{{items}}}", type_of(value))
        }
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("{name:?}:{}", syntax(value)));
            format!("{}{{{}}}", type_of(value), fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
