//! What each plugin may do and use: as its grant file says, or its resource, and as of now.

use std::sync::Arc;

use wheelhouse_controller::Controller;
use wheelhouse_core::{Grant, Granted};

use crate::grants::{Grants, Terms};
use crate::plugin_id::PluginId;
use crate::plugins::{Plugins, Slot, lock};

impl Plugins {
    /// Has what runs do what it is granted by now, and nothing else.
    ///
    /// # Errors
    /// If nothing is granted to it any more, under its name or with its content.
    pub(crate) fn uphold(&self, id: &PluginId, controller: &Controller) -> Result<Terms, String> {
        let (name, granted) = (controller.spec().name.clone(), controller.granted());
        match self.grant(id, &name, &controller.digest(), &granted) {
            Ok((terms, changed)) => {
                if changed {
                    tracing::info!(plugin = name, "its grant has changed, and counts from now on");
                }
                Ok(terms)
            }
            Err(error) => {
                granted.set(Grant::nothing());
                Err(error)
            }
        }
    }

    /// Grants a component that calls itself so what it is granted by now; whether that is a change.
    ///
    /// # Errors
    /// If it may not have that name, or its grant is for another content; nothing is changed.
    pub(crate) fn grant(
        &self,
        id: &PluginId,
        plugin: &str,
        digest: &str,
        granted: &Granted,
    ) -> Result<(Terms, bool), String> {
        let _one_at_a_time = lock(&self.inner.granting);
        let terms = self.terms_under(id, plugin, digest)?;
        let changed = granted.set(terms.grant.clone());
        Ok((terms, changed))
    }

    /// What a component with this digest may do by now, if it may call itself so.
    ///
    /// # Errors
    /// If it may not have that name, or its grant is for another content.
    pub(crate) fn terms_under(&self, id: &PluginId, plugin: &str, digest: &str) -> Result<Terms, String> {
        let grants = Arc::clone(&self.inner.grants.borrow());
        match id.file() {
            Some(file) => grants.check_name(file, plugin)?,
            None => grants.check_free(plugin)?,
        }
        self.terms_of(&grants, id, digest)
    }

    /// What a component with this digest may do by now.
    ///
    /// # Errors
    /// If what it is granted is for another component.
    pub(crate) fn terms(&self, id: &PluginId, digest: &str) -> Result<Terms, String> {
        let grants = Arc::clone(&self.inner.grants.borrow());
        self.terms_of(&grants, id, digest)
    }

    fn terms_of(&self, grants: &Grants, id: &PluginId, digest: &str) -> Result<Terms, String> {
        let mut terms = self.written_terms(grants, id, digest)?;
        // More than the host has room for is as much as it has.
        terms.limits.memory = terms.limits.memory.min(self.inner.runtime.sandbox.max_memory());
        Ok(terms)
    }

    fn written_terms(&self, grants: &Grants, id: &PluginId, digest: &str) -> Result<Terms, String> {
        let host = &self.inner.runtime.limits;
        if let Some(file) = id.file() {
            return grants.terms(file, digest, host);
        }
        let of = |slot: &Slot| Some((slot.ordered.clone()?, slot.uid.clone()?));
        let of = lock(&self.inner.slots).get(id).and_then(of);
        // What runs yet of a resource that is gone has nothing of what another under its name is granted.
        let ordered = of.filter(|(ordered, uid)| ordered.uid == *uid).map(|(ordered, _)| ordered);
        let ordered = ordered.ok_or_else(|| "its resource is gone".to_owned())?;
        let limits = host.overridden(&ordered.limits).map_err(|error| format!("spec.limits: {error}"))?;
        let grant = ordered.grant.clone().unwrap_or_else(|| grants.otherwise());
        let grant = match id.namespace() {
            Some(namespace) => grant.within(namespace),
            None => grant,
        };
        Ok(Terms { grant, limits, written: ordered.grant.is_some() })
    }

    /// How to grant a plugin what it lacks.
    pub(crate) fn advice(&self, id: &PluginId) -> String {
        if let Some(file) = id.file() {
            return self.inner.grants.borrow().advice(file);
        }
        let within = match id.namespace() {
            Some(namespace) => format!("; a Plugin is granted nothing outside of its namespace {namespace}"),
            None => String::new(),
        };
        format!("add them to spec.grant.rules of {id}, if it is to have them{within}")
    }
}
