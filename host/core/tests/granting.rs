//! What is permitted is what is declared and granted: against a model that looks at every request there is
//! in a small world.
#![cfg(test)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use wheelhouse_core::gate::{Gate, Permission, Reason, Verb};
use wheelhouse_core::grant::{Grant, Rule};
use wheelhouse_core::granted::Granted;
use wheelhouse_core::request::{Change, Get, List, PatchType, Watch, Write};
use wheelhouse_core::{ApiError, Key, Kind, Scope};

const KINDS: [&str; 5] =
    ["v1/ConfigMap", "apps/v1/Deployment", "v1/Secret", "rbac.authorization.k8s.io/v1/Role", "v1/Pod"];
const SUBRESOURCES: [&str; 3] = ["", "status", "exec"];
/// "" is that of cluster-scoped objects, or all.
const NAMESPACES: [&str; 3] = ["", "a", "b"];
/// "" is that of a list, or of what the server is to name.
const NAMES: [&str; 3] = ["", "x", "y"];

fn guarded(kind: &str, subresource: &str) -> bool {
    matches!(kind, "v1/Secret" | "rbac.authorization.k8s.io/v1/Role")
        || (kind, subresource) == ("v1/Pod", "exec")
}

/// A rule in the words of a file.
#[derive(Clone, Debug)]
struct Written {
    verbs: Vec<&'static str>,
    kinds: Vec<&'static str>,
    subresources: Option<Vec<&'static str>>,
    namespaces: Vec<&'static str>,
    names: Option<Vec<&'static str>>,
}

impl Written {
    fn rule(&self) -> Rule {
        let mut rule = json!({"verbs": self.verbs, "kinds": self.kinds, "namespaces": self.namespaces});
        for (field, words) in [("subresources", &self.subresources), ("names", &self.names)] {
            if let Some(words) = words {
                rule[field] = json!(words);
            }
        }
        serde_json::from_value(rule).unwrap()
    }

    /// As the documentation has it.
    fn grants(&self, asked: &Asked) -> bool {
        let kind_named = self.kinds.contains(&asked.kind);
        let wild = asked.kind.rsplit_once('/').map(|(version, _)| format!("{version}/*")).unwrap();
        let kind_wild = self.kinds.contains(&"*") || self.kinds.iter().any(|kind| *kind == wild);
        let (sub_named, sub_wild) = match &self.subresources {
            None => (asked.subresource.is_empty(), false),
            Some(words) => {
                (words.contains(&asked.subresource), words.contains(&"*") && !asked.subresource.is_empty())
            }
        };
        let what = if guarded(asked.kind, asked.subresource) {
            kind_named && sub_named
        } else {
            (kind_named || kind_wild) && (sub_named || sub_wild)
        };
        what && (self.verbs.contains(&"*") || self.verbs.contains(&asked.verb.as_str()))
            && (self.namespaces.contains(&"*") || self.namespaces.contains(&asked.namespace))
            && self.names.as_ref().is_none_or(|names| !asked.name.is_empty() && names.contains(&asked.name))
    }
}

#[derive(Clone, Debug)]
struct Asked {
    verb: Verb,
    kind: &'static str,
    subresource: &'static str,
    namespace: &'static str,
    name: &'static str,
}

