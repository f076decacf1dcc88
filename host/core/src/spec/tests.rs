use super::*;

fn source(kind: &str, namespaces: &[&str], labels: &str, fields: &str) -> Source {
    Source {
        kind: kind.parse().unwrap(),
        namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
        selector: labels.parse().unwrap(),
        field_selector: fields.parse().unwrap(),
        fields: Fields::of([]),
        predicates: Vec::new(),
    }
}

fn spec(reconciles: Source, owns: Vec<Source>) -> Spec {
    Spec {
        name: "p".into(),
        version: "1".into(),
        reconciles,
        owns,
        watches: Vec::new(),
        caches: Vec::new(),
        indexes: Vec::new(),
        permissions: Vec::new(),
        options: Options { concurrency: 1, resync: None, timeout: None },
    }
}

fn scopes(sources: [Source; 2], namespaced: bool) -> Vec<String> {
    let [one, other] = sources;
    let kind = one.kind.clone();
    spec(one, vec![other]).scopes(&kind, namespaced).iter().map(Scope::to_string).collect()
}

#[test]
fn one_watch_serves_all_sources_of_a_kind_and_is_no_wider_than_they_are_together() {
    let source = |namespaces, labels, fields| source("v1/Pod", namespaces, labels, fields);
    assert_eq!(scopes([source(&[], "a=b,c", "x=y"), source(&[], "c,d", "x=y")], true), ["c; x=y"]);
    assert_eq!(
        scopes([source(&["m"], "", ""), source(&["n", "m"], "", "")], true),
        ["namespace m", "namespace n"]
    );
    assert_eq!(scopes([source(&["m"], "a", ""), source(&[], "a", "")], true), ["a"]);
    assert_eq!(scopes([source(&["m"], "", ""), source(&["n"], "", "")], false), ["everything"]);
    let other = super::tests::source("v1/Node", &["x"], "z", "");
    assert_eq!(scopes([source(&["m"], "a", ""), other], true), ["namespace m; a"]);
}

#[test]
fn hostile_a_plugin_watches_no_more_places_than_it_may() {
    let names: Vec<String> = (0..200).map(|i| format!("n{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let watching = |times| {
        let owns = (0..times).map(|i| source(&format!("example.com/v1/Kind{i}"), &names, "", "")).collect();
        spec(source("v1/Pod", &[], "", ""), owns).check()
    };
    assert_eq!(watching(2), Ok(()));
    assert!(matches!(watching(3), Err(SpecError::TooMany { what: "kinds in namespaces", count: 601, .. })));
}

#[test]
fn hostile_a_plugin_declares_no_more_than_it_may() {
    let pod = || source("v1/Pod", &[], "", "");
    let watch = |i: usize| Watch { name: i.to_string(), source: pod(), mapping: Mapping::Plugin };
    let index = |i: usize| FieldIndex { kind: pod().kind, name: i.to_string(), source: IndexSource::Plugin };
    let permission = || Permission::of_source(&pod());
    // What is counted, how many may be, how many there are anyway, and how more are declared.
    type Declare<'a> = (&'static str, usize, usize, &'a dyn Fn(&mut Spec, usize));
    let kinds: [Declare<'_>; 6] = [
        ("kinds", 64, 1, &|spec, more| spec.owns = (0..more).map(|_| pod()).collect()),
        ("kinds", 64, 1, &|spec, more| spec.watches = (0..more).map(watch).collect()),
        ("kinds", 64, 1, &|spec, more| spec.caches = (0..more).map(|_| pod()).collect()),
        ("kinds in namespaces", 512, 0, &|spec, count| {
            spec.reconciles.namespaces = (0..count).map(|i| format!("n{i}")).collect();
        }),
        ("indexes", 64, 0, &|spec, count| spec.indexes = (0..count).map(index).collect()),
        ("permissions", 256, 0, &|spec, count| {
            spec.permissions = (0..count).map(|_| permission()).collect();
        }),
    ];
    for (what, max, there, declare) in kinds {
        let declaring = |count: usize| {
            let mut spec = spec(pod(), Vec::new());
            declare(&mut spec, count - there);
            spec.check()
        };
        assert_eq!(declaring(max), Ok(()), "{what}");
        let count = max + 1;
        assert_eq!(declaring(count), Err(SpecError::TooMany { what, count, max }));
    }
}

#[test]
fn what_is_only_read_has_no_predicates_and_the_built_in_index_no_second() {
    let pod = || source("v1/Pod", &[], "", "");
    let mut with_predicates = spec(pod(), Vec::new());
    with_predicates.caches.push(Source { predicates: vec![Predicate::LabelsChanged], ..pod() });
    assert!(matches!(with_predicates.check(), Err(SpecError::CacheWithPredicates(_))));
    let mut with_index = spec(pod(), Vec::new());
    let source = IndexSource::Plugin;
    with_index.indexes.push(FieldIndex { kind: pod().kind, name: OWNER_INDEX.into(), source });
    assert!(matches!(with_index.check(), Err(SpecError::BuiltInIndex(_))));
}

#[test]
fn what_selectors_mappings_and_indexes_look_at_is_read_too() {
    let path = |text: &str| text.parse::<FieldPath>().unwrap();
    let pod = || source("v1/Pod", &[], "", "spec.nodeName!=");
    let mut spec = spec(pod(), Vec::new());
    spec.watches.push(Watch { name: "w".into(), source: pod(), mapping: Mapping::Field(path(".spec.a")) });
    let kind = spec.reconciles.kind.clone();
    spec.indexes.push(FieldIndex {
        kind: kind.clone(),
        name: "i".into(),
        source: IndexSource::Field(path(".spec.b")),
    });
    let read = [path(".spec.nodeName"), path(".spec.a"), path(".spec.b")];
    assert_eq!(spec.fields(&kind), Fields::of(&read));
    spec.reconciles.fields = Fields::all();
    assert!(spec.fields(&kind).is_all());
}
