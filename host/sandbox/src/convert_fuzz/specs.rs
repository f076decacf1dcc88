//! What `describe` may return.

use proptest::prelude::*;
use wheelhouse_core::spec::Spec;
use wheelhouse_core::{Gate, Key, Kind, Object};

use super::texts::{body, kind, text, texts};
use super::{cases, readable, soon};
use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::declared;

/// What most of a declaration must be for the rest to be looked at.
fn mostly(tame: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![9 => Just(tame.to_owned()), 1 => text()]
}

/// On the heap: a declaration has many, and all of their strategies would not fit on a test's stack.
fn source() -> BoxedStrategy<wit::Source> {
    let predicate = prop_oneof![
        20 => Just(String::new()),
        2 => Just("generation-changed||(labels-changed && !deleted)".to_owned()),
        1 => text(),
        1 => text().prop_map(|path| format!("field-changed({path})")),
        1 => (0_usize..100).prop_map(|times| format!("{}created", "!(".repeat(times))),
        1 => (1_usize..100).prop_map(|times| vec!["field-changed(.a[*]['b)'])"; times].join("&&")),
    ];
    let namespaces = prop_oneof![4 => Just(vec!["a".to_owned()]), 1 => texts(4)];
    let fields = prop_oneof![3 => Just(Vec::new()), 1 => texts(4)];
    let kind = prop_oneof![9 => Just("v1/ConfigMap".to_owned()), 1 => kind()];
    (kind, namespaces, mostly("app=a"), mostly("metadata.name=x"), fields, predicate)
        .prop_map(|(kind, namespaces, label_selector, field_selector, fields, predicate)| wit::Source {
            kind,
            namespaces,
            label_selector,
            field_selector,
            fields,
            predicate,
        })
        .boxed()
}

fn sources() -> impl Strategy<Value = Vec<wit::Source>> {
    prop_oneof![prop::collection::vec(source(), 0..3), source().prop_map(|source| vec![source; 100])]
}

fn owned() -> impl Strategy<Value = Vec<wit::Owned>> {
    (sources(), any::<bool>()).prop_map(|(sources, any_owner)| {
        sources.into_iter().map(|source| wit::Owned { source, any_owner }).collect()
    })
}

fn tick() -> impl Strategy<Value = wit::Tick> {
    let every = prop_oneof![9 => Just(60_000), 1 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(0)];
    let key = || (mostly("a"), mostly("x")).prop_map(|(namespace, name)| wit::ObjectKey { namespace, name });
    let keys =
        prop_oneof![9 => prop::collection::vec(key(), 0..3), 1 => prop::collection::vec(key(), 0..100)];
    (text(), every, keys).prop_map(|(name, every_ms, keys)| wit::Tick { name, every_ms, keys })
}

fn watch() -> impl Strategy<Value = wit::Watch> {
    let mapping = prop_oneof![
        text().prop_map(wit::Mapping::Label),
        text().prop_map(wit::Mapping::Annotation),
        mostly(".spec.a").prop_map(wit::Mapping::Field),
        Just(wit::Mapping::Plugin)
    ];
    (text(), source(), mapping).prop_map(|(name, source, mapping)| wit::Watch { name, source, mapping })
}

fn index() -> impl Strategy<Value = wit::FieldIndex> {
    let source = prop_oneof![
        text().prop_map(wit::IndexSource::Label),
        mostly(".spec.a[*]").prop_map(wit::IndexSource::Field),
        Just(wit::IndexSource::Plugin)
    ];
    (mostly("v1/ConfigMap"), text(), source).prop_map(|(kind, name, source)| wit::FieldIndex {
        kind,
        name,
        source,
    })
}

fn permission() -> impl Strategy<Value = wit::Permission> {
    let verbs = prop_oneof![
        Just(vec![wit::Verb::Get, wit::Verb::List]),
        (0_usize..10_000).prop_map(|times| vec![wit::Verb::Delete; times])
    ];
    (verbs, mostly("v1/ConfigMap"), mostly("status"), texts(3)).prop_map(
        |(verbs, kind, subresource, namespaces)| wit::Permission { verbs, kind, subresource, namespaces },
    )
}

fn options() -> impl Strategy<Value = wit::Options> {
    let ms = || prop::option::of(prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)]);
    let concurrency = prop_oneof![any::<u32>(), Just(u32::MAX), Just(0)];
    (concurrency, ms(), ms(), any::<bool>()).prop_map(
        |(concurrency, resync_ms, timeout_ms, track_dependencies)| wit::Options {
            concurrency,
            resync_ms,
            timeout_ms,
            track_dependencies,
        },
    )
}

