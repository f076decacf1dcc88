//! The object encoding as its users see it.
#![cfg(test)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use wheelhouse_core::encoding::{EncodeOptions, ListReader, PageBuilder};
use wheelhouse_core::{FieldPath, Fields, Object, Value};

const POD: &[u8] = include_bytes!("data/pod.json");

fn any_string() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-e]{1,2}",
        "\\PC{0,20}",
        // Keys and values that C strings, or lengths of one byte, would break.
        "[\\x00a\u{10ffff}]{0,3}",
        "[a-z]{120,300}",
    ]
}

fn any_number() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-5000i64..5000).prop_map(Json::from),
        proptest::num::f64::NORMAL.prop_map(Json::from),
        prop_oneof![Just(0.0f64), Just(-0.0), Just(1.0), Just(f64::MIN_POSITIVE), Just(f64::MAX)]
            .prop_map(Json::from),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(1 << 28), Just(-(1 << 28) - 1)].prop_map(Json::from),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any_number(),
        any_string().prop_map(Json::String),
    ];
    leaf.prop_recursive(6, 200, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Json::Array),
            prop::collection::btree_map(any_string(), inner, 0..12)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

fn same(value: Value<'_>, json: &Json) {
    match json {
        Json::Object(map) => {
            assert!(value.is_object());
            assert_eq!(value.len(), map.len());
            for (key, field) in map {
                same(value.get(key).unwrap(), field);
            }
            assert!(value.get("no such field at all").is_none());
        }
        Json::Array(items) => {
            assert!(value.is_array());
            assert_eq!(value.len(), items.len());
            for (i, item) in items.iter().enumerate() {
                same(value.index(i).unwrap(), item);
            }
            assert!(value.index(items.len()).is_none());
        }
        Json::String(text) => assert_eq!(value.as_str(), Some(text.as_str())),
        Json::Bool(b) => assert_eq!(value.as_bool(), Some(*b)),
        Json::Null => assert!(value.is_null()),
        Json::Number(n) => {
            assert_eq!(value.as_i64(), n.as_i64());
            assert_eq!(value.as_u64(), n.as_u64());
            assert_eq!(value.as_f64(), n.as_f64());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_json_survives_the_round_trip(json in any_json()) {
        let text = serde_json::to_vec(&json).unwrap();
        let object = Object::from_json(&text, &EncodeOptions::verbatim()).unwrap();
        prop_assert_eq!(object.value().to_value(), json.clone());
        let back: Json = serde_json::from_str(&object.value().to_json()).unwrap();
        prop_assert_eq!(&back, &json);
        let typed: Json = object.to().unwrap();
        prop_assert_eq!(&typed, &json);
    }

    #[test]
    fn every_field_is_found_in_place(json in any_json()) {
        same(Object::from_value(&json).unwrap().value(), &json);
    }

    #[test]
    fn encoded_values_are_equal_when_their_json_is(a in any_json(), b in any_json()) {
        let (ea, eb) = (Object::from_value(&a).unwrap(), Object::from_value(&b).unwrap());
        prop_assert_eq!(ea.value() == eb.value(), a == b);
        prop_assert!(ea.value() == ea.value());
    }

    #[test]
    fn reading_ends_without_a_panic_on_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..300), wide: bool) {
        if let [first, second, ..] = bytes.as_mut_slice() {
            (*first, *second) = (0xE1, if wide { 4 } else { 2 });
        }
        let value = Value::root(&bytes);
        // A buffer may share parts, so that what it stands for is far larger than it is. Look at some.
        fn visit(value: Value<'_>, budget: &mut u32) {
            if *budget == 0 { return; }
            *budget -= 1;
            let _ = (value.as_str(), value.as_f64(), value.get("a"));
            value.items().for_each(|item| visit(item, budget));
            value.entries().for_each(|(_, item)| visit(item, budget));
        }
        visit(value, &mut 10_000);
        let _ = ListReader::new(&bytes).iter().count();
    }

    #[test]
    fn reading_ends_without_a_panic_on_damaged_objects(json in any_json(), at: prop::sample::Index, byte: u8) {
        let mut bytes = Object::from_value(&json).unwrap().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut budget = 10_000;
        fn visit(value: Value<'_>, budget: &mut u32) {
            if *budget == 0 { return; }
            *budget -= 1;
            let _ = (value.as_str(), value.as_f64(), value.get("a"));
            value.items().for_each(|item| visit(item, budget));
            value.entries().for_each(|(_, item)| visit(item, budget));
        }
        visit(Value::root(&bytes), &mut budget);
    }
}

#[test]
fn the_last_of_two_equal_keys_stays() {
    let object = Object::from_json(br#"{"b":0,"a":1,"c":[],"a":2}"#, &EncodeOptions::default()).unwrap();
    assert_eq!(object.value().to_value(), json!({"a": 2, "b": 0, "c": []}));
}

#[test]
fn a_buffer_too_large_for_narrow_slots_reads_the_same() {
    for fields in [1_500, 50_000] {
        let json: Json =
            (0..fields).map(|i| (format!("field-{i}"), json!({"i": i, "s": "x".repeat(i % 7)}))).collect();
        let object = Object::from_value(&json).unwrap();
        assert_eq!(object.value().to_value(), json);
        assert_eq!(object.value().at(&["field-1499", "i"]).unwrap().as_i64(), Some(1499));
    }
}

#[test]
fn what_nobody_reads_is_left_out_and_the_rest_stays() {
    let json = json!({
        "metadata": {"name": "x", "managedFields": [1], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}},
        "spec": {"managedFields": 1, "metadata": {"managedFields": 2}}
    });
    let text = serde_json::to_vec(&json).unwrap();
    let pruned = Object::from_json(&text, &EncodeOptions::default()).unwrap();
    assert_eq!(
        pruned.value().to_value(),
        json!({"metadata": {"name": "x", "annotations": {"mine": "1"}},
               "spec": {"managedFields": 1, "metadata": {"managedFields": 2}}})
    );
    assert_eq!(Object::from_json(&text, &EncodeOptions::verbatim()).unwrap().value().to_value(), json);
}

