//! All roles and bindings, arranged so that a decision looks only at what concerns who asks.
//!
//! It is made anew when one of them has changed: the store tells the version of each resource's last
//! change as soon as the change is made, so that a binding is in force for the next request.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::watch;

use super::rule::Rule;
use super::user::{User, service_account_name};
use crate::object::{self, Json};
use crate::store::{Key, Store};

pub(super) const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
pub(super) const ROLES: &str = "roles.rbac.authorization.k8s.io";
pub(super) const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
pub(super) const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const ALL: [&str; 4] = [CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS];

/// The newest index, and what tells whether it still is.
#[derive(Debug, Default)]
pub(super) struct Indexed {
    /// Asked for at first use: a store that is still to be filled must not know of the resources before.
    changes: OnceLock<[watch::Receiver<u64>; 4]>,
    newest: RwLock<Option<([u64; 4], Arc<Index>)>>,
}

impl Indexed {
    /// The index of all that was written before the call.
    pub(super) fn get(&self, store: &Store) -> Arc<Index> {
        // Read before the objects are: what changes in between makes the index old, and it is made again.
        let changes =
            self.changes.get_or_init(|| ALL.map(|storage| store.wake(&storage.into(), &Key::new("", ""))));
        let versions = changes.each_ref().map(|change| *change.borrow());
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, index)) = newest.filter(|(of, _)| *of == versions) {
            return index;
        }
        let index = Arc::new(Index::new(store));
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some((versions, index.clone()));
        index
    }
}

/// What a binding gives to one subject.
#[derive(Debug)]
pub(super) struct Grant {
    /// The rules of its role, or that there is no such role.
    pub(super) rules: Result<Arc<Vec<Rule>>, String>,
    /// The binding, its role and the subject, as reviews show them.
    pub(super) source: String,
    /// The number of the binding, of which several subjects may be one user's.
    pub(super) binding: usize,
}

#[derive(Debug, Default)]
struct Grants {
    users: HashMap<String, Vec<Arc<Grant>>>,
    groups: HashMap<String, Vec<Arc<Grant>>>,
}

impl Grants {
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Grant>> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(groups).flatten()
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By namespace ("" for ClusterRoles) and name.
    roles: HashMap<(String, String), Arc<Vec<Rule>>>,
    cluster: Grants,
    namespaces: HashMap<String, Grants>,
    bindings: usize,
}

impl Index {
    fn new(store: &Store) -> Self {
        let mut index = Self::default();
        for storage in [CLUSTER_ROLES, ROLES] {
            for role in store.list_all(storage) {
                let key = (object::namespace(&role.json).to_owned(), object::name(&role.json).to_owned());
                index.roles.insert(key, Arc::new(rules_of(&role.json)));
            }
        }
        for storage in [CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS] {
            for binding in store.list_all(storage) {
                index.add(&binding.json);
            }
        }
        index
    }

    fn add(&mut self, binding: &Json) {
        let (namespace, name) = (object::namespace(binding), object::name(binding));
        let (kind, role) =
            (object::text(binding, &["roleRef", "kind"]), object::text(binding, &["roleRef", "name"]));
        let rules = self.rules(binding, namespace);
        self.bindings = self.bindings.saturating_add(1);
        let number = self.bindings;
        let title = match namespace {
            "" => format!("ClusterRoleBinding {name:?}"),
            namespace => format!("RoleBinding {:?}", format!("{name}/{namespace}")),
        };
        let grants = match namespace {
            "" => &mut self.cluster,
            namespace => self.namespaces.entry(namespace.to_owned()).or_default(),
        };
        for subject in binding.get("subjects").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or_default();
            let (of_kind, subject) = (text("kind"), text("name"));
            let within = if text("namespace").is_empty() { namespace } else { text("namespace") };
            let (map, key, shown) = match of_kind {
                "User" => (&mut grants.users, subject.to_owned(), subject.to_owned()),
                "Group" => (&mut grants.groups, subject.to_owned(), subject.to_owned()),
                "ServiceAccount" if !within.is_empty() => {
                    let user = service_account_name(within, subject);
                    (&mut grants.users, user, format!("{subject}/{within}"))
                }
                _ => continue,
            };
            let source = format!("{title} of {kind} {role:?} to {of_kind} {shown:?}");
            map.entry(key).or_default().push(Arc::new(Grant {
                rules: rules.clone(),
                source,
                binding: number,
            }));
        }
    }

    /// The rules of the role that a binding in a namespace refers to, or that there is no such role.
    pub(super) fn rules(&self, binding: &Json, namespace: &str) -> Result<Arc<Vec<Rule>>, String> {
        let (kind, name) =
            (object::text(binding, &["roleRef", "kind"]), object::text(binding, &["roleRef", "name"]));
        let namespace = if kind == "Role" { namespace } else { "" };
        let role = self.roles.get(&(namespace.to_owned(), name.to_owned()));
        // A cluster-wide binding refers to no Role.
        let role = role.filter(|_| kind == "ClusterRole" || !namespace.is_empty());
        let missing = || format!("{}.rbac.authorization.k8s.io {name:?} not found", kind.to_lowercase());
        role.cloned().ok_or_else(missing)
    }

    /// What a user is given in a namespace (or, with "", in the cluster): cluster-wide bindings first.
    pub(super) fn grants<'a>(
        &'a self,
        user: &'a User,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Grant>> {
        let within = self.namespaces.get(namespace).map(|grants| grants.of(user));
        self.cluster.of(user).chain(within.into_iter().flatten())
    }
}

/// The rules of a Role or ClusterRole.
pub(super) fn rules_of(role: &Json) -> Vec<Rule> {
    role.get("rules").and_then(Value::as_array).into_iter().flatten().map(Rule::parse).collect()
}
