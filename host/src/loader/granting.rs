//! What a plugin is granted, and the name and the kind that it has to itself.

use wheelhouse_core::Spec;
use wheelhouse_core::gate::Permission;

use super::next::Next;
use super::{ELSEWHERE, Loader};
use crate::claims::Claim;
use crate::plugins::lock;
use crate::preparation::Problem;

impl Loader {
    /// Takes the name and the kind, unless they are another's.
    pub(super) fn claim(&mut self, spec: &Spec) -> Result<(), Problem> {
        let claim = Claim::new(&self.id, spec, self.plugins.shares_kind(&self.id));
        lock(&self.plugins.inner.claims).check(&spec.name, &claim)?;
        self.take_claim(spec);
        Ok(())
    }

    /// Takes them, and says who has them as well.
    pub(super) fn take_claim(&mut self, spec: &Spec) {
        let claim = Claim::new(&self.id, spec, self.plugins.shares_kind(&self.id));
        let mut claims = lock(&self.plugins.inner.claims);
        let (plugin, kind) = (spec.name.as_str(), &spec.reconciles.kind);
        for (other, _) in claims.meeting(&claim) {
            tracing::warn!(plugin, other, %kind, "two plugins reconcile the same kind in the same namespaces");
            self.plugins.voice().shares(&self.id, plugin, other, &kind.to_string());
        }
        claims.take(plugin, claim);
    }

    pub(super) fn release(&mut self) {
        lock(&self.plugins.inner.claims).release(&self.id);
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

    /// Stops what runs if it is granted too little for it, until it is granted that again.
    pub(super) async fn uphold(&mut self) {
        let Some(controller) = self.controller() else { return };
        let problem = match self.plugins.uphold(&self.id, &controller) {
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
        tracing::warn!(plugin, "it is stopped until it is granted again what it needs: {problem}");
        self.halt().await;
    }
}

fn listed(permissions: &[Permission]) -> String {
    permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
