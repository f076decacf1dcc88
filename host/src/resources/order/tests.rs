//! What is read from resources, and what is wrong with them.

use serde_json::json;

use super::*;

fn cluster() -> PluginId {
    PluginId::Resource { namespace: String::new(), name: "p".to_owned() }
}

fn namespaced() -> PluginId {
    PluginId::Resource { namespace: "team-a".to_owned(), name: "p".to_owned() }
}

fn order(id: &PluginId, spec: Value) -> Order {
    let object = json!({"metadata": {"name": "p", "uid": "u", "generation": 3}, "spec": spec});
    read(id, &Object::from_value(&object).unwrap(), None)
}

fn problem(id: &PluginId, spec: Value) -> (&'static str, String) {
    let Err(Problem { reason, message, waits: false, step: Step::Fetch }) = order(id, spec.clone()).wanted
    else {
        panic!("{spec} is taken")
    };
    (reason, message)
}

#[test]
fn a_spec_says_what_is_to_run_and_on_which_terms() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let rule = json!({"verbs": ["get"], "kinds": ["v1/Pod"], "namespaces": ["*"]});
    let Order { ordered, wanted, .. } = order(
        &cluster(),
        json!({
            "component": {"configMap": {"namespace": "a", "name": "m", "key": "k"}, "digest": digest},
            "config": {"b": [1], "a": {"x": null}},
            "limits": {"memory": "32Mi"},
            "grant": {"rules": [rule]},
            "paused": true,
            "revisionHistoryLimit": 7,
            "allowSharedKind": true,
        }),
    );
    let (pull, config) = wanted.unwrap();
    assert_eq!(pull.place.to_string(), "key k of ConfigMap a/m");
    assert_eq!(config, r#"{"a":{"x":null},"b":[1]}"#);
    assert_eq!(pull.digest.unwrap().to_string(), digest);
    assert_eq!((ordered.uid.as_str(), ordered.generation), ("u", 3));
    assert_eq!(ordered.grant.as_ref().unwrap().rules().len(), 1);
    assert_eq!((ordered.paused, ordered.keep, ordered.shares_kind), (true, Some(7), true));
    assert_eq!(ordered.limits["memory"], "32Mi");

    let Order { ordered, wanted, .. } = order(&cluster(), json!({"component": {"oci": "example.com/p:1"}}));
    assert_eq!(wanted.unwrap().1, "{}");
    assert_eq!((ordered.grant.as_ref(), ordered.paused, ordered.keep), (None, false, None));
}

#[test]
fn what_the_status_says_is_heeded_whatever_the_spec_is() {
    let digest = |text: &str| format!("sha256:{text}");
    let status = json!({
        "digest": digest("1"), "configDigest": digest("2"),
        "rolledBack": {"digest": digest("1"), "configDigest": digest("3")},
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "OnProbation", "status": "True"}],
    });
    let mark = |config: &str| Mark { digest: digest("1"), config: digest(config) };
    let expected = Told { rolled_back: Some(mark("3")), runs: Some(mark("2")), on_probation: true };
    for spec in [json!({"component": {"oci": "example.com/p:1"}}), json!({"component": {}})] {
        let object = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status});
        let order = read(&cluster(), &Object::from_value(&object).unwrap(), None);
        assert_eq!(order.ordered.told, expected);
    }
    for status in [
        json!({}),
        json!({"digest": "x", "rolledBack": {"digest": "x"}, "conditions": "OnProbation"}),
        json!({"configDigest": 1, "conditions": [{"type": "OnProbation", "status": "False"}, 1]}),
    ] {
        let object = json!({"metadata": {"name": "p", "uid": "u"}, "status": status});
        assert_eq!(told(&Object::from_value(&object).unwrap()), Told::default(), "{status}");
    }
}