impl Asked {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for verb in Verb::ALL {
            for kind in KINDS {
                for subresource in SUBRESOURCES {
                    for namespace in NAMESPACES {
                        for name in NAMES {
                            all.push(Self { verb, kind, subresource, namespace, name });
                        }
                    }
                }
            }
        }
        all
    }

    /// Whether the gate lets it through, as the request that it is.
    fn permitted(&self, gate: &Gate) -> Option<bool> {
        let kind: Kind = self.kind.parse().unwrap();
        let key = Key::new(self.namespace, self.name);
        let selector = match self.name {
            "" => String::new(),
            name => format!("metadata.name={name}"),
        };
        let write = |change| {
            let (kind, key) = (kind.clone(), key.clone());
            let subresource = self.subresource.to_owned();
            Write { kind, key, subresource, dry_run: false, field_manager: "p".into(), change }
        };
        let body = || b"{}".to_vec();
        let answer = match self.verb {
            Verb::Get => {
                let subresource = self.subresource.to_owned();
                let get = Get { kind, key, subresource, consistency: Default::default() };
                gate.permit(get).map(drop)
            }
            Verb::List | Verb::Watch if !self.subresource.is_empty() => return None,
            Verb::List => gate.permit(list(&kind, self.namespace, &selector)).map(drop),
            Verb::Watch => return None,
            Verb::Create => gate.permit(write(Change::Create(body()))).map(drop),
            Verb::Update => gate.permit(write(Change::Update(body()))).map(drop),
            Verb::Patch => gate.permit(write(Change::Patch(PatchType::Merge, body()))).map(drop),
            Verb::Delete => {
                let change = Change::Delete {
                    propagation: None,
                    grace_period: None,
                    uid: None,
                    resource_version: None,
                };
                gate.permit(write(change)).map(drop)
            }
        };
        Some(answer.is_ok())
    }
}

fn list(kind: &Kind, namespace: &str, fields: &str) -> List {
    List {
        kind: kind.clone(),
        namespace: namespace.into(),
        selector: "app=web".parse().unwrap(),
        field_selector: fields.parse().unwrap(),
        matches: vec![],
        limit: 1,
        bytes: 1,
        after: None,
        consistency: Default::default(),
    }
}

fn words(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all, 1..=all.len())
}

fn written() -> impl Strategy<Value = Written> {
    const VERBS: &[&str] = &["*", "get", "list", "watch", "create", "update", "patch", "delete"];
    const PATTERNS: &[&str] = &[
        "*",
        "v1/*",
        "apps/v1/*",
        "rbac.authorization.k8s.io/v1/*",
        "v1/ConfigMap",
        "apps/v1/Deployment",
        "v1/Secret",
        "v1/Pod",
        "rbac.authorization.k8s.io/v1/Role",
    ];
    (
        words(VERBS),
        words(PATTERNS),
        proptest::option::of(words(&["*", "", "status", "exec"])),
        words(&["*", "a", "b"]),
        proptest::option::weighted(0.3, words(&["x", "y"])),
    )
        .prop_map(|(verbs, kinds, subresources, namespaces, names)| Written {
            verbs,
            kinds,
            subresources,
            namespaces,
            names,
        })
}

fn declared() -> impl Strategy<Value = Permission> {
    (
        proptest::sample::subsequence(&Verb::ALL, 1..=Verb::ALL.len()),
        proptest::sample::select(&KINDS),
        proptest::sample::select(&SUBRESOURCES),
        proptest::sample::subsequence(&["a", "b"], 0..=2),
    )
        .prop_map(|(verbs, kind, subresource, namespaces)| Permission {
            verbs,
            kind: kind.parse().unwrap(),
            subresource: subresource.into(),
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
        })
}

fn declares(permission: &Permission, asked: &Asked) -> bool {
    permission.verbs.contains(&asked.verb)
        && permission.kind.as_str() == asked.kind
        && permission.subresource == asked.subresource
        && (permission.namespaces.is_empty() || permission.namespaces.iter().any(|n| n == asked.namespace))
}

