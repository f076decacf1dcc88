//! The task of one file of the plugin folder: from its content to what runs, and to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wheelhouse_controller::{Controller, PrepareError, Prepared, Shared};
use wheelhouse_core::gate::Permission;
use wheelhouse_sandbox::Compiled;

use crate::directory::Found;
use crate::grants::{Grants, Terms};
use crate::leader::Driven;
use crate::plugins::{Phase, Plugins, lock};

/// How often a plugin that waits for the cluster is tried: it costs a request or two.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct File {
    plugins: Plugins,
    path: PathBuf,
    /// The plugin name that it holds.
    claimed: Option<String>,
    shared: Shared,
    /// The last that it has heard of are upheld.
    grants: watch::Receiver<Arc<Grants>>,
    /// What has it work while its lease is held.
    driven: Option<Driven>,
}

impl File {
    pub(crate) fn new(plugins: Plugins, path: PathBuf) -> Self {
        let shared = Shared::new(&plugins.inner.runtime.limits, plugins.inner.election.fence());
        let grants = plugins.inner.grants.clone();
        Self { plugins, path, claimed: None, shared, grants, driven: None }
    }

    pub(crate) async fn run(mut self, mut wanted: watch::Receiver<Option<Found>>) {
        loop {
            let found = wanted.borrow_and_update().clone();
            if let Some(found) = found {
                // Another content that comes meanwhile makes an end of preparing this one; a switch
                // that has begun is finished.
                let prepared = tokio::select! {
                    prepared = self.prepare(found) => prepared,
                    changed = wanted.changed() => if changed.is_ok() { continue } else { break },
                };
                if let Some(prepared) = prepared {
                    self.switch(prepared).await;
                }
            } else {
                self.stop().await;
                self.release();
                lock(&self.plugins.inner.slots).remove(&self.path);
            }
            if !self.must_prepare(&mut wanted).await {
                break;
            }
        }
        self.stop().await;
    }

    /// Waits until there is a reason to prepare the file's content: another content, or grants by which
    /// what runs must not go on, or has other limits. False at the end.
    async fn must_prepare(&mut self, wanted: &mut watch::Receiver<Option<Found>>) -> bool {
        loop {
            tokio::select! {
                changed = wanted.changed() => return changed.is_ok(),
                Ok(()) = self.grants.changed() => {}
            }
            let grants = self.uphold().await;
            let Some(controller) = self.controller() else {
                if wanted.borrow().is_some() {
                    return true;
                }
                continue;
            };
            let limits = self.terms(&grants, &controller.digest()).map(|terms| terms.limits);
            if limits.is_ok_and(|limits| limits != controller.limits()) {
                return true;
            }
        }
    }

    /// Has what runs do just what it is granted now; stops it if that is too little for it.
    async fn uphold(&mut self) -> Arc<Grants> {
        let grants = Arc::clone(&self.grants.borrow_and_update());
        let Some(controller) = self.controller() else { return grants };
        let name = controller.spec().name.clone();
        let plugin = name.as_str();
        let problem = match self.plugins.uphold(&self.path, &controller) {
            Ok(terms) => {
                self.shared.usage.resize(&terms.limits);
                let missing = controller.ungranted_sources();
                if missing.is_empty() {
                    return grants;
                }
                format!("its sources need {}", listed(&missing))
            }
            Err(error) => error,
        };
        tracing::warn!(plugin, "it is stopped until it is granted again what it needs: {problem}");
        self.stop().await;
        grants
    }

    fn terms(&self, grants: &Grants, digest: &str) -> Result<Terms, String> {
        grants.terms(&self.path, digest, &self.plugins.inner.runtime.limits)
    }

    fn controller(&self) -> Option<Arc<Controller>> {
        lock(&self.plugins.inner.slots).get(&self.path).and_then(|slot| slot.controller.clone())
    }

