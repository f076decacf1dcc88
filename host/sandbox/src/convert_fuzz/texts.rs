//! Texts and JSON that nobody sends who means well.

use proptest::prelude::*;
use serde_json::{Value, json};

const TAME: [&str; 22] = [
    "a",
    "a",
    "a",
    "b",
    "",
    "x",
    "default",
    "kube-system",
    "status",
    "v1/ConfigMap",
    "v1/Secret",
    "apps/v1/Deployment",
    "..",
    "a/../b",
    "a%2f..%2fb",
    "a\0b",
    "*",
    "spec.nodeName",
    "metadata.name=x",
    "metadata.namespace=b",
    "app in (a, b),!c,d>1",
    ".metadata.labels['a/b'][*]",
];

/// What grammars are made of, so that more than the first character is looked at.
const PIECES: [&str; 34] = [
    "a",
    "b",
    "/",
    ".",
    "[*]",
    "['",
    "']",
    "=",
    "==",
    "!=",
    "!",
    ",",
    "(",
    ")",
    " in ",
    " notin ",
    "<",
    ">",
    "\\",
    "\\,",
    " ",
    "\t",
    "\n",
    "metadata",
    "spec",
    "é",
    "\u{202e}",
    "\u{a0}",
    "\u{3000}",
    "\u{0}",
    "99999999999999999999",
    "-1",
    "v1",
    "_",
];

/// A text of any kind.
pub(super) fn text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..40);
    let odd = prop::collection::vec(any::<char>(), 0..60);
    let long = (prop::sample::select(PIECES.as_slice()), 1_000_usize..200_000);
    prop_oneof![
        8 => prop::sample::select(TAME.as_slice()).prop_map(str::to_owned),
        6 => pieces.prop_map(|pieces| pieces.concat()),
        3 => odd.prop_map(String::from_iter),
        1 => long.prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

pub(super) fn texts(most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..most)
}

/// `a` more often than not.
pub(super) fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("a".to_owned()), 1 => text()]
}

/// One that the gate knows more often than not.
pub(super) fn kind() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("v1/ConfigMap".to_owned()), 1 => text()]
}

/// Any JSON value.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_map(|number| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The names that mean something, and others.
fn member() -> impl Strategy<Value = String> {
    let known = [
        "metadata",
        "name",
        "namespace",
        "generateName",
        "apiVersion",
        "kind",
        "ownerReferences",
        "managedFields",
        "blockOwnerDeletion",
        "uid",
        "$patch",
        "$retainKeys",
        "op",
        "path",
        "from",
        "value",
        "data",
    ];
    prop_oneof![6 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => text()]
}

/// An object whose metadata has what it should, or anything else.
fn object() -> impl Strategy<Value = Value> {
    let field = |tame: &'static str| prop_oneof![4 => Just(json!(tame)), 1 => text().prop_map(Value::from), 1 => value()];
    let metadata = (field("x"), field("a"), prop::option::of((member(), value()))).prop_map(
        |(name, namespace, more)| {
            let mut metadata = json!({"name": name, "namespace": namespace});
            if let Some((member, value)) = more {
                metadata[member] = value;
            }
            metadata
        },
    );
    let metadata = prop_oneof![5 => metadata, 1 => value()];
    (metadata, prop::option::of((member(), value()))).prop_map(|(metadata, more)| {
        let mut object = json!({"metadata": metadata});
        if let Some((member, value)) = more {
            object[member] = value;
        }
        object
    })
}

/// Operations of a JSON patch, more or less.
fn operations() -> impl Strategy<Value = Value> {
    let op = prop_oneof![
        prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]).prop_map(Value::from),
        value()
    ];
    let path = prop_oneof![
        prop::sample::select(vec![
            "/metadata/namespace",
            "/metadata/ownerReferences/0",
            "/data/a~1b",
            "x",
            "/"
        ])
        .prop_map(Value::from),
        text().prop_map(Value::from),
        value()
    ];
    let one =
        (op, path, value()).prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}));
    prop::collection::vec(one, 0..6).prop_map(Value::from)
}

/// What no library would write.
fn crooked() -> impl Strategy<Value = String> {
    const DEEP: usize = 100_000;
    let deep = vec![
        "[".repeat(DEEP),
        "{\"a\":".repeat(DEEP),
        format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("{{\"metadata\":{}1{}}}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)),
        format!(
            "{{\"metadata\":{{\"name\":\"x\",\"namespace\":\"a\"}},\"data\":{}{}}}",
            "[".repeat(DEEP),
            "]".repeat(DEEP)
        ),
        format!("{{\"metadata\":{{\"ownerReferences\":{}{}}}}}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("[{{\"op\":\"add\",\"path\":\"/a\",\"value\":{}{}}}]", "[".repeat(DEEP), "]".repeat(DEEP)),
    ];
    let twice = vec![
        r#"{"metadata":{"name":"x","namespace":"a"},"metadata":{"name":"x","namespace":"b"}}"#.to_owned(),
        r#"{"metadata":{"name":"x","namespace":"b"},"metadata":{"name":"x","namespace":"a"}}"#.to_owned(),
        r#"{"metadata":{"name":"x","namespace":"b","namespace":"a"}}"#.to_owned(),
        r#"{"metadata":{"name":"x","namespace":"a","namespace":"b"}}"#.to_owned(),
        r#"{"metadata":{"name":"x","namespace":"a"},"a":1e999999,"b":-0,"c":123456789012345678901234567890}"#
            .to_owned(),
        format!(r#"{{"metadata":{{"name":"x","namespace":"a"}},"a":{}}}"#, "9".repeat(100_000)),
        format!(r#"{{"metadata":"{}"}}"#, "y".repeat(100_000)),
        format!(r#"[{{"op":["{}"],"path":"/"}}]"#, "y".repeat(100_000)),
        format!(
            r#"{{"metadata":{{"name":"x","namespace":"a","ownerReferences":[{{"apiVersion":"\u001b[31m","kind":"\n","name":"{}","blockOwnerDeletion":true}}]}}}}"#,
            "y".repeat(100_000)
        ),
        r#"{"metadata":{"name":"x","namespace":"\u0061"}}"#.to_owned(),
        r#"{"metadata":{"name":"\ud800","namespace":"a"}}"#.to_owned(),
    ];
    prop_oneof![prop::sample::select(deep), prop::sample::select(twice)]
}

/// The body of a write: JSON that makes sense, or not, or is cut off.
pub(super) fn body() -> impl Strategy<Value = Vec<u8>> {
    let cut = (object(), 0.0..1.0_f64).prop_map(|(object, share)| {
        let mut text = object.to_string().into_bytes();
        text.truncate((text.len() as f64 * share) as usize);
        text
    });
    prop_oneof![
        6 => object().prop_map(|object| object.to_string().into_bytes()),
        3 => operations().prop_map(|operations| operations.to_string().into_bytes()),
        1 => value().prop_map(|value| value.to_string().into_bytes()),
        2 => crooked().prop_map(String::into_bytes),
        1 => cut,
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}
