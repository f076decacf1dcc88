//! The two CustomResourceDefinitions, made from the types: what `wheelhouse crds` prints, what
//! `deploy/crds.yaml` has, and what `dev` installs.

use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value, json};
use wheelhouse_cache::Rest;

use super::types::{PluginSpec, PluginStatus};
use super::{GROUP, MANAGER, VERSION};

/// Of one request.
const WITHIN: Duration = Duration::from_secs(10);

/// Both, in the order in which they are printed.
pub(crate) fn definitions() -> [Value; 2] {
    [
        definition(
            "Cluster",
            "ClusterPlugin",
            "cwp",
            "A plugin that may be granted anything in the cluster: who may create one can do what the host may.",
        ),
        definition(
            "Namespaced",
            "Plugin",
            "wp",
            "A plugin that reaches its own namespace only: who may create one can do there what the host may.",
        ),
    ]
}

fn definition(scope: &str, kind: &str, short_name: &str, description: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let text = |kind: &str| json!({"type": "string", "description": kind});
    let schema = json!({
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": text("The version of this schema."),
            "kind": text("The kind."),
            "metadata": {"type": "object"},
            "spec": structural::<PluginSpec>(),
            "status": structural::<PluginStatus>(),
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": singular,
                "shortNames": [short_name],
                "categories": ["wheelhouse"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(),
            }],
        },
    })
}

fn columns() -> Value {
    let column = |name: &str, of_type: &str, path: &str, description: &str, priority: u8| {
        json!({
            "name": name, "type": of_type, "jsonPath": path, "description": description, "priority": priority,
        })
    };
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    json!([
        column("Revision", "integer", ".status.revision", "The revision that runs.", 0),
        column("Digest", "string", ".status.shortDigest", "Of the component that runs.", 0),
        column("Ready", "string", &ready("status"), "Whether the newest spec runs.", 0),
        column(
            "Errors",
            "integer",
            ".status.errors",
            "Reconciles of the revision that runs that have failed.",
            0
        ),
        column("Phase", "string", ".status.phase", "Where the newest spec is on its way.", 0),
        column("Reconciles", "string", ".status.reconciles", "The kind that it reconciles.", 0),
        column("Version", "string", ".status.version", "The version that the plugin gives itself.", 1),
        column("Reason", "string", &ready("reason"), "Why it is ready, or not.", 1),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it has been there.", 0),
    ])
}

/// The schema of a type, as the API server wants it.
fn structural<T: schemars::JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    make_structural(&mut schema);
    schema
}

/// Leaves out what a structural schema may not say, or need not: that no other fields are known (they are
/// pruned, and an error to `kubectl`), that what may be left out may be null, names of Rust.
fn make_structural(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("title");
    map.remove("default");
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if map.get("additionalProperties") == Some(&json!(false)) {
        map.remove("additionalProperties");
    }
    unwrap_option(map);
    enumerate_constants(map);
    if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        map.insert("format".to_owned(), "int64".into());
    }
    if let Some(fields) = map.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().for_each(make_structural);
    }
    for inner in ["items", "additionalProperties"] {
        map.get_mut(inner).map(make_structural);
    }
}

/// Of `T` or null, `T`.
fn unwrap_option(map: &mut Map<String, Value>) {
    let is_null = |of: &Value| of.as_str() == Some("null");
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|of| !is_null(of));
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(either)) = map.get("anyOf") else { return };
    let others: Vec<&Value> =
        either.iter().filter(|schema| !schema.get("type").is_some_and(is_null)).collect();
    if let ([Value::Object(only)], true) = (others.as_slice(), others.len() < either.len()) {
        let mut only = only.clone();
        // What the field says of itself counts before what its type does.
        only.extend(map.iter().filter(|(key, _)| *key != "anyOf").map(|(k, v)| (k.clone(), v.clone())));
        *map = only;
    }
}