    /// Prepares a content, again and again as long as only the cluster, or its grant, is in the way. None
    /// if it cannot be loaded, or runs already.
    async fn prepare(&mut self, found: Found) -> Option<Prepared> {
        let file = self.path.display().to_string();
        tracing::info!(file, bytes = found.component.len(), "loading");
        let usage = Arc::clone(&self.shared.usage);
        self.plugins.update(&self.path, |slot| (slot.phase, slot.usage) = (Phase::Loading, Some(usage)));
        let begun = Instant::now();
        let compiled = match self.compile(&found).await {
            Ok(compiled) => {
                let how = if compiled.from_cache() { "loaded from the compile cache" } else { "compiled" };
                tracing::info!(file, "{how} in {:.1?}", begun.elapsed());
                let grants = self.uphold().await;
                let limits = self.terms(&grants, compiled.digest()).map(|terms| terms.limits);
                let runs = |c: Arc<Controller>| {
                    limits.is_ok_and(|limits| c.runs(compiled.digest(), &found.config, &limits))
                };
                if self.controller().is_some_and(runs) {
                    tracing::info!(file, "this is what runs already");
                    self.plugins.update(&self.path, |slot| (slot.phase, slot.error) = (Phase::Running, None));
                    return None;
                }
                compiled
            }
            Err(error) => {
                self.report(Phase::Failed, &error);
                return None;
            }
        };
        loop {
            let (error, waits) = match self.try_prepare(&compiled, &found).await {
                Ok(prepared) => return Some(prepared),
                Err(error) => error,
            };
            self.report(if waits { Phase::Waiting } else { Phase::Failed }, &error);
            if !waits {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                Ok(()) = self.grants.changed() => {}
            }
        }
    }

    async fn compile(&self, found: &Found) -> Result<Compiled, String> {
        check_config(found)?;
        let compiled = self.plugins.inner.runtime.sandbox.compile(Arc::clone(&found.component)).await;
        compiled.map_err(|error| {
            if let Some(limit) = error.limit() {
                self.shared.usage.breach(limit);
            }
            error.to_string()
        })
    }

    /// What is wrong, and whether it may be right later without a change of the file.
    async fn try_prepare(&mut self, compiled: &Compiled, found: &Found) -> Result<Prepared, (String, bool)> {
        let grants = self.uphold().await;
        let terms = self.terms(&grants, compiled.digest()).map_err(|error| (error, true))?;
        let runtime = &self.plugins.inner.runtime;
        let problem = |error: PrepareError| {
            let advice = match &error {
                PrepareError::NotGranted { .. } => format!("; {}", grants.advice(&self.path)),
                _ => String::new(),
            };
            (format!("{error}{advice}"), error.waits())
        };
        let spec = runtime.describe(compiled, &found.config, &terms.limits, &self.shared).await;
        let spec = spec.map_err(problem)?;
        let terms = self.plugins.grant(&self.path, &spec.name, compiled.digest(), &self.shared.granted);
        let (terms, _) = terms.map_err(|error| (error, true))?;
        self.shared.usage.resize(&terms.limits);
        let prepared = runtime.prepare(compiled, spec, &found.config, &terms.limits, &self.shared).await;
        let prepared = prepared.map_err(problem)?;
        self.claim(&prepared.spec().name).map_err(|error| (error, false))?;
        Ok(prepared)
    }

    /// Notes what is wrong, and says so unless it was said.
    fn report(&self, phase: Phase, error: &str) {
        let file = self.path.display().to_string();
        let mut told = false;
        self.plugins.update(&self.path, |slot| {
            told = (slot.phase, slot.error.as_deref()) == (phase, Some(error));
            (slot.phase, slot.error) = (phase, Some(error.to_owned()));
        });
        let keeps = if self.controller().is_some() { "; the revision that runs stays" } else { "" };
        if !told {
            self.plugins.voice().does_not_load(&self.path, phase == Phase::Waiting, error);
        }
        match phase {
            _ if told => {}
            Phase::Waiting => {
                tracing::warn!(file, "cannot be loaded yet, and is tried again: {error}{keeps}")
            }
            _ => tracing::error!(file, "cannot be loaded: {error}{keeps}"),
        }
    }

