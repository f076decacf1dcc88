use serde_json::{Value as Json, json};

use super::*;

fn object(json: &Json) -> Object {
    Object::from_value(json).unwrap()
}

fn delta(old: Option<Json>, new: Option<Json>) -> Delta {
    let (old, new) = (old.as_ref().map(object), new.as_ref().map(object));
    let key = new.as_ref().or(old.as_ref()).unwrap().key();
    Delta { key, old, new, cause: Cause::Live }
}

fn target() -> Target {
    Target { kind: "apps/v1/ReplicaSet".parse().unwrap(), namespaced: true, namespaces: Vec::new() }
}

fn owned_by(name: &str, api_version: &str, controller: bool) -> Json {
    json!({"metadata": {"namespace": "ns", "name": "pod", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "other", "controller": false},
        {"apiVersion": api_version, "kind": "ReplicaSet", "name": name, "controller": controller},
    ]}})
}

#[test]
fn the_controller_owner_is_requested_whatever_version_it_was_named_by() {
    let keys = |json| target().owners(false, &delta(None, Some(json)));
    assert_eq!(keys(owned_by("web", "apps/v1", true)), [Key::new("ns", "web")]);
    assert_eq!(keys(owned_by("web", "apps/v1beta1", true)), [Key::new("ns", "web")]);
    assert!(keys(owned_by("web", "apps/v1", false)).is_empty(), "an owner that is no controller");
    assert!(keys(owned_by("web", "other/v1", true)).is_empty(), "another group");
    let node = Target { kind: "v1/Node".parse().unwrap(), namespaced: false, namespaces: Vec::new() };
    let json = json!({"metadata": {"namespace": "ns", "name": "cm", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "controller": true}]}});
    assert_eq!(node.owners(false, &delta(None, Some(json))), [Key::new("", "n1")]);
}

#[test]
fn every_owner_is_requested_where_it_is_asked_for() {
    let owners = |names: [&str; 2]| {
        let owner = |name| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name});
        let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "controller": true});
        Some(json!({"metadata": {"namespace": "ns", "name": "shared", "ownerReferences": [
            owner(names[0]), other, owner(names[1])]}}))
    };
    let delta = delta(owners(["a", "b"]), owners(["b", "c"]));
    assert_eq!(target().owners(true, &delta), ["a", "b", "c"].map(|name| Key::new("ns", name)));
    assert!(target().owners(false, &delta).is_empty(), "none of them is the controller");
}

#[test]
fn trap_33_an_update_requests_the_old_owner_and_the_new_one() {
    let delta = delta(Some(owned_by("old", "apps/v1", true)), Some(owned_by("new", "apps/v1", true)));
    assert_eq!(target().owners(false, &delta), [Key::new("ns", "old"), Key::new("ns", "new")]);
}

#[test]
fn a_mapping_looks_at_the_object_before_and_after() {
    let pod = |node: Option<&str>, label: &str| json!({"metadata": {"namespace": "ns", "name": "p", "labels": {"app": label}}, "spec": {"nodeName": node}});
    let node = Target { kind: "v1/Node".parse().unwrap(), namespaced: false, namespaces: Vec::new() };
    let field = Mapping::Field(".spec.nodeName".parse().unwrap());
    let moved = delta(Some(pod(None, "a")), Some(pod(Some("n1"), "b")));
    assert_eq!(node.mapped(&field, &moved), [Key::new("", "n1")], "from no node to a node");
    let gone = delta(Some(pod(Some("n1"), "a")), None);
    assert_eq!(node.mapped(&field, &gone), [Key::new("", "n1")]);
    let label = Mapping::Label("app".to_owned());
    assert_eq!(target().mapped(&label, &moved), [Key::new("ns", "a"), Key::new("ns", "b")]);
}

fn source(predicate: &str) -> Source {
    Source {
        kind: "v1/Pod".parse().unwrap(),
        namespaces: vec!["ns".to_owned()],
        selector: "app=web".parse().unwrap(),
        field_selector: "spec.nodeName!=n2".parse().unwrap(),
        fields: Default::default(),
        predicate: predicate.parse().unwrap(),
    }
}

