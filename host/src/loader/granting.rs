//! What a plugin is granted, and the name and the kind that it has to itself.

use wheelhouse_controller::Prepared;
use wheelhouse_core::gate::Permission;
use wheelhouse_core::{Kind, Spec};

use super::next::Next;
use super::{ELSEWHERE, Loader};
use crate::preparation::{Problem, problem};

impl Loader {
    /// Grants a revision that is ready what it is granted by now, just before it runs.
    pub(super) fn admit(&self, prepared: &Prepared) -> Result<(), Problem> {
        let (name, granted) = (&prepared.spec().name, &self.shared.granted);
        let terms = self.plugins.grant(&self.id, name, prepared.digest(), granted);
        terms.map_err(Problem::not_granted)?;
        prepared.is_granted().map_err(|error| problem(&self.plugins, &self.id, &error.into()))
    }

    /// Takes the name and the kind, unless they are another's, and says who has the kind as well.
    pub(super) fn claim(&self, spec: &Spec) -> Result<(), Problem> {
        let claim = self.plugins.claim_of(&self.id, spec);
        let mut taken = Ok(Vec::new());
        self.plugins.inner.claims.send_if_modified(|claims| {
            taken = claims.take(&spec.name, claim);
            taken.is_ok()
        });
        let sharing = taken?;
        self.note_claim();
        self.tell_who_shares(&spec.name, &spec.reconciles.kind, &sharing);
        Ok(())
    }

    /// Takes them for what runs already, which gives way after that if they are another's by now.
    pub(super) fn claim_again(&self, spec: &Spec) {
        let claim = self.plugins.claim_of(&self.id, spec);
        let mut sharing = Vec::new();
        self.plugins.inner.claims.send_modify(|claims| sharing = claims.put(&spec.name, claim));
        self.note_claim();
        self.tell_who_shares(&spec.name, &spec.reconciles.kind, &sharing);
    }

    /// Tells the other hosts what it has.
    fn note_claim(&self) {
        if let Some(driven) = &self.driven {
            driven.note(self.plugins.inner.claims.borrow().note(&self.id));
        }
    }

    fn tell_who_shares(&self, plugin: &str, kind: &Kind, sharing: &[String]) {
        for other in sharing {
            tracing::warn!(plugin, other, %kind, "two plugins reconcile the same kind in the same namespaces");
            self.plugins.voice().shares(&self.id, plugin, other, &kind.to_string());
        }
    }

    pub(super) fn release(&self) {
        self.plugins.inner.claims.send_if_modified(|claims| claims.release(&self.id));
    }

    /// Another plugin may have the kind by now, which is then that one's alone.
    pub(super) async fn claims_changed(&mut self) {
        if self.gives_way().await {
            self.go_on(ELSEWHERE).await;
        }
    }

    /// Stops what runs if its kind is another's by now, until that lets go of it; whether it is.
    async fn gives_way(&mut self) -> bool {
        let shares = self.plugins.shares_kind(&self.id);
        if self.plugins.inner.claims.send_if_modified(|claims| claims.share(&self.id, shares)) {
            self.note_claim();
        }
        let Some(controller) = self.controller() else { return false };
        let upheld = self.plugins.inner.claims.borrow().uphold(&self.id);
        let (plugin, kind) = (controller.spec().name.clone(), controller.reconciled());
        let Err(Problem { message, .. }) = upheld else {
            self.tell_who_shares_elsewhere(&plugin, &kind);
            self.stand();
            return false;
        };
        tracing::warn!(plugin, "it is stopped until it has its kind to itself again: {message}");
        self.rest().await;
        self.renewed = None;
        true
    }

    /// Stands for the plugin's lease, once nobody else is known to have what it has.
    pub(super) fn stand(&self) {
        if let Some(driven) = self.driven.as_ref().filter(|_| self.plugins.knows_elsewhere()) {
            driven.stand();
        }
    }

    /// Once for each, as long as that is so.
    fn tell_who_shares_elsewhere(&mut self, plugin: &str, kind: &Kind) {
        let sharing = self.plugins.inner.claims.borrow().sharing_elsewhere(&self.id);
        let news: Vec<String> =
            sharing.iter().filter(|other| !self.sharing_elsewhere.contains(other)).cloned().collect();
        self.tell_who_shares(plugin, kind, &news);
        self.sharing_elsewhere = sharing;
    }

    /// Stops what runs, which keeps its kind from nobody then.
    async fn rest(&mut self) {
        self.halt().await;
        self.sharing_elsewhere.clear();
        self.plugins.inner.claims.send_if_modified(|claims| claims.rest(&self.id));
    }

    /// Once for each load: what is declared and will be denied.
    pub(super) fn tell_what_is_denied(&self) {
        let Some(controller) = self.controller() else { return };
        let name = controller.spec().name.clone();
        let plugin = name.as_str();
        let written = self.plugins.terms(&self.id, &controller.digest()).is_ok_and(|terms| terms.written);
        let missing = controller.ungranted();
        match (written, missing.as_slice()) {
            (true, []) => {}
            (true, missing) => tracing::warn!(
                plugin,
                "it declares what it is not granted, or only in part; such calls are denied: {}",
                listed(missing)
            ),
            (false, []) => tracing::info!(plugin, "it is granted what it declares"),
            (false, missing) => tracing::warn!(
                plugin,
                "it is granted what it declares, but for this, which is granted only by a rule that names it: {}; {}",
                listed(missing),
                self.plugins.advice(&self.id)
            ),
        }
    }

    /// Has what runs do just what it is granted now, and under its limits. Who prepares something has heard of it as
    /// well.
    pub(super) async fn grants_changed(&mut self) -> Next {
        self.uphold().await;
        let limits = self.limits();
        // Others may be enough.
        self.failed.take_if(|failed| failed.limits != limits);
        self.go_on(ELSEWHERE).await
    }

    /// Stops what runs if it is granted too little for it, until it is granted that again; and if its kind is another's.
    pub(super) async fn uphold(&mut self) {
        if self.gives_way().await {
            return;
        }
        let Some(controller) = self.controller() else { return };
        let why = match self.plugins.uphold(&self.id, &controller) {
            Ok(terms) => {
                self.shared.usage.resize(&terms.limits);
                let missing = controller.ungranted_sources();
                if missing.is_empty() {
                    return;
                }
                format!("its sources need {}", listed(&missing))
            }
            Err(error) => error,
        };
        let plugin = controller.spec().name.clone();
        tracing::warn!(plugin, "it is stopped until it is granted again what it needs: {why}");
        self.rest().await;
    }
}

fn listed(permissions: &[Permission]) -> String {
    permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