/// Of one of several constants, each with a description, a list with one description.
fn enumerate_constants(map: &mut Map<String, Value>) {
    let Some(Value::Array(cases)) = map.get("oneOf") else { return };
    let constants: Option<Vec<Value>> = cases.iter().map(|case| case.get("const").cloned()).collect();
    let Some(constants) = constants else { return };
    let mut text = map.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for case in cases {
        if let (Some(Value::String(name)), Some(Value::String(says))) =
            (case.get("const"), case.get("description"))
        {
            text.push_str(&format!(" {name}: {says}"));
        }
    }
    map.remove("oneOf");
    map.insert("type".to_owned(), "string".into());
    map.insert("enum".to_owned(), constants.into());
    map.insert("description".to_owned(), text.trim().into());
}

/// As a file for `kubectl apply`.
///
/// # Errors
/// None that can be helped.
pub(crate) fn yaml() -> anyhow::Result<String> {
    let mut text =
        "# Made from host/src/resources/types.rs by `wheelhouse crds`: change that, and see there.\n"
            .to_owned();
    for definition in definitions() {
        text.push_str("---\n");
        text.push_str(&in_yaml(&definition)?);
    }
    Ok(text)
}

fn in_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("the definitions cannot be written as YAML")
}

/// Installs them, or brings them up to date.
///
/// # Errors
/// What the API server says.
pub(crate) async fn install(rest: &Rest) -> anyhow::Result<()> {
    for definition in definitions() {
        let name = definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager={MANAGER}&force=true"
        );
        let content = Some(("application/apply-patch+yaml", definition.to_string().into_bytes()));
        rest.send(Method::PATCH, &path, content, WITHIN)
            .await
            .with_context(|| format!("the CustomResourceDefinition {name} cannot be installed"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_definitions_in_the_repository_are_what_the_types_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds.yaml");
        let text = yaml().unwrap();
        if std::env::var_os("UPDATE_MANIFESTS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == text, "stale: wheelhouse crds > deploy/crds.yaml");
    }

    /// What the API server asks of a structural schema, as far as ours could break it.
    fn check(schema: &Value, at: &str, problems: &mut Vec<String>) {
        let map = schema.as_object().unwrap();
        for forbidden in
            ["$ref", "$schema", "$defs", "definitions", "anyOf", "allOf", "not", "const", "title", "default"]
        {
            if map.contains_key(forbidden) {
                problems.push(format!("{at} has {forbidden}"));
            }
        }
        let free = map.get("x-kubernetes-int-or-string") == Some(&json!(true));
        if !free && !map.get("type").is_some_and(Value::is_string) {
            problems.push(format!("{at} has no single type: {schema}"));
        }
        if at.matches('.').count() > 1
            && map.get("description").and_then(Value::as_str).unwrap_or_default().is_empty()
            && !at.ends_with("[]")
        {
            problems.push(format!("{at} has no description"));
        }
        if map.contains_key("properties") && map.contains_key("additionalProperties") {
            problems.push(format!("{at} has fields and other fields"));
        }
        for (name, field) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            check(field, &format!("{at}.{name}"), problems);
        }
        if let Some(items) = map.get("items") {
            check(items, &format!("{at}[]"), problems);
        }
    }

    #[test]
    fn the_schemas_are_structural_and_every_field_is_described() {
        for definition in definitions() {
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let mut problems = Vec::new();
            check(schema, "", &mut problems);
            assert!(problems.is_empty(), "{problems:#?}");
        }
    }

    #[test]
    fn every_limit_of_a_grant_file_is_in_the_schema_and_none_is_required() {
        let schema = structural::<PluginSpec>();
        let limits = &schema["properties"]["limits"];
        let Value::Object(known) = serde_json::to_value(wheelhouse_core::limits::Limits::default()).unwrap()
        else {
            panic!()
        };
        let fields: Vec<&String> = limits["properties"].as_object().unwrap().keys().collect();
        assert_eq!(fields, known.keys().collect::<Vec<_>>());
        assert_eq!(limits.get("required"), None);
        assert_eq!(limits["properties"]["isolation"]["enum"], json!(["warm", "fresh"]));
    }
}
