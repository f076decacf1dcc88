//! Nobody gives what they do not have: the checks of writes to roles and bindings.
//!
//! Follows "Privilege escalation prevention and bootstrapping" in the Kubernetes documentation: who writes
//! a role must have all that it allows, or may `escalate`; who writes a binding must have all that its role
//! allows, or may `bind` it.

use serde_json::Value;

use super::State;
use super::attributes::{Attributes, ResourceAttributes};
use super::cover;
use super::index::rules_of;
use super::rule::{Rule, quoted};
use super::user::User;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::{Key, Store};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a new state of a role or binding that gives more than its author has.
pub(crate) fn check(
    state: &State,
    store: &Store,
    user: &User,
    (kind, key): (&Kind, &Key),
    json: &Json,
    old: Option<&Json>,
) -> Result<(), ApiError> {
    if kind.group != GROUP || user.is_master() || !state.has_rules() {
        return Ok(());
    }
    if old.is_some_and(|old| lets_go(old) == lets_go(json)) {
        return Ok(());
    }
    let check = Check { state, store, user, kind, key, name: object::name(json) };
    match kind.plural.as_str() {
        "roles" | "clusterroles" => check.role(json, old),
        "rolebindings" | "clusterrolebindings" => check.binding(json),
        _ => Ok(()),
    }
}

/// An object without what lets it be collected: who changes no more than that gives nobody anything.
fn lets_go(json: &Json) -> Json {
    let mut json = json.clone();
    for field in ["ownerReferences", "finalizers", "managedFields"] {
        object::remove(&mut json, &["metadata", field]);
    }
    json
}

struct Check<'a> {
    state: &'a State,
    store: &'a Store,
    user: &'a User,
    kind: &'a Kind,
    /// Its name is empty for a create, as the path of a create has none.
    key: &'a Key,
    name: &'a str,
}

impl Check<'_> {
    fn role(&self, json: &Json, old: Option<&Json>) -> Result<(), ApiError> {
        if self.may("escalate", &self.kind.plural, &self.key.namespace, &self.key.name) {
            return Ok(());
        }
        self.has_all(&rules_of(json))?;
        let aggregates = |json: &Json| {
            let selectors = object::at(json, &["aggregationRule", "clusterRoleSelectors"]);
            selectors.and_then(Value::as_array).is_some_and(|selectors| !selectors.is_empty())
        };
        if (aggregates(json) || old.is_some_and(aggregates)) && self.has_all(&everything()).is_err() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(ApiError::forbidden(self.kind, self.name, why));
        }
        Ok(())
    }

    fn binding(&self, json: &Json) -> Result<(), ApiError> {
        let (kind, name) =
            (object::text(json, &["roleRef", "kind"]), object::text(json, &["roleRef", "name"]));
        let plural = if kind == "Role" { "roles" } else { "clusterroles" };
        if self.may("bind", plural, &self.key.namespace, name) {
            return Ok(());
        }
        let rules = self.state.roles.get(self.store).rules(json, &self.key.namespace);
        // As a cluster says it: of the role's name and the binding's resource.
        self.has_all(&rules.map_err(|_| ApiError::not_found(self.kind, name))?)
    }

    fn may(&self, verb: &str, plural: &str, namespace: &str, name: &str) -> bool {
        let attributes = ResourceAttributes::of_object(verb, (GROUP, plural), (namespace, name));
        self.state.decide(self.store, self.user, &Attributes::Resource(attributes)).allowed
    }

    fn has_all(&self, wanted: &[Rule]) -> Result<(), ApiError> {
        let (owned, error) = self.state.rules_for(self.store, self.user, &self.key.namespace);
        let missing = cover::missing(&owned, wanted);
        if missing.is_nothing() {
            return Ok(());
        }
        let mut lines: Vec<String> = missing.rules.iter().map(ToString::to_string).collect();
        lines.sort();
        lines.dedup();
        if missing.is_cut {
            lines.push("and more that is not listed".to_owned());
        }
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            quoted(&self.user.groups),
            lines.join("\n")
        );
        if let Some(error) = error {
            why.push_str(&format!("; resolution errors: [{error}]"));
        }
        Err(ApiError::forbidden(self.kind, self.name, &why))
    }
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), urls: all(), ..Rule::default() },
    ]
}
