//! The types of the built-in kinds: which fields there are, of which type, and how they merge.
//!
//! They come from the API reference by way of the schemas of `k8s-openapi`, and are compiled when they are first
//! needed into a tree that is quick to walk, since every write goes along it. Descriptions are no part of that
//! tree: [`definitions`] makes them anew for the documents of OpenAPI.

mod always;
mod compile;
mod decode;
mod enums;
mod merging;
mod mismatch;
mod quantity;
mod roots;
mod scalar;
mod zeros;

use std::sync::LazyLock;

use k8s_openapi::schemars::SchemaGenerator;

pub(crate) use self::decode::{Findings, decode, empty};
pub(crate) use self::enums::values;
pub(crate) use self::merging::{Merging, is_atomic, merging};
pub(crate) use self::mismatch::{Mismatch, Path, applied_problem, schema_problem};
pub(crate) use self::quantity::amount;
use self::roots::ROOTS;
use crate::kind::Kind;
use crate::object::Json;

/// The Kubernetes version that these types are of.
pub(crate) const VERSION: (u16, u16) = (1, 37);

/// What a value may be.
#[derive(Debug, PartialEq)]
pub(crate) enum Type {
    Text,
    /// Text that is Base64.
    Bytes,
    Bool,
    Int32,
    Int64,
    Number,
    IntOrString,
    Quantity,
    /// RFC 3339, in seconds.
    Time,
    /// RFC 3339, with six digits after the second.
    MicroTime,
    List(Box<Type>),
    Map(Box<Type>),
    Struct(usize),
    /// A struct, or a list of these, or else a scalar that is taken as it is.
    Union {
        object: Box<Type>,
        list: Option<Box<Type>>,
    },
    /// Any JSON.
    Free,
}

/// A struct's field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Type,
    /// Whether the field is left out when it is zero, since that says nothing.
    has_no_zero: bool,
    /// Whether the field is written as zero if it is absent.
    is_always_written: bool,
    pub(crate) merging: Merging,
}

/// A type with named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// As the API reference names its definition: `io.k8s.api.apps.v1.DeploymentSpec`.
    name: String,
    /// Sorted by name.
    fields: Vec<Field>,
    /// Whether server-side apply takes it as one value.
    pub(crate) is_atomic: bool,
}

impl Struct {
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let index = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        self.fields.get(index)
    }

    /// As Go names it within its package: `DeploymentSpec`.
    fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// As Go names it outside of its package: `v1.DeploymentSpec`.
    fn go_name(&self) -> String {
        let mut parts: Vec<&str> = self.name.rsplitn(3, '.').take(2).collect();
        parts.reverse();
        parts.join(".")
    }
}

/// Group, version and kind.
type Names = (&'static str, &'static str, &'static str);

#[derive(Debug)]
struct Types {
    structs: Vec<Struct>,
    /// Sorted by names.
    roots: Vec<(Names, Type)>,
    metadata: Type,
}

static TYPES: LazyLock<Types> = LazyLock::new(compile::all);

/// The type of a built-in kind.
pub(crate) fn of(kind: &Kind) -> Option<&'static Type> {
    if kind.is_custom() {
        return None;
    }
    let wanted = (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str());
    let index = TYPES.roots.binary_search_by(|(names, _)| names.cmp(&wanted)).ok()?;
    TYPES.roots.get(index).map(|(_, of_type)| of_type)
}

/// The type of every object's metadata.
pub(crate) fn metadata() -> &'static Type {
    &TYPES.metadata
}

/// The struct of a type that is one.
pub(crate) fn struct_of(of_type: &Type) -> Option<&'static Struct> {
    match of_type {
        Type::Struct(id) => TYPES.structs.get(*id),
        Type::Union { object, .. } => struct_of(object),
        _ => None,
    }
}

