use super::*;

fn source(kind: &str, namespaces: &[&str], labels: &str, fields: &str) -> Source {
    Source {
        kind: kind.parse().unwrap(),
        namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
        selector: labels.parse().unwrap(),
        field_selector: fields.parse().unwrap(),
        fields: Fields::of([]),
        predicate: Predicate::default(),
    }
}

fn spec(reconciles: Source, owns: Vec<Source>) -> Spec {
    Spec {
        name: "p".into(),
        version: "1".into(),
        reconciles,
        owns: owns.into_iter().map(|source| Owned { source, any_owner: false }).collect(),
        watches: Vec::new(),
        caches: Vec::new(),
        ticks: Vec::new(),
        indexes: Vec::new(),
        permissions: Vec::new(),
        options: Options { concurrency: 1, resync: None, timeout: None, track_dependencies: false },
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
        ("kinds", 64, 1, &|spec, more| {
            spec.owns = (0..more).map(|_| Owned { source: pod(), any_owner: false }).collect()
        }),
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
fn what_is_only_read_has_no_predicate_and_the_built_in_index_no_second() {
    let pod = || source("v1/Pod", &[], "", "");
    let mut with_predicate = spec(pod(), Vec::new());
    with_predicate.caches.push(Source { predicate: "labels-changed".parse().unwrap(), ..pod() });
    assert!(matches!(with_predicate.check(), Err(SpecError::CacheWithPredicate(_))));
    let mut with_index = spec(pod(), Vec::new());
    let source = IndexSource::Plugin;
    with_index.indexes.push(FieldIndex { kind: pod().kind, name: OWNER_INDEX.into(), source });
    assert!(matches!(with_index.check(), Err(SpecError::BuiltInIndex(_))));
}

#[test]
fn what_selectors_predicates_mappings_and_indexes_look_at_is_read_too() {
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
    let predicate = "labels-changed || !(field-changed(.spec.c) && field-changed(.metadata.name))";
    spec.caches.push(Source { predicate: predicate.parse().unwrap(), ..pod() });
    let read = [path(".spec.nodeName"), path(".spec.a"), path(".spec.b"), path(".spec.c")];
    assert_eq!(spec.fields(&kind), Fields::of(&read));
    spec.reconciles.fields = Fields::all();
    assert!(spec.fields(&kind).is_all());
}

#[test]
fn a_tick_requests_what_can_be_reconciled_and_not_all_the_time() {
    let with = |ticks: Vec<Tick>, namespaces: &[&str]| {
        let mut spec = spec(source("v1/Pod", namespaces, "", ""), Vec::new());
        spec.ticks = ticks;
        spec.check()
    };
    let second = Duration::from_secs(1);
    let tick = |name: &str, every, keys: &[Key]| Tick { name: name.into(), every, keys: keys.to_vec() };
    let here = Key::new("a", "x");
    assert_eq!(
        with(vec![tick("t", second, std::slice::from_ref(&here)), tick("u", second * 9, &[])], &["a", "b"]),
        Ok(())
    );
    let error = |ticks, namespaces: &[&str]| with(ticks, namespaces).unwrap_err().to_string();
    for (ticks, problem) in [
        (vec![tick("t", second, &[]), tick("t", second, &[])], "tick \"t\" is declared twice"),
        (vec![tick("t", Duration::from_millis(999), &[])], "tick \"t\" is every 999ms: at least 1s must lie"),
        (
            vec![tick("t", second, &[Key::new("a", "x/y")])],
            "requests \"a/x/y\", and no object can be called so",
        ),
        (vec![tick("t", second, &[Key::new("a", "")])], "no object can be called so"),
        (
            vec![tick("t", second, &[Key::new("c", "x")])],
            "requests c/x, and what is reconciled is in namespaces a,b",
        ),
        (vec![tick("t", second, &vec![here; 65])], "keys of a tick: 65 are declared, at most 64 may be"),
        (
            (0..17).map(|i| tick(&format!("t{i}"), second, &[])).collect(),
            "ticks: 17 are declared, at most 16",
        ),
    ] {
        let error = error(ticks, &["a", "b"]);
        assert!(error.contains(problem), "{error}");
    }
    assert_eq!(with(vec![tick("t", second, &[Key::new("c", "x")])], &[]), Ok(()), "in all namespaces");
}

#[test]
fn a_plugin_of_a_namespace_has_its_sources_and_permissions_there_and_a_name_of_its_own() {
    let permission = |namespaces: &[&str]| Permission {
        verbs: vec![crate::gate::Verb::Get],
        kind: "v1/Secret".parse().unwrap(),
        subresource: String::new(),
        namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
    };
    let mut spec = spec(source("v1/Pod", &[], "", ""), vec![source("v1/Service", &["b"], "", "")]);
    spec.caches = vec![source("v1/Node", &[], "", "")];
    spec.permissions = vec![permission(&[]), permission(&["b", "c"])];
    let spec = spec.within("a").unwrap();
    assert_eq!(spec.name, "a.p");
    let of = |source: &Source| source.namespaces.join(",");
    assert_eq!(
        spec.sources().map(of).collect::<Vec<_>>(),
        ["a", "b", "a"],
        "what it names stays, to be denied"
    );
    assert_eq!(spec.permissions, [permission(&["a"]), permission(&["b", "c"])]);
}

#[test]
fn hostile_a_plugin_of_a_namespace_has_no_object_of_another_requested() {
    let mut other = spec(source("v1/Pod", &[], "", ""), vec![]);
    let every = std::time::Duration::from_secs(60);
    other.ticks = vec![Tick { name: "t".into(), every, keys: vec![Key::new("a", "x"), Key::new("b", "x")] }];
    assert_eq!(other.check(), Ok(()));
    let error = other.within("a").unwrap_err();
    assert!(
        matches!(error, SpecError::TickNamespace { ref key, .. } if *key == Key::new("b", "x")),
        "{error}"
    );
}