/// All parts wild, or one of them: of so many wild parts one is nearly always refused, and the others are then
/// not looked at.
fn spec() -> impl Strategy<Value = wit::Spec> {
    (wild(), prop::option::of(0_usize..8)).prop_map(|(mut spec, kept)| {
        let Some(kept) = kept else { return spec };
        let gone = |part: usize| kept != part;
        if gone(0) {
            spec.reconciles = wit::Source {
                kind: "v1/ConfigMap".to_owned(),
                namespaces: Vec::new(),
                label_selector: "app=a".to_owned(),
                field_selector: String::new(),
                fields: Vec::new(),
                predicate: "created".to_owned(),
            };
        }
        spec.owns.retain(|_| !gone(1));
        spec.watches.retain(|_| !gone(2));
        spec.caches.retain(|_| !gone(3));
        spec.ticks.retain(|_| !gone(4));
        spec.indexes.retain(|_| !gone(5));
        spec.permissions.retain(|_| !gone(6));
        if gone(7) {
            spec.options =
                wit::Options { concurrency: 1, resync_ms: None, timeout_ms: None, track_dependencies: true };
        }
        spec
    })
}

fn wild() -> impl Strategy<Value = wit::Spec> {
    let watches = prop::collection::vec(watch(), 0..3);
    let indexes = prop::collection::vec(index(), 0..3);
    let permissions = prop::collection::vec(permission(), 0..3);
    let names = (mostly("p"), mostly("1"));
    let ticks =
        prop_oneof![9 => prop::collection::vec(tick(), 0..3), 1 => prop::collection::vec(tick(), 0..20)];
    let events = (source(), owned(), watches, sources(), ticks);
    (names, events, indexes, permissions, options()).prop_map(
        |((name, version), (reconciles, owns, watches, caches, ticks), indexes, permissions, options)| {
            wit::Spec {
                name,
                version,
                reconciles,
                owns,
                watches,
                caches,
                ticks,
                indexes,
                permissions,
                options,
            }
        },
    )
}

/// What the host does with a declaration that it took.
fn used(spec: &Spec, object: &Object) -> Result<(), TestCaseError> {
    for kind in spec.kinds() {
        for namespaced in [true, false] {
            for scope in spec.scopes(&kind, namespaced) {
                readable(&scope.namespace)?;
                prop_assert!(scope.namespace.len() <= 63, "{} bytes", scope.namespace.len());
            }
        }
        let _ = spec.fields(&kind);
    }
    let gate = Gate::granting(&spec.name, spec.all_permissions());
    let all: Vec<_> = spec.all_permissions();
    prop_assert!(gate.lacks(all.iter().map(|permission| (permission, ""))).len() <= all.len());
    for text in [&spec.version]
        .into_iter()
        .chain(spec.watches.iter().map(|watch| &watch.name))
        .chain(spec.indexes.iter().map(|index| &index.name))
        .chain(spec.ticks.iter().map(|tick| &tick.name))
    {
        readable(text)?;
    }
    for permission in &spec.permissions {
        readable(&permission.subresource)?;
        prop_assert!(permission.verbs.len() <= 7);
    }
    for source in spec.sources() {
        let _ = (source.selector.matches(object.value()), source.field_selector.matches(object.value()));
        let (labels, fields) = (source.selector.to_string(), source.field_selector.to_string());
        prop_assert_eq!(labels.parse(), Ok(source.selector.clone()));
        let states = [None, Some(object.value())];
        for (old, new) in states.into_iter().flat_map(|old| states.map(|new| (old, new))) {
            let _ = source.predicate.holds(old, new);
        }
        // It is as long as what was written, which has a bound of its own.
        prop_assert!(!source.predicate.to_string().contains(char::is_control));
        prop_assert_eq!(fields.parse(), Ok(source.field_selector.clone()));
    }
    for tick in &spec.ticks {
        prop_assert!(
            tick.every >= std::time::Duration::from_secs(1) && tick.keys.iter().all(Key::is_possible)
        );
    }
    Ok(())
}

#[test]
fn hostile_whatever_describe_says_is_a_declaration_or_an_error() {
    let taken = std::cell::Cell::new(0);
    proptest!(cases(800), |(spec in spec(), body in body())| {
        let object = Object::from_json(&body, &Default::default());
        let object = object.unwrap_or_else(|_| Object::from_bytes(Vec::new()));
        soon(|| match declared::checked(spec) {
            Err(error) => readable(&error.to_string()),
            Ok(spec) => {
                taken.set(taken.get() + 1);
                used(&spec, &object)
            }
        })??;
    });
    assert!(taken.get() > 0, "not one was taken, which tries nothing");
    eprintln!("taken {}", taken.get());
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn hostile_selectors_and_paths_are_read_or_refused(text in text()) {
        use wheelhouse_core::{FieldPath, FieldSelector, LabelSelector, Predicate};
        soon(|| {
            let problems = [
                text.parse::<Kind>().map(drop).map_err(|error| error.to_string()),
                text.parse::<FieldPath>().map(drop).map_err(|error| error.to_string()),
                text.parse::<LabelSelector>().map(drop).map_err(|error| error.to_string()),
                text.parse::<FieldSelector>().map(drop).map_err(|error| error.to_string()),
                text.parse::<Predicate>().map(drop).map_err(|error| error.to_string()),
            ];
            problems.into_iter().filter_map(Result::err).try_for_each(|problem| readable(&problem))
        })??;
    }
}