proptest! {
    #[test]
    fn just_what_is_declared_and_granted_is_let_through(
        declared in proptest::collection::vec(declared(), 0..4),
        first in proptest::collection::vec(written(), 0..3),
        second in proptest::collection::vec(written(), 0..3),
    ) {
        let granted = Arc::new(Granted::default());
        let gate = Gate::new("p", declared.clone(), Arc::clone(&granted));
        // Nothing at first, then one grant, then another: each counts at once.
        for rules in [Vec::new(), first, second] {
            granted.set(Grant::new(rules.iter().map(Written::rule).collect()));
            for asked in Asked::all() {
                let expected = declared.iter().any(|permission| declares(permission, &asked))
                    && rules.iter().any(|rule| rule.grants(&asked));
                if let Some(permitted) = asked.permitted(&gate) {
                    prop_assert_eq!(permitted, expected, "{:?} with {:?}", asked, rules);
                }
            }
        }
    }

    #[test]
    fn hostile_a_grant_within_a_namespace_is_that_and_nothing_outside(
        declared in proptest::collection::vec(declared(), 1..4),
        rules in proptest::collection::vec(written(), 0..3),
    ) {
        let grant = Grant::new(rules.iter().map(Written::rule).collect());
        let gate = |grant| Gate::new("p", declared.clone(), Arc::new(Granted::new(grant)));
        let (whole, within) = (gate(grant.clone()), gate(grant.within("a")));
        for asked in Asked::all() {
            let expected = asked.permitted(&whole).map(|permitted| permitted && asked.namespace == "a");
            prop_assert_eq!(asked.permitted(&within), expected, "{:?} with {:?}", asked, rules);
        }
        prop_assert_eq!(grant.within("a").within("b"), Grant::nothing());
    }

    #[test]
    fn what_a_grant_lacks_is_what_it_has_to_be_given(
        permission in declared(),
        rules in proptest::collection::vec(written(), 0..3),
    ) {
        let grant = Grant::new(rules.iter().map(Written::rule).collect());
        let all = |grant: &Grant| {
            let granted = Arc::new(Granted::new(grant.clone()));
            let gate = Gate::new("p", vec![permission.clone()], granted);
            let unnamed = |asked: &Asked| asked.name.is_empty() && declares(&permission, asked);
            Asked::all().iter().filter(|a| unnamed(a)).filter_map(|a| a.permitted(&gate)).all(|permitted| permitted)
        };
        match grant.lacks(&permission, "") {
            None => prop_assert!(all(&grant)),
            Some(lacking) => {
                let rules = grant.rules().iter().cloned().chain(Rule::of(&lacking)).collect();
                let mended = Grant::new(rules);
                prop_assert_eq!(mended.lacks(&permission, ""), None);
                prop_assert!(all(&mended));
            }
        }
    }

    #[test]
    fn a_rule_reads_back_from_the_line_that_suggests_it(permission in declared()) {
        let rule = Rule::of(&permission).unwrap();
        // Flow YAML of plain words is JSON once its words are quoted.
        let line = rule.to_string();
        let word = |c: char| c.is_ascii_alphanumeric() || "-./".contains(c);
        let (mut json, mut quoted) = (String::new(), false);
        for part in line.split_inclusive(|c: char| !word(c)) {
            let end = part.len() - part.chars().last().filter(|c| !word(*c)).map_or(0, char::len_utf8);
            let (text, sign) = part.split_at(end);
            let bare = !text.is_empty() && !quoted;
            json += &if bare { format!("\"{text}\"{sign}") } else { part.to_owned() };
            quoted ^= sign == "\"";
        }
        prop_assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    }
}

fn gate(declared: &[&str], rules: Value) -> (Gate, Arc<Granted>) {
    let permission = |kind: &&str| Permission {
        verbs: Verb::ALL.to_vec(),
        kind: kind.parse().unwrap(),
        subresource: String::new(),
        namespaces: vec![],
    };
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
    let granted = Arc::new(Granted::new(Grant::new(rules)));
    (Gate::new("p", declared.iter().map(permission).collect(), Arc::clone(&granted)), granted)
}

fn get(kind: &str, namespace: &str, name: &str) -> Get {
    let (kind, key) = (kind.parse().unwrap(), Key::new(namespace, name));
    Get { kind, key, subresource: String::new(), consistency: Default::default() }
}

