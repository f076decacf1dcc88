use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::Object;

fn parse(text: &str) -> Predicate {
    text.parse().unwrap()
}

fn holds(text: &str, old: Option<&Json>, new: Option<&Json>) -> bool {
    let object = |json: Option<&Json>| json.map(|json| Object::from_value(json).unwrap());
    let (old, new) = (object(old), object(new));
    parse(text).holds(old.as_ref().map(Object::value), new.as_ref().map(Object::value))
}

const CHANGES: [&str; 5] = [
    "generation-changed",
    "labels-changed",
    "annotations-changed",
    "resource-version-changed",
    "field-changed(.spec.replicas)",
];

fn before() -> Json {
    json!({
        "metadata": {"name": "x", "uid": "a", "generation": 1, "resourceVersion": "1", "labels": {"l": "1"}},
        "spec": {"replicas": 1},
    })
}

fn with(pointer: &str, value: Json) -> Json {
    let mut after = before();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    after.pointer_mut(parent).unwrap()[field] = value;
    after
}

#[test]
fn an_update_counts_by_what_differs() {
    for (pointer, value, counts) in [
        ("/metadata/generation", json!(2), "generation-changed"),
        ("/metadata/labels", json!({"l": "2"}), "labels-changed"),
        ("/metadata/annotations", json!({"a": "b"}), "annotations-changed"),
        ("/metadata/resourceVersion", json!("2"), "resource-version-changed"),
        ("/spec/replicas", json!(2), "field-changed(.spec.replicas)"),
        ("/status", json!({"ready": true}), ""),
    ] {
        let after = with(pointer, value);
        for text in CHANGES {
            assert_eq!(holds(text, Some(&before()), Some(&after)), text == counts, "{text}: {pointer}");
        }
        assert!(holds("", Some(&before()), Some(&after)));
        assert!(!holds("created || deleted", Some(&before()), Some(&after)));
    }
    assert!(!holds("field-changed(.spec.other)", Some(&before()), Some(&with("/spec/replicas", json!(2)))));
}

#[test]
fn what_comes_and_what_goes_has_changed_in_everything() {
    let dying = with("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"));
    let later = with("/metadata/deletionTimestamp", json!("2026-01-01T00:00:09Z"));
    let unset = with("/metadata/deletionTimestamp", Json::Null);
    let now = before();
    let cases = [
        ("a creation", None, Some(&now), true, false),
        ("a deletion", Some(&now), None, false, true),
        ("a deletion begins", Some(&now), Some(&dying), false, true),
        ("a deletion ends", Some(&dying), None, false, true),
        ("a deletion goes on", Some(&dying), Some(&later), false, false),
        ("first seen while it is deleted", None, Some(&dying), true, true),
        ("null is no timestamp", Some(&now), Some(&unset), false, false),
    ];
    for (what, old, new, created, deleted) in cases {
        assert_eq!(holds("created", old, new), created, "{what}");
        assert_eq!(holds("deleted", old, new), deleted, "{what}");
        for text in CHANGES {
            assert_eq!(holds(text, old, new), created || deleted, "{what}: {text}");
        }
    }
}

#[test]
fn trap_03_another_uid_is_a_deletion_and_a_creation_though_all_else_is_equal() {
    let again = with("/metadata/uid", json!("b"));
    for text in
        CHANGES.into_iter().chain(["created", "deleted", "!deleted", "!created", "created && !deleted"])
    {
        assert!(holds(text, Some(&before()), Some(&again)), "{text}");
    }
    assert!(!holds("created && deleted", Some(&before()), Some(&again)), "never both at once");
}

#[test]
fn conditions_are_joined_as_everywhere() {
    let labels = with("/metadata/labels", json!({}));
    let update = |text| holds(text, Some(&before()), Some(&labels));
    assert!(update("generation-changed || labels-changed"));
    assert!(!update("generation-changed && labels-changed"));
    assert!(update("labels-changed && !generation-changed"));
    assert!(update("labels-changed || created && deleted"), "&& binds tighter");
    assert!(!update("(labels-changed || created) && deleted"));
    assert!(!update("!(labels-changed || created)") && update("!!labels-changed"));
    let example = "generation-changed || (labels-changed && !deleted) || field-changed(.spec.replicas)";
    assert!(update(example) && holds(example, Some(&before()), None));
}