#[test]
fn a_source_hears_of_its_namespaces_and_of_what_its_selector_matched_or_matches() {
    let pod = |namespace: &str, app: &str| json!({"metadata": {"namespace": namespace, "name": "p", "labels": {"app": app}}});
    let concerns = |old, new| concerns(&source(""), &delta(old, new), false);
    assert!(concerns(None, Some(pod("ns", "web"))));
    assert!(!concerns(None, Some(pod("other", "web"))));
    assert!(!concerns(None, Some(pod("ns", "db"))));
    let mut elsewhere = pod("ns", "web");
    elsewhere["spec"] = json!({"nodeName": "n2"});
    assert!(!concerns(None, Some(elsewhere.clone())));
    assert!(concerns(Some(pod("ns", "web")), Some(elsewhere)), "it is selected no more");
    assert!(concerns(Some(pod("ns", "web")), Some(pod("ns", "db"))), "it is selected no more");
    assert!(concerns(Some(pod("ns", "web")), None));
}

#[test]
fn trap_34_a_status_write_is_no_news_to_who_asks_for_generations() {
    let pod = |generation: u32, phase: &str, uid: &str, deleting: Option<&str>| {
        json!({"metadata": {"namespace": "ns", "name": "p", "uid": uid, "labels": {"app": "web"},
               "generation": generation, "deletionTimestamp": deleting}, "status": {"phase": phase}})
    };
    let source = source("generation-changed");
    let before = || Some(pod(1, "Pending", "a", None));
    let concerns = |new| concerns(&source, &delta(before(), Some(new)), false);
    assert!(!concerns(pod(1, "Running", "a", None)));
    assert!(concerns(pod(2, "Pending", "a", None)));
    let again = Delta { cause: Cause::Resync, ..delta(before(), Some(pod(1, "Pending", "a", None))) };
    assert!(super::concerns(&source, &again, false), "a resync asks for no change");
    assert!(concerns(pod(1, "Pending", "b", None)), "created again with an equal generation");
    assert!(concerns(pod(1, "Pending", "a", Some("2026-01-01T00:00:00Z"))), "a deletion begins");
}

#[test]
fn what_comes_into_the_selection_is_created_and_what_leaves_it_deleted() {
    let pod = |app: &str| {
        Some(json!({"metadata": {"namespace": "ns", "name": "p", "generation": 1, "labels": {"app": app}}}))
    };
    let concerns = |predicate, old, new| concerns(&source(predicate), &delta(old, new), false);
    for predicate in ["generation-changed", "created", "labels-changed && !deleted"] {
        assert!(concerns(predicate, pod("db"), pod("web")), "{predicate}");
    }
    for predicate in ["generation-changed", "deleted", "labels-changed && !created"] {
        assert!(concerns(predicate, pod("web"), pod("db")), "{predicate}");
    }
    assert!(!concerns("generation-changed", pod("web"), pod("web")));
}

#[test]
fn trap_34_a_plugin_that_writes_status_each_time_comes_to_rest() {
    let object = |generation: u32, writes: usize| {
        json!({"metadata": {"namespace": "ns", "name": "p", "uid": "a", "labels": {"app": "web"},
               "generation": generation, "resourceVersion": writes.to_string()}, "status": {"writes": writes}})
    };
    // What a plugin causes whose every reconcile writes: the reconciles after the first, of 100 at most.
    let runs = |predicate: &str| {
        let source = source(predicate);
        let asked = |&n: &usize| concerns(&source, &delta(Some(object(1, n)), Some(object(1, n + 1))), false);
        (0..100).take_while(asked).count()
    };
    assert_eq!(runs(""), 100, "without a predicate it would go on for ever");
    assert_eq!(runs("resource-version-changed"), 100);
    for predicate in ["generation-changed", "field-changed(.spec)", "labels-changed || created"] {
        assert_eq!(runs(predicate), 0, "{predicate}");
    }
    // A user's change among the plugin's own is seen, also if both come as one.
    let both = delta(Some(object(1, 1)), Some(object(2, 3)));
    assert!(concerns(&source("generation-changed"), &both, false));
}