#[test]
fn a_spec_with_a_mistake_is_told_with_its_place() {
    let map = json!({"namespace": "a", "name": "m", "key": "k"});
    for (spec, part) in [
        (json!({}), "spec: missing field `component`"),
        (json!({"component": {}}), "exactly one of configMap, secret, oci and url"),
        (json!({"component": {"configMap": map, "oci": "example.com/x"}}), "exactly one of"),
        (
            json!({"component": {"configMap": {"name": "m", "key": "k"}}}),
            "spec.component.configMap.namespace: it is needed",
        ),
        (
            json!({"component": {"configMap": map, "digest": "sha256:1"}}),
            "spec.component.digest: \"sha256:1\" is no digest",
        ),
        (json!({"component": {"oci": "hello"}}), "spec.component.oci: \"hello\" is no location"),
        (
            json!({"component": {"url": "http://example.com/p.wasm?token=secret"}}),
            "spec.component.url: \"http://example.com/p.wasm\" is no location",
        ),
        (
            json!({"component": {"configMap": map, "pullPolicy": "Never"}}),
            "spec.component.pullPolicy: unknown variant",
        ),
        (
            json!({"component": {"configMap": map}, "limits": {"memroy": 1}}),
            "spec.limits: unknown field `memroy`",
        ),
        (json!({"component": {"configMap": map}, "limits": {"memory": "lots"}}), "lots"),
        (
            json!({"component": {"configMap": map}, "grant": {"rules": [{"verbs": ["get"], "kinds": ["Pod"], "namespaces": ["a"]}]}}),
            "spec.grant.rules[0].kinds[0]: \"Pod\" names no kinds",
        ),
        (json!({"component": {"configMap": map}, "sandbox": "none"}), "unknown field `sandbox`"),
    ] {
        let (reason, message) = problem(&cluster(), spec.clone());
        assert!(reason == "SpecInvalid" && message.contains(part), "{spec}: {reason}: {message}");
    }
}

#[test]
fn a_plugin_of_a_namespace_takes_its_component_from_there() {
    let of = |namespace: Option<&str>| {
        let mut map = json!({"name": "m", "key": "k"});
        if let Some(namespace) = namespace {
            map["namespace"] = json!(namespace);
        }
        json!({"component": {"secret": map}})
    };
    for named in [None, Some("team-a")] {
        let (pull, _) = order(&namespaced(), of(named)).wanted.unwrap();
        assert_eq!(pull.place.to_string(), "key k of Secret team-a/m");
    }
}

#[test]
fn hostile_a_plugin_of_a_namespace_names_no_object_of_another() {
    let map = json!({"name": "m", "key": "k", "namespace": "kube-system"});
    for component in [
        json!({"configMap": map}),
        json!({"secret": map}),
        json!({"oci": "example.com/x", "pullSecrets": [{"name": "s", "namespace": "kube-system"}]}),
    ] {
        let (reason, message) = problem(&namespaced(), json!({"component": component}));
        assert_eq!(reason, "NamespaceNotAllowed");
        assert!(message.contains("its own namespace team-a only, and not kube-system"), "{message}");
    }
}

#[test]
fn hostile_a_plugin_of_a_namespace_takes_nothing_from_the_hosts_own_addresses() {
    for component in [
        json!({"oci": "localhost:5000/p:1"}),
        json!({"oci": "127.0.0.1:5000/p:1"}),
        json!({"url": "http://127.0.0.1:9440/plugins"}),
        json!({"url": "https://LOCALHOST/p.wasm"}),
        json!({"url": "http://[::1]/p.wasm"}),
    ] {
        let spec = json!({"component": component});
        let (reason, message) = problem(&namespaced(), spec.clone());
        assert_eq!(reason, "AddressNotAllowed", "{message}");
        assert!(order(&cluster(), spec).wanted.is_ok());
    }
}

#[test]
fn a_place_is_looked_at_again_where_another_component_may_be_later() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let moves = |component: Value| {
        let (pull, _) = order(&cluster(), json!({"component": component})).wanted.unwrap();
        pull.moves()
    };
    for (oci, policy, expected) in [
        ("example.com/p", None, true),
        ("example.com/p:latest", None, true),
        ("example.com/p:latest", Some("IfNotPresent"), false),
        ("example.com/p:1", None, false),
        ("example.com/p:1", Some("Always"), true),
        (&format!("example.com/p:1@{digest}"), Some("Always"), false),
    ] {
        let mut component = json!({"oci": oci});
        if let Some(policy) = policy {
            component["pullPolicy"] = json!(policy);
        }
        assert_eq!(moves(component.clone()), expected, "{component}");
        component["digest"] = json!(digest);
        assert!(!moves(component), "there is no other with this digest");
    }
    assert!(!moves(json!({"url": "https://example.com/p.wasm"})));
    assert!(moves(json!({"url": "https://example.com/p.wasm", "pullPolicy": "Always"})));
    assert!(moves(json!({"configMap": {"namespace": "a", "name": "m", "key": "k"}})));
}

#[test]
fn a_mistake_leaves_the_terms_as_they_were() {
    let before = order(
        &cluster(),
        json!({"component": {"oci": "example.com/x"}, "limits": {"memory": "32Mi"}, "paused": true}),
    );
    let object = json!({"metadata": {"uid": "u", "generation": 4}, "spec": {"component": {}}});
    let object = Object::from_value(&object).unwrap();
    let after = read(&cluster(), &object, Some(&before.ordered));
    assert_eq!(*after.ordered, Ordered { generation: 4, ..Ordered::clone(&before.ordered) });
}