#[test]
fn an_expression_reads_and_prints() {
    for (text, printed) in [
        ("", ""),
        ("  ", ""),
        ("created", "created"),
        (" ( ( created ) ) ", "created"),
        ("created&&deleted||labels-changed", "created && deleted || labels-changed"),
        ("(created||deleted)&&labels-changed", "(created || deleted) && labels-changed"),
        ("created || (deleted || labels-changed)", "created || (deleted || labels-changed)"),
        ("! ( created && ! deleted )", "!(created && !deleted)"),
        ("field-changed( spec.replicas )", "field-changed(.spec.replicas)"),
        (
            "field-changed(metadata.labels['a/b)'])||created",
            "field-changed(.metadata.labels['a/b)']) || created",
        ),
    ] {
        assert_eq!(parse(text).to_string(), printed, "{text}");
    }
    assert!(parse(" ").is_every_change() && !parse("created").is_every_change());
    let paths = parse("!field-changed(.a) && (field-changed(.b[*].c) || created)");
    assert_eq!(format!("{:?}", paths.paths()), "[.a, .b[*].c]");
}

#[test]
fn what_is_no_expression_is_refused_with_its_place_and_what_is_allowed() {
    for (text, at, problem) in [
        ("specs-changed", 0, "\"specs-changed\" is no condition: write generation-changed, labels-changed"),
        ("created | deleted", 8, "write && or || between"),
        ("created deleted", 8, "write && or || between"),
        ("created ||", 10, "a condition is missing: write generation-changed"),
        ("&& created", 0, "a condition is missing"),
        ("(created", 8, "not closed"),
        ("created)", 7, "no parenthesis is open"),
        ("()", 1, "a condition is missing"),
        ("field-changed", 13, "write field-changed(.spec.replicas)"),
        ("field-changed()", 14, "it is empty"),
        ("field-changed(.a", 16, "not closed"),
        ("field-changed(.a[0])", 14, "only [*] and ['name'] may be in brackets"),
        ("field-changed(.a['b)", 14, "the bracket is not closed"),
        ("created || !CREATED", 12, "\"CREATED\" is no condition"),
        ("created || \u{1b}[31m", 11, "a condition is missing"),
    ] {
        let error = text.parse::<Predicate>().unwrap_err();
        assert_eq!(error.at(), at, "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        assert!(error.to_string().contains(&format!("at byte {at}")), "{error}");
    }
}

#[test]
fn hostile_an_expression_is_as_long_and_as_deep_as_it_may_be() {
    let nested = |depth| format!("{}created{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse(&nested(PREDICATE_DEPTH)), parse("created"));
    let joined = |atoms| vec!["created"; atoms].join("||");
    assert!(joined(PREDICATE_ATOMS).parse::<Predicate>().is_ok());
    let padded = |bytes: usize| format!("created{}", " ".repeat(bytes - 7));
    assert!(padded(PREDICATE_BYTES).parse::<Predicate>().is_ok());
    for (text, problem) in [
        (nested(PREDICATE_DEPTH + 1), "nested deeper than 32"),
        ("!".repeat(4000), "nested deeper than 32"),
        ("(".repeat(4000), "nested deeper than 32"),
        (joined(PREDICATE_ATOMS + 1), "at most 64 conditions"),
        (padded(PREDICATE_BYTES + 1), "at most 4096 may be"),
        ("x".repeat(1 << 20), "at most 4096 may be"),
    ] {
        let error = text.parse::<Predicate>().unwrap_err().to_string();
        assert!(error.contains(problem) && error.len() < 500, "{error}");
    }
}

fn expressions() -> impl Strategy<Value = Expression> {
    let path = || prop_oneof![Just(".a.b"), Just(".a[*]['c)']")].prop_map(|path| path.parse().unwrap());
    let atoms = prop_oneof![
        Just(Atom::GenerationChanged),
        Just(Atom::Created),
        Just(Atom::Deleted),
        path().prop_map(Atom::FieldChanged)
    ];
    atoms.prop_map(Expression::Atom).prop_recursive(3, 24, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Expression::Not(Box::new(inner))),
            several().prop_map(Expression::All),
            several().prop_map(Expression::Any),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(expression in expressions()) {
        let predicate = Predicate(Some(expression));
        prop_assert_eq!(predicate.to_string().parse::<Predicate>(), Ok(predicate));
    }

    #[test]
    fn hostile_whatever_text_comes_is_read_or_refused(text in "[a-z&|!()\\[\\]'. -]{0,60}|\\PC{0,40}") {
        if let Ok(predicate) = text.parse::<Predicate>() {
            prop_assert_eq!(predicate.to_string().parse::<Predicate>(), Ok(predicate));
        }
    }
}
