//! From what is wanted to a revision that is ready to take over, beside whatever runs: again and again, as
//! long as only the cluster, or a grant, is in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wheelhouse_controller::{PrepareError, Prepared, Shared};
use wheelhouse_sandbox::{Compiled, DescribeError};

use crate::grants::{Grants, Terms};
use crate::plugin_id::PluginId;
use crate::plugins::{Phase, Plugins};
use crate::source::Wanted;

/// How often a plugin that waits for the cluster is tried: it costs a request or two.
const RETRY: Duration = Duration::from_secs(1);

/// A configuration of a component: what a revision is made of.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) compiled: Compiled,
    pub(crate) config: Arc<str>,
}

impl Recipe {
    /// Whether it is the same, whatever it is granted.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.compiled.digest() == other.compiled.digest() && self.config == other.config
    }
}

/// What a revision is made from.
pub(crate) enum From {
    /// What its source has.
    Source(Wanted),
    /// What has run before, as the revision with this number.
    Kept(Recipe, u64),
}

/// A revision that is ready.
pub(crate) struct Ready {
    pub(crate) prepared: Prepared,
    pub(crate) recipe: Recipe,
    /// The number of the revision that it is once more.
    pub(crate) again: Option<u64>,
}

/// Why there is no revision yet.
pub(crate) struct Problem {
    /// In one word, for programs.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Whether it may be right later without another component or configuration.
    pub(crate) waits: bool,
}

impl Problem {
    fn lasting(reason: &'static str, message: impl ToString) -> Self {
        Self { reason, message: message.to_string(), waits: false }
    }
}

/// What it takes to prepare a revision of one plugin.
pub(crate) struct Preparation {
    pub(crate) plugins: Plugins,
    pub(crate) id: PluginId,
    pub(crate) shared: Shared,
    pub(crate) grants: watch::Receiver<Arc<Grants>>,
    /// What was rolled back, and is not to be tried again.
    pub(crate) rejected: Option<Recipe>,
}

impl Preparation {
    /// None if it cannot be loaded, or runs already; that is noted.
    pub(crate) async fn run(mut self, from: From) -> Option<Ready> {
        let (recipe, again) = match from {
            From::Kept(recipe, number) => (recipe, Some(number)),
            From::Source(wanted) => match self.recipe(wanted).await {
                Ok(recipe) => (recipe, None),
                Err(problem) => {
                    self.report(&problem);
                    return None;
                }
            },
        };
        if again.is_none() {
            if self.runs(&recipe) {
                tracing::info!(plugin = %self.id, "this is what runs already");
                self.plugins.update(&self.id, |slot| (slot.phase, slot.problem) = (Phase::Running, None));
                return None;
            }
            if self.rejected.as_ref().is_some_and(|rejected| rejected.is(&recipe)) {
                self.report(&Problem::lasting(
                    "RolledBack",
                    "it was rolled back, and is not tried again until its component or its configuration changes",
                ));
                return None;
            }
        }
        loop {
            // What comes from here on is not missed.
            self.grants.mark_unchanged();
            let problem = match self.attempt(&recipe).await {
                Ok(prepared) => return Some(Ready { prepared, recipe, again }),
                Err(problem) => problem,
            };
            self.report(&problem);
            if !problem.waits {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                Ok(()) = self.grants.changed() => {}
            }
        }
    }

    fn terms(&self, digest: &str) -> Result<Terms, String> {
        self.plugins.terms(&self.id, digest)
    }

    fn runs(&self, recipe: &Recipe) -> bool {
        let digest = recipe.compiled.digest();
        let running = self.plugins.controller(&self.id);
        let terms = self.terms(digest);
        running.zip(terms.ok()).is_some_and(|(now, terms)| now.runs(digest, &recipe.config, &terms.limits))
    }

    async fn recipe(&self, wanted: Wanted) -> Result<Recipe, Problem> {
        let Wanted { component, config, config_at } = wanted;
        tracing::info!(plugin = %self.id, bytes = component.len(), "loading");
        if let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&config) {
            let message = format!("its configuration {config_at} is no JSON object: {error}");
            return Err(Problem::lasting("ConfigInvalid", message));
        }
        let begun = Instant::now();
        let compiled = self.plugins.runtime().sandbox.compile(component).await.map_err(|error| {
            if let Some(limit) = error.limit() {
                self.shared.usage.breach(limit);
            }
            Problem::lasting("CompileFailed", error)
        })?;
        let how = if compiled.from_cache() { "loaded from the compile cache" } else { "compiled" };
        tracing::info!(plugin = %self.id, "{how} in {:.1?}", begun.elapsed());
        Ok(Recipe { compiled, config: config.into() })
    }

    async fn attempt(&self, recipe: &Recipe) -> Result<Prepared, Problem> {
        let Recipe { compiled, config } = recipe;
        let not_granted = |message| Problem { reason: "NotGranted", message, waits: true };
        let limits = self.terms(compiled.digest()).map_err(not_granted)?.limits;
        let runtime = self.plugins.runtime();
        let spec = runtime.describe(compiled, config, &limits, &self.shared).await;
        let spec = spec.map_err(|error| self.problem(error))?;
        let granted = self.plugins.grant(&self.id, &spec.name, compiled.digest(), &self.shared.granted);
        let (Terms { limits, .. }, _) = granted.map_err(not_granted)?;
        self.shared.usage.resize(&limits);
        let prepared = runtime.prepare(compiled, spec, config, &limits, &self.shared).await;
        prepared.map_err(|error| self.problem(error))
    }

    fn problem(&self, error: PrepareError) -> Problem {
        let reason = match &error {
            PrepareError::Describe(DescribeError::Config { .. }) => "ConfigRejected",
            PrepareError::Describe(_) | PrepareError::Tick { .. } => "DescribeFailed",
            PrepareError::NotGranted { .. } | PrepareError::Watch { .. } => "NotGranted",
            PrepareError::Kind { .. } => "KindUnavailable",
            PrepareError::Sync { .. } => "SyncTimeout",
        };
        let advice = match &error {
            PrepareError::NotGranted { .. } => format!("; {}", self.plugins.advice(&self.id)),
            _ => String::new(),
        };
        Problem { reason, message: format!("{error}{advice}"), waits: error.waits() }
    }

    fn report(&self, problem: &Problem) {
        self.plugins.report(&self.id, problem);
    }
}
