//! From the schemas of the built-in kinds to types that are quick to walk.

use std::collections::HashMap;

use k8s_openapi::schemars::SchemaGenerator;
use serde_json::Value;

use super::{Field, ROOTS, Struct, Type, Types, always, merging, zeros};
use crate::object::Json;

const REFERENCE: &str = "#/$defs/";
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Compiles the types of all built-in kinds.
pub(super) fn all() -> Types {
    let mut generator = SchemaGenerator::default();
    let roots: Vec<_> = ROOTS.iter().map(|root| (root, (root.define)(&mut generator))).collect();
    let definitions = generator.take_definitions(false);
    let structs = definitions.iter().filter(|(_, schema)| schema.get("properties").is_some());
    let compiler = Compiler {
        ids: structs.clone().enumerate().map(|(id, (name, _))| (name.as_str(), id)).collect(),
        definitions: &definitions,
    };
    let named = |name: Option<&str>| name.map_or(Type::Free, |name| compiler.named(name));
    let mut roots: Vec<_> = roots
        .iter()
        .map(|(root, schema)| {
            ((root.group, root.version, root.kind), named(schema.as_object().and_then(target)))
        })
        .collect();
    roots.sort_by_key(|(names, _)| *names);
    Types {
        roots,
        metadata: named(Some(METADATA)),
        structs: structs.map(|(name, schema)| compiler.structure(name, schema)).collect(),
    }
}

/// The name of the definition that a schema refers to.
fn target(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(REFERENCE)
}

struct Compiler<'a> {
    ids: HashMap<&'a str, usize>,
    definitions: &'a Json,
}

impl Compiler<'_> {
    fn structure(&self, name: &str, schema: &Value) -> Struct {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required =
            schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut fields: Vec<Field> = properties
            .into_iter()
            .flatten()
            .map(|(field, schema)| {
                let value = self.value(schema);
                let is_required = required.iter().any(|name| name == field);
                let has_no_zero = !is_required && zeros::say_nothing(name, field, &value);
                let is_always_written = always::is_written(name, field, &value, is_required);
                Field {
                    name: field.clone(),
                    value,
                    has_no_zero,
                    is_always_written,
                    merging: merging(name, field),
                }
            })
            .collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Struct { name: name.to_owned(), fields, is_atomic: merging::is_atomic(name) }
    }

    fn value(&self, schema: &Value) -> Type {
        let Some(map) = schema.as_object() else { return Type::Free };
        if let Some(name) = target(map) {
            return self.named(name);
        }
        if let Some(options) = map.get("oneOf").and_then(Value::as_array) {
            return self.union(options);
        }
        let text = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("format")) {
            ("string", "byte") => Type::Bytes,
            ("string", _) => Type::Text,
            ("boolean", _) => Type::Bool,
            ("integer", "int32") => Type::Int32,
            ("integer", _) => Type::Int64,
            ("number", _) => Type::Number,
            ("array", _) => {
                Type::List(Box::new(map.get("items").map_or(Type::Free, |item| self.value(item))))
            }
            ("object", _) => match map.get("additionalProperties") {
                Some(value) => Type::Map(Box::new(self.value(value))),
                None => Type::Free,
            },
            _ => Type::Free,
        }
    }

    fn named(&self, name: &str) -> Type {
        match name.rsplit('.').next().unwrap_or_default() {
            "Quantity" => Type::Quantity,
            "IntOrString" => Type::IntOrString,
            "Time" => Type::Time,
            "MicroTime" => Type::MicroTime,
            _ => match self.ids.get(name) {
                Some(id) => Type::Struct(*id),
                None => self.definitions.get(name).map_or(Type::Free, |schema| self.value(schema)),
            },
        }
    }

    fn union(&self, options: &[Value]) -> Type {
        let types: Vec<Type> = options.iter().map(|option| self.value(option)).collect();
        let (mut object, mut list) = (None, None);
        for option in types {
            match option {
                Type::Struct(_) => object = Some(Box::new(option)),
                Type::List(item) => list = Some(item),
                _ => {}
            }
        }
        object.map_or(Type::Free, |object| Type::Union { object, list })
    }
}