    /// Two plugins of one name would fight over fields and be one in every log and metric.
    fn claim(&mut self, name: &str) -> Result<(), String> {
        let mut names = lock(&self.plugins.inner.names);
        match names.get(name) {
            Some(holder) if *holder != self.path => {
                return Err(format!(
                    "a plugin named {name} is already loaded from {}; remove one, or give it another name",
                    holder.display()
                ));
            }
            _ => {}
        }
        if let Some(old) = self.claimed.replace(name.to_owned())
            && old != name
        {
            names.remove(&old);
        }
        names.insert(name.to_owned(), self.path.clone());
        Ok(())
    }

    fn release(&mut self) {
        if let Some(name) = self.claimed.take() {
            lock(&self.plugins.inner.names).remove(&name);
        }
    }

    async fn switch(&mut self, prepared: Prepared) {
        let (spec, digest) = (Arc::clone(prepared.spec()), prepared.digest().to_owned());
        let (plugin, version) = (spec.name.as_str(), spec.version.as_str());
        let old = self.controller();
        let same =
            |old: &Arc<Controller>| old.reconciled() == spec.reconciles.kind && old.spec().name == spec.name;
        match old.filter(same) {
            Some(old) => {
                let replacing = Instant::now();
                if !old.replace(prepared, self.plugins.inner.grace).await {
                    tracing::warn!(
                        plugin,
                        "reconciles of the old revision did not end within the grace; they were stopped, and their objects requested again"
                    );
                }
                tracing::info!(plugin, version, digest, "replaced in {:.1?}", replacing.elapsed());
            }
            None => {
                // Another kind or name is another plugin: the old one ends first.
                self.stop().await;
                let controller = Arc::new(Controller::stand_by(prepared));
                self.driven = self.plugins.inner.election.drive(&controller, &self.shared.fence).await;
                let candidate = self.driven.as_ref().map(|driven| Arc::clone(&driven.candidate));
                let how = if candidate.is_some() { "ready to run under its lease" } else { "running" };
                self.plugins.update(&self.path, |slot| {
                    (slot.controller, slot.candidate) = (Some(controller), candidate);
                });
                tracing::info!(plugin, version, digest, reconciles = %spec.reconciles.kind, "{how}");
            }
        }
        self.plugins.update(&self.path, |slot| (slot.phase, slot.error) = (Phase::Running, None));
        let revision = self.controller().map_or(1, |controller| controller.status().revision);
        self.plugins.voice().runs(&self.path, plugin, version, &digest, revision);
        self.tell_what_is_denied();
    }

    /// Once for each load: what is declared and will be denied.
    fn tell_what_is_denied(&self) {
        let Some(controller) = self.controller() else { return };
        let (name, grants) = (controller.spec().name.clone(), Arc::clone(&self.grants.borrow()));
        let plugin = name.as_str();
        let written = self.terms(&grants, &controller.digest()).is_ok_and(|terms| terms.written);
        let missing = controller.ungranted();
        let file = self.path.display();
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
                "it is granted what it declares, but for this, which is granted only by a rule that names it: {}; `wheelhouse inspect {file} --grant` prints a grant for --grants",
                listed(missing)
            ),
        }
    }

    async fn stop(&mut self) {
        let mut controller = None;
        self.plugins.update(&self.path, |slot| {
            (controller, slot.candidate) = (slot.controller.take(), None);
        });
        if let Some(controller) = controller {
            let name = controller.spec().name.clone();
            let drained = controller.stop(self.plugins.inner.grace).await;
            let how =
                if drained { "" } else { "; reconciles that did not end within the grace were stopped" };
            tracing::info!(plugin = name, "stopped{how}");
        }
        if let Some(driven) = self.driven.take() {
            driven.end().await;
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.release();
    }
}

fn listed(permissions: &[Permission]) -> String {
    permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn check_config(found: &Found) -> Result<(), String> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&found.config) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "its configuration {} is no JSON object: {error}",
            crate::directory::config_path(&found.path).display()
        )),
    }
}