fn annotated(namespace: Option<&str>, of: &str) -> Delta {
    delta(
        None,
        Some(json!({"metadata": {"namespace": namespace, "name": "n", "annotations": {"of": of}},
                            "spec": {"of": [of]}})),
    )
}

#[test]
fn an_annotation_or_a_field_names_an_object_here_or_elsewhere() {
    let cluster = Target { kind: "v1/Node".parse().unwrap(), namespaced: false, namespaces: Vec::new() };
    for mapping in [Mapping::Annotation("of".to_owned()), Mapping::Field(".spec.of[*]".parse().unwrap())] {
        let keys = |target: &Target, namespace, of| target.mapped(&mapping, &annotated(namespace, of));
        assert_eq!(keys(&target(), Some("ns"), "x"), [Key::new("ns", "x")]);
        assert_eq!(keys(&target(), Some("ns"), "other/x"), [Key::new("other", "x")]);
        assert_eq!(keys(&target(), None, "other/x"), [Key::new("other", "x")], "of a cluster-scoped object");
        assert!(keys(&target(), None, "x").is_empty(), "it does not say in which namespace");
        assert_eq!(keys(&cluster, Some("ns"), "x"), [Key::new("", "x")]);
        assert!(keys(&cluster, Some("ns"), "ns/x").is_empty(), "no cluster-scoped object is called so");
    }
    let label = Mapping::Label("of".to_owned());
    assert!(target().mapped(&label, &annotated(Some("ns"), "x")).is_empty(), "an annotation is no label");
}

#[test]
fn hostile_what_can_be_no_name_or_is_none_of_the_plugins_requests_nothing() {
    let mapping = Mapping::Annotation("of".to_owned());
    let long = "x".repeat(254);
    for odd in
        ["", "/", "/x", "ns/", "a/b/c", "ns/..", ".", "a b", "A/b", "ns/x\n", "ns/é", " x", long.as_str()]
    {
        let keys = target().mapped(&mapping, &annotated(Some("ns"), odd));
        assert!(keys.is_empty(), "{odd:?}: {keys:?}");
    }
    let confined = Target { namespaces: vec!["ns".to_owned()], ..target() };
    assert_eq!(confined.mapped(&mapping, &annotated(Some("other"), "ns/x")), [Key::new("ns", "x")]);
    assert!(confined.mapped(&mapping, &annotated(Some("ns"), "kube-system/x")).is_empty());
    assert!(confined.mapped(&mapping, &annotated(Some("other"), "x")).is_empty());
}

#[test]
fn a_status_that_changed_and_changed_back_unseen_is_a_change_to_who_goes_by_it() {
    let phase = |phase: &str| {
        json!({"metadata": {"namespace": "ns", "name": "p", "uid": "a", "labels": {"app": "web"}, "generation": 1},
               "status": {"phase": phase}})
    };
    // Folded: it was Running in between, and a reconcile may have read that.
    let back = delta(Some(phase("Pending")), Some(phase("Pending")));
    for predicate in ["field-changed(.status.phase)", "labels-changed || field-changed(.status)"] {
        assert!(concerns(&source(predicate), &back, true), "{predicate}");
        assert!(!concerns(&source(predicate), &back, false), "{predicate}");
    }
    let selected = Source { field_selector: "status.phase=Running".parse().unwrap(), ..source("") };
    assert!(concerns(&selected, &back, true), "it came into the selection and left it");
    assert!(!concerns(&selected, &back, false));
    for predicate in ["generation-changed", "field-changed(.spec)"] {
        assert!(!concerns(&source(predicate), &back, true), "{predicate}: own writes of status stay unheard");
    }
}