#[test]
fn development_grants_what_is_declared_and_nothing_that_is_guarded() {
    let (gate, granted) = gate(&["v1/ConfigMap", "v1/Secret"], json!([]));
    assert!(gate.permit(get("v1/ConfigMap", "a", "x")).is_err());
    assert!(granted.set(Grant::all_but_guarded()));
    assert!(!granted.set(Grant::all_but_guarded()), "no change");
    assert!(gate.permit(get("v1/ConfigMap", "a", "x")).is_ok());
    let ApiError::Denied(denied) = gate.permit(get("v1/Secret", "a", "x")).unwrap_err() else { panic!() };
    assert_eq!(denied.reason, Reason::Ungranted);
    assert_eq!(
        denied.to_string(),
        "plugin p may not get v1/Secret in namespace a: the permission is declared, and not granted (no wildcard \
         grants it); the operator can add this to the rules of its grant: \
         {verbs: [get], kinds: [v1/Secret], namespaces: [a]}"
    );
}

#[test]
fn denials_are_counted_by_kind_and_strange_kinds_together() {
    let rules = json!([{"verbs": ["*"], "kinds": ["*", "v1/Node"], "namespaces": ["b"]}]);
    let (gate, granted) = gate(&["v1/ConfigMap"], rules);
    for kind in ["v1/ConfigMap", "v1/ConfigMap", "v1/Node", "x/v1/A", "x/v1/B", "v1/Pod"] {
        gate.permit(get(kind, "a", "x")).unwrap_err();
    }
    let named = |kind: &str| (Verb::Get, Some(kind.parse().unwrap()));
    let denials: Vec<_> = granted.denials().into_iter().map(|(verb, kind, n)| ((verb, kind), n)).collect();
    assert_eq!(denials, [((Verb::Get, None), 3), (named("v1/ConfigMap"), 2), (named("v1/Node"), 1)]);
}

#[test]
fn hostile_a_rule_with_names_gives_no_list_and_no_name_that_the_server_makes() {
    let rules =
        json!([{"verbs": ["*"], "kinds": ["v1/ConfigMap"], "namespaces": ["a"], "names": ["x", "z"]}]);
    let (gate, _) = gate(&["v1/ConfigMap"], rules);
    let kind: Kind = "v1/ConfigMap".parse().unwrap();
    let create = |name: &str, body: &str| Write {
        kind: kind.clone(),
        key: Key::new("a", name),
        subresource: String::new(),
        dry_run: false,
        field_manager: "p".into(),
        change: Change::Create(body.into()),
    };
    assert!(gate.permit(get("v1/ConfigMap", "a", "x")).is_ok());
    assert!(gate.permit(get("v1/ConfigMap", "a", "y")).is_err());
    assert!(gate.permit(create("x", "{}")).is_ok());
    assert!(gate.permit(create("", r#"{"metadata": {"generateName": "x"}}"#)).is_err());
    for (fields, permitted) in [
        ("", false),
        ("metadata.name=x", true),
        ("metadata.name==z,spec.a=b", true),
        ("metadata.name=y", false),
        ("metadata.name!=y", false),
        ("metadata.name=", false),
        ("metadata.namespace=x", false),
        ("spec.name=x", false),
        ("metadata['name']=x", true),
    ] {
        assert_eq!(gate.permit(list(&kind, "a", fields)).is_ok(), permitted, "{fields}");
        assert!(gate.permit(list(&kind, "", fields)).is_err(), "{fields} in all namespaces");
        let scope = Scope { namespace: "a".into(), fields: fields.parse().unwrap(), ..Scope::default() };
        assert_eq!(gate.permit(Watch { kind: kind.clone(), scope }).is_ok(), permitted, "{fields}");
    }
    let wide = list(&kind, "a", "metadata.name=x");
    assert!(wide.may_have(&Key::new("a", "x")));
    assert!(!wide.may_have(&Key::new("a", "y")) && !wide.may_have(&Key::new("b", "x")));
}
