//! The simple JSON paths of printer columns: fields, indexes, `[*]` and `[?(@.a=="b")]`.

use serde_json::Value;

/// The first value that a path leads to.
pub(crate) fn find<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let mut current = vec![root];
    for step in steps(path) {
        current = current.into_iter().flat_map(|value| follow(value, &step)).collect();
    }
    current.first().copied()
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items in which the field path has this value.
    Equal(String, String),
}

fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            let index = if *index < 0 { items.len().checked_sub(from_end) } else { Some(from_end) };
            index.and_then(|index| items.get(index)).into_iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Equal(field, wanted), Value::Array(items)) => {
            let matches = |item: &&Value| match find(item, field) {
                Some(Value::String(text)) => text == wanted,
                Some(other) => {
                    let text = other.to_string();
                    text == *wanted
                }
                None => false,
            };
            items.iter().filter(matches).collect()
        }
        _ => Vec::new(),
    }
}

fn steps(path: &str) -> Vec<Step> {
    let path = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let mut steps = Vec::new();
    let mut field = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => field.extend(chars.next()),
            '.' => flush(&mut field, &mut steps),
            '[' => {
                flush(&mut field, &mut steps);
                let mut inner = String::new();
                let mut quote = None;
                for c in chars.by_ref() {
                    match (quote, c) {
                        (None, ']') => break,
                        (None, '\'' | '"') => quote = Some(c),
                        (Some(open), c) if c == open => quote = None,
                        _ => {}
                    }
                    inner.push(c);
                }
                steps.extend(bracket(&inner));
            }
            c => field.push(c),
        }
    }
    flush(&mut field, &mut steps);
    steps
}

fn flush(field: &mut String, steps: &mut Vec<Step>) {
    if !field.is_empty() {
        steps.push(Step::Field(std::mem::take(field)));
    }
}

fn bracket(inner: &str) -> Option<Step> {
    let unquoted = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        let (field, value) = filter.split_once("==").or_else(|| filter.split_once('='))?;
        return Some(Step::Equal(field.trim().trim_start_matches('@').to_owned(), unquoted(value)));
    }
    match inner.parse() {
        Ok(index) => Some(Step::Index(index)),
        Err(_) => Some(Step::Field(unquoted(inner))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_usual_paths_of_printer_columns_lead_somewhere() {
        let value = json!({ "spec": { "a": 1, "list": [{ "n": "x" }, { "n": "y" }] },
            "metadata": { "labels": { "app.kubernetes.io/name": "web" } },
            "status": { "conditions": [{ "type": "A", "status": "False" }, { "type": "Ready", "status": "True" }] } });
        for (path, expected) in [
            (".spec.a", json!(1)),
            (".spec.list[1].n", json!("y")),
            (".spec.list[-1].n", json!("y")),
            (".spec.list[*].n", json!("x")),
            (".metadata.labels.app\\.kubernetes\\.io/name", json!("web")),
            (".metadata.labels['app.kubernetes.io/name']", json!("web")),
            (".status.conditions[?(@.type==\"Ready\")].status", json!("True")),
            (".status.conditions[?(@.type=='Ready')].status", json!("True")),
        ] {
            assert_eq!(find(&value, path), Some(&expected), "{path}");
        }
        assert_eq!(find(&value, ".spec.missing.deep"), None);
    }
}