/// The struct whose definition has a name that ends so.
#[cfg(test)]
fn struct_named(end: &str) -> Option<&'static Struct> {
    TYPES.structs.iter().find(|found| found.name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

/// The schemas of these built-in kinds and of all that they refer to, by name, as JSON Schema. Each reference starts
/// with `#/$defs/`.
pub(crate) fn definitions<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> Json {
    let mut generator = SchemaGenerator::default();
    for kind in kinds {
        if let Some(root) = root_of(kind) {
            (root.define)(&mut generator);
        }
    }
    generator.take_definitions(false)
}

/// The name of the schema of a built-in kind.
pub(crate) fn definition_name(kind: &Kind) -> Option<String> {
    root_of(kind).map(|root| (root.name)().into_owned())
}

fn root_of(kind: &Kind) -> Option<&'static roots::Root> {
    let is_it = |root: &&roots::Root| {
        root.group == kind.group && root.version == kind.version && root.kind == kind.kind
    };
    ROOTS.iter().find(is_it).filter(|_| !kind.is_custom())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::strict::StrictErrors;

    fn kind(name: &str) -> Kind {
        crate::builtin::kinds().into_iter().find(|kind| kind.kind == name).unwrap()
    }

    fn decoded(name: &str, value: Value) -> (Value, Findings) {
        let mut json = value.as_object().unwrap().clone();
        let findings = decode(of(&kind(name)).unwrap(), &mut json, StrictErrors::new(true), false);
        (Value::Object(json), findings)
    }

    #[test]
    fn every_built_in_kind_has_a_type() {
        for kind in crate::builtin::kinds() {
            let found = of(&kind).and_then(struct_of);
            assert!(found.is_some_and(|found| found.field("metadata").is_some()), "{}", kind.kind);
        }
    }

    #[test]
    fn a_value_that_fits_is_left_as_it_is() {
        let pod = json!({ "metadata": { "name": "p", "creationTimestamp": "2024-01-01T00:00:00Z",
                "managedFields": [{ "fieldsV1": { "f:spec": { ".": {} } } }] },
            "spec": { "containers": [{ "name": "a", "resources": { "limits": { "cpu": "1" } },
                "livenessProbe": { "httpGet": { "port": "http" } } }], "tolerations": [{ "key": "k" }] },
            "status": {} });
        let (left, findings) = decoded("Pod", pod.clone());
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(left, pod);
    }

    #[test]
    fn schemas_of_definitions_are_types_within_a_type() {
        let version = json!({ "name": "v1", "schema": { "openAPIV3Schema": { "type": "object", "typo": 1,
            "default": { "any": null }, "properties": { "a": { "items": { "type": "string", "typo": 2 },
                "additionalProperties": true, "enum": [1, null] } } } } });
        let definition = json!({ "spec": { "versions": [version] } });
        let (left, findings) = decoded("CustomResourceDefinition", definition);
        let root = "spec.versions[0].schema.openAPIV3Schema";
        let unknown = |path: &str| format!("unknown field \"{root}.{path}\"");
        assert_eq!(findings.unknown.into_lines(), [unknown("properties.a.items.typo"), unknown("typo")]);
        let schema = &left["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(schema["default"], json!({ "any": null }));
        assert_eq!(schema["properties"]["a"]["additionalProperties"], json!(true));
    }

    #[test]
    fn a_null_is_absent_in_a_struct_and_zero_in_lists_and_maps() {
        let pod = json!({ "metadata": { "labels": { "a": null }, "name": null },
            "spec": { "containers": [{ "args": ["x", null] }, null] } });
        let (left, findings) = decoded("Pod", pod);
        assert!(findings.is_empty());
        let expected = json!({ "metadata": { "labels": { "a": "" } }, "status": {},
            "spec": { "containers": [{ "args": ["x", ""], "name": "", "resources": {} },
                { "name": "", "resources": {} }] } });
        assert_eq!(left, expected);
    }

    #[test]
    fn the_first_mismatch_counts_and_each_one_goes() {
        let job = json!({ "spec": { "backoffLimit": "a", "completions": true, "suspend": false } });
        let (left, findings) = decoded("Job", job);
        let why = findings.mismatch.unwrap();
        let expected =
            "json: cannot unmarshal string into Go struct field JobSpec.spec.backoffLimit of type int32";
        assert_eq!((why.in_json().as_str(), why.in_map().as_str()), (expected, "unrecognized type: int32"));
        let template = json!({ "metadata": {}, "spec": { "containers": null } });
        let expected =
            json!({ "metadata": {}, "spec": { "suspend": false, "template": template }, "status": {} });
        assert_eq!(left, expected);
    }
}
