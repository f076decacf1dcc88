//! Whether a user may do something.

use std::collections::HashSet;

use super::attributes::Attributes;
use super::rule::Rule;
use super::user::User;
use super::{AccessMode, State};
use crate::error::ApiError;
use crate::store::Store;

/// What was decided, and why as far as there is something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

impl State {
    pub(crate) fn decide(&self, store: &Store, user: &User, attributes: &Attributes) -> Decision {
        if self.mode != AccessMode::Rbac || user.is_master() {
            return Decision { allowed: true, reason: String::new() };
        }
        let namespace = match attributes {
            Attributes::Resource(of) => of.namespace.as_str(),
            Attributes::Path { .. } => "",
        };
        let mut errors: Vec<&str> = Vec::new();
        let index = self.roles.get(store);
        for grant in index.grants(user, namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    let reason = format!("RBAC: allowed by {}", grant.source);
                    return Decision { allowed: true, reason };
                }
                Ok(_) => {}
                Err(error) if errors.contains(&error.as_str()) => {}
                Err(error) => errors.push(error),
            }
        }
        let reason = if errors.is_empty() { String::new() } else { format!("RBAC: {}", aggregate(&errors)) };
        Decision { allowed: false, reason }
    }

    /// Refuses what a user may not do, in the words of the real server.
    pub(crate) fn require(
        &self,
        store: &Store,
        user: &User,
        attributes: &Attributes,
    ) -> Result<(), ApiError> {
        match self.decide(store, user, attributes) {
            Decision { allowed: true, .. } => Ok(()),
            Decision { reason, .. } => Err(forbidden(user, attributes, &reason)),
        }
    }

    /// The rules that a user has in a namespace, and what is wrong with their bindings.
    pub(super) fn rules_for(
        &self,
        store: &Store,
        user: &User,
        namespace: &str,
    ) -> (Vec<Rule>, Option<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        let (index, mut seen) = (self.roles.get(store), HashSet::new());
        for grant in index.grants(user, namespace).filter(|grant| seen.insert(grant.binding)) {
            match &grant.rules {
                Ok(more) => rules.extend(more.iter().cloned()),
                Err(error) => errors.push(error.as_str()),
            }
        }
        errors.dedup();
        let error = (!errors.is_empty()).then(|| aggregate(&errors));
        (rules, error)
    }
}

/// Several errors as one.
fn aggregate(errors: &[&str]) -> String {
    match errors {
        [only] => (*only).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> ApiError {
    let user = &user.name;
    let (what, resource, group, name) = match attributes {
        Attributes::Path { verb, path } => (format!("User {user:?} cannot {verb} path {path:?}"), "", "", ""),
        Attributes::Resource(of) => {
            let place = match of.namespace.as_str() {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            let what = format!(
                "User {user:?} cannot {} resource {:?} in API group {:?} {place}",
                of.verb,
                of.combined(),
                of.group
            );
            (what, of.resource.as_str(), of.group.as_str(), of.name.as_str())
        }
    };
    // So that a browser that shows it runs nothing of it.
    let mut why = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    ApiError::forbidden_request(group, resource, name, &why)
}