#[test]
fn an_object_gets_the_type_that_is_put_in_whatever_it_says() {
    let options = EncodeOptions { type_meta: Some(("v1".into(), "Pod".into())), ..Default::default() };
    let object = Object::from_json(br#"{"metadata":{"name":"x"}}"#, &options).unwrap();
    assert_eq!(
        object.value().to_value(),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}})
    );
    let object = Object::from_json(br#"{"kind":"Partial","apiVersion":"v2"}"#, &options).unwrap();
    assert_eq!(object.value().to_value(), json!({"apiVersion": "v1", "kind": "Pod"}));
}

#[test]
fn text_that_is_no_json_or_nested_too_deep_is_an_error() {
    for text in ["", "{", "{}x", "[1,]"] {
        assert!(Object::from_json(text.as_bytes(), &EncodeOptions::default()).is_err(), "{text}");
    }
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert!(Object::from_json(deep.as_bytes(), &EncodeOptions::default()).is_err());
}

#[test]
fn a_page_holds_its_objects_in_order() {
    let mut page = PageBuilder::default();
    for i in 0..10 {
        page.push(Object::from_value(&json!({"i": i})).unwrap());
    }
    let size = page.size();
    let bytes = page.finish();
    assert_eq!(bytes.len(), size);
    let list = ListReader::new(&bytes);
    assert_eq!(list.len(), 10);
    let read: Vec<i64> = list.iter().map(|object| object.get("i").unwrap().as_i64().unwrap()).collect();
    assert_eq!(read, (0..10).collect::<Vec<_>>());
    assert!(list.get(10).is_none());
    for index in 0..10 {
        assert_eq!(bytes.get(list.range(index).unwrap()), list.bytes(index));
    }
    assert!(list.range(10).is_none());
}

#[test]
fn the_pod_of_the_measurements_is_smaller_than_its_json() {
    let object = Object::from_json(POD, &EncodeOptions::default()).unwrap();
    println!("{} bytes of JSON, {} encoded", POD.len(), object.as_bytes().len());
    assert!(object.as_bytes().len() * 10 < POD.len() * 9, "{} bytes", object.as_bytes().len());
    assert!(object.value().at(&["spec", "nodeName"]).and_then(Value::as_str).is_some());
    assert_eq!(object.value().to_value(), serde_json::from_slice::<Json>(POD).unwrap());
}

#[test]
fn enums_options_and_borrowed_strings_decode() {
    #[derive(serde::Deserialize, PartialEq, Debug)]
    enum Shape {
        Unit,
        New(i32),
        Tuple(i32, i32),
        Struct { a: Option<i32> },
    }
    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct All<'a> {
        shapes: Vec<Shape>,
        #[serde(borrow)]
        text: &'a str,
        none: Option<String>,
        null: Option<i64>,
        float: f64,
    }
    let json = json!({"shapes": ["Unit", {"New": 1}, {"Tuple": [1, 2]}, {"Struct": {"a": 3}}, {"Struct": {}}],
                      "text": "hello", "null": null, "float": 2, "unknown": [{}]});
    let object = Object::from_value(&json).unwrap();
    let all: All<'_> = object.value().to().unwrap();
    assert_eq!(
        all.shapes,
        [
            Shape::Unit,
            Shape::New(1),
            Shape::Tuple(1, 2),
            Shape::Struct { a: Some(3) },
            Shape::Struct { a: None }
        ]
    );
    assert_eq!((all.text, all.none, all.null, all.float), ("hello", None, None, 2.0));
    let error = object.value().to::<std::collections::BTreeMap<String, String>>().unwrap_err();
    assert!(error.to_string().contains("expected a string"), "{error}");
}

fn any_path() -> impl Strategy<Value = FieldPath> {
    let step = prop_oneof![
        3 => any_string().prop_filter("no quote", |name| !name.contains('\'')).prop_map(|name| format!("['{name}']")),
        1 => Just("[*]".to_owned()),
    ];
    prop::collection::vec(step, 1..4).prop_map(|steps| steps.concat().parse().unwrap())
}

proptest! {
    /// Whether fields are left out on the way in or afterwards is the same, and to leave out less first
    /// makes no difference.
    #[test]
    fn a_projection_is_the_same_whenever_it_is_made(
        json in any_json(),
        paths in prop::collection::vec(any_path(), 0..4),
        more in prop::collection::vec(any_path(), 0..4),
    ) {
        let (fields, wide) = (Fields::of(&paths), Fields::of(paths.iter().chain(&more)));
        prop_assert!(wide.covers(&fields));
        prop_assert_eq!(&fields.union(&Fields::of(&more)), &wide);
        let text = serde_json::to_vec(&json).unwrap();
        let options = EncodeOptions { fields: fields.clone(), ..EncodeOptions::verbatim() };
        let at_once = Object::from_json(&text, &options).unwrap();
        let whole = Object::from_json(&text, &EncodeOptions::verbatim()).unwrap();
        let (afterwards, in_steps) = (fields.project(&whole), fields.project(&wide.project(&whole)));
        prop_assert_eq!(afterwards.value(), at_once.value());
        prop_assert_eq!(in_steps.value(), at_once.value());
        for path in &paths {
            let expected = path.texts(whole.value());
            prop_assert_eq!(path.texts(at_once.value()), expected);
        }
    }
}
