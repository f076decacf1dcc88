//! From what is wanted to a revision that is ready to take over, beside whatever runs: again and again, as
//! long as only the cluster, or a grant, is in the way.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use wheelhouse_controller::{PrepareError, Prepared, Shared};
use wheelhouse_core::Spec;
use wheelhouse_sandbox::{CallError, Compiled, DescribeError};

use crate::binary::{Binary, Form};
use crate::grants::{Grants, Terms};
use crate::plugin_id::PluginId;
use crate::plugins::Plugins;

/// How often a plugin that waits for the cluster is tried: it costs a request or two.
const RETRY: Duration = Duration::from_secs(1);

/// What there is to be done for a revision, in this order; one that is done has no more to do with a problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The component is fetched, and its digest verified.
    #[default]
    Fetch,
    /// It is validated and compiled.
    Compile,
    /// It is asked what it is and needs.
    Describe,
    /// That is held against its grant.
    Grant,
    /// Its kinds are synced.
    Sync,
    /// It takes over.
    Run,
}

/// A component and its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) component: Binary,
    /// As JSON.
    pub(crate) config: String,
    /// Where that is written, for people.
    pub(crate) config_at: String,
}

impl Content {
    pub(crate) fn mark(&self) -> Mark {
        Mark::new(&self.component.digest().to_string(), &self.config)
    }

    /// Whether it is the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.component == other.component && self.config == other.config
    }
}

/// A configuration of a component: what a revision is made of.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) compiled: Compiled,
    pub(crate) config: Arc<str>,
}

impl Recipe {
    pub(crate) fn mark(&self) -> Mark {
        Mark::new(self.compiled.digest(), &self.config)
    }
}

/// By what a recipe is known again, whatever it is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Of the component.
    pub(crate) digest: String,
    /// Of the configuration.
    pub(crate) config: String,
}

impl Mark {
    pub(crate) fn new(component: &str, config: &str) -> Self {
        let digest = Sha256::digest(config);
        let config = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { digest: component.to_owned(), config: format!("sha256:{config}") }
    }
}

/// What a revision is made from.
#[derive(Clone)]
pub(crate) enum From {
    /// What its source wants.
    Wanted(Content),
    /// What did well before this host began.
    Good(Content),
    /// What ran last, as the revision with this number, under other terms.
    Again(Recipe, u64),
    /// What ran before that, as the revision with this number.
    Back(Recipe, u64, Back),
}

impl From {
    /// Of its component.
    pub(crate) fn digest(&self) -> String {
        match self {
            Self::Wanted(content) | Self::Good(content) => content.component.digest().to_string(),
            Self::Again(recipe, _) | Self::Back(recipe, ..) => recipe.compiled.digest().to_owned(),
        }
    }

    /// The number of the revision that it is once more.
    pub(crate) fn again(&self) -> Option<u64> {
        match self {
            Self::Wanted(_) | Self::Good(_) => None,
            Self::Again(_, number) | Self::Back(_, number, _) => Some(*number),
        }
    }
}

/// Why a former revision is to run again.
#[derive(Clone, Debug)]
pub(crate) struct Back {
    /// What is not to be tried again.
    pub(crate) refuses: Option<Mark>,
    /// What is said of the revision that it replaces.
    pub(crate) why: String,
}

/// A revision that is ready.
pub(crate) struct Ready {
    pub(crate) prepared: Prepared,
    pub(crate) recipe: Recipe,
}

/// Why a revision never will be.
pub(crate) struct Unready {
    pub(crate) problem: Problem,
    /// Those that it was tried with.
    pub(crate) terms: Box<Result<Terms, String>>,
}

/// The reason of a revision that did worse than the one before, or that its operator did not want.
pub(crate) const ROLLED_BACK: &str = "RolledBack";

/// The reason of what is made ready before the cluster has said that it is still wanted.
const UNCONFIRMED: &str = "Unconfirmed";

/// Why there is no revision yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What could not be done.
    pub(crate) step: Step,
    /// In one word, for programs.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Whether it may be right later without another component or configuration.
    pub(crate) waits: bool,
}

impl Problem {
    /// What was rolled back.
    pub(crate) fn not_again() -> Self {
        let message =
            "it was rolled back, and is not tried again until its component or its configuration changes";
        Self::lasting(Step::Run, ROLLED_BACK, message)
    }

    /// Nobody has said yet that it is still wanted.
    pub(crate) fn unconfirmed() -> Self {
        let message = "it is ready as far as it can be without the cluster, and runs once that has said that its resource still wants it";
        Self { waits: true, ..Self::lasting(Step::Grant, UNCONFIRMED, message) }
    }

    /// It waits for a grant.
    pub(crate) fn not_granted(message: String) -> Self {
        Self { waits: true, ..Self::lasting(Step::Grant, "NotGranted", message) }
    }

    /// Of who ended without a word.
    pub(crate) fn unknown() -> Self {
        Self::lasting(
            Step::Describe,
            "PreparationFailed",
            "it could not be prepared: the host's log says why",
        )
    }

    fn lasting(step: Step, reason: &'static str, message: impl ToString) -> Self {
        Self { step, reason, message: message.to_string(), waits: false }
    }
}

/// What it takes to prepare a revision of one plugin.
pub(crate) struct Preparation {
    pub(crate) plugins: Plugins,
    pub(crate) id: PluginId,
    pub(crate) shared: Shared,
    pub(crate) grants: watch::Receiver<Arc<Grants>>,
    /// Whether the cluster, or a grant, is in the way.
    pub(crate) waits: watch::Sender<bool>,
}

impl Preparation {
    /// Until it is ready.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub(crate) async fn run(mut self, from: From) -> Result<Ready, Unready> {
        let recipe = match from {
            From::Again(recipe, _) | From::Back(recipe, ..) => recipe,
            From::Wanted(content) | From::Good(content) => {
                let terms = Box::new(self.terms(&content.component.digest().to_string()));
                self.recipe(content).await.map_err(|problem| Unready { problem, terms })?
            }
        };
        loop {
            // What comes from here on is not missed.
            self.grants.mark_unchanged();
            let terms = self.terms(recipe.compiled.digest());
            let problem = match self.attempt(&recipe, terms.clone()).await {
                Ok(prepared) => return Ok(Ready { prepared, recipe }),
                Err(problem) if problem.waits => problem,
                Err(problem) => return Err(Unready { problem, terms: Box::new(terms) }),
            };
            self.plugins.report(&self.id, &problem);
            self.waits.send_if_modified(|waits| !std::mem::replace(waits, true));
            let again = async {
                match problem.reason {
                    // It is begun anew once it is known better.
                    UNCONFIRMED => pending().await,
                    _ => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                () = again => {}
                Ok(()) = self.grants.changed() => {}
            }
        }
    }

    fn terms(&self, digest: &str) -> Result<Terms, String> {
        self.plugins.terms(&self.id, digest)
    }

    async fn recipe(&self, content: Content) -> Result<Recipe, Problem> {
        let Content { component, config, config_at } = content;
        if let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&config) {
            let message = format!("its configuration {config_at} is no JSON object: {error}");
            return Err(Problem::lasting(Step::Describe, "ConfigInvalid", message));
        }
        let broken = |why: &dyn std::fmt::Display| Problem::lasting(Step::Compile, "CompileFailed", why);
        let bytes = match component.form() {
            Form::Compiled(compiled) => return Ok(Recipe { compiled, config: config.into() }),
            Form::Broken(why) => return Err(broken(&why)),
            Form::Bytes(bytes) => bytes,
        };
        let begun = Instant::now();
        tracing::info!(plugin = %self.id, bytes = bytes.len(), "loading");
        let compiled = self.plugins.runtime().sandbox.compile(bytes).await.map_err(|error| {
            if let Some(limit) = error.limit() {
                self.shared.usage.breach(limit);
            }
            component.broken(&error.to_string());
            broken(&error)
        })?;
        let how = if compiled.from_cache() { "loaded from the compile cache" } else { "compiled" };
        tracing::info!(plugin = %self.id, "{how} in {:.1?}", begun.elapsed());
        component.compiled(&compiled);
        Ok(Recipe { compiled, config: config.into() })
    }

    async fn attempt(&self, recipe: &Recipe, terms: Result<Terms, String>) -> Result<Prepared, Problem> {
        let Recipe { compiled, config } = recipe;
        let Terms { limits, .. } = terms.map_err(Problem::not_granted)?;
        let runtime = self.plugins.runtime();
        self.plugins.begin(&self.id, Step::Describe);
        let spec = runtime.describe(compiled, config, &limits, &self.shared).await;
        if let Err(PrepareError::Describe(DescribeError::Call(CallError::Trap {
            reason, backtrace, ..
        }))) = &spec
        {
            let revision = compiled.digest();
            tracing::error!(plugin = %self.id, revision, backtrace, "describe() trapped: {reason}");
        }
        let spec = self.named(spec.map_err(|error| self.problem(error))?)?;
        if self.plugins.is_unconfirmed(&self.id) {
            return Err(Problem::unconfirmed());
        }
        self.plugins.begin(&self.id, Step::Grant);
        // Nothing of it is what runs yet, which may be granted nothing any more.
        let terms = self.plugins.terms_under(&self.id, &spec.name, compiled.digest());
        let Terms { limits, grant, .. } = terms.map_err(Problem::not_granted)?;
        let gate = runtime.gate(&spec, grant).map_err(|error| self.problem(error.into()))?;
        // Who is granted nothing of a kind does not hear who has it.
        self.plugins.check_claim(&self.id, &spec)?;
        self.shared.usage.resize(&limits);
        self.plugins.begin(&self.id, Step::Sync);
        let prepared = runtime.prepare(compiled, spec, config, &limits, &self.shared, &gate).await;
        prepared.map_err(|error| self.problem(error))
    }

    /// As the plugin that it is: one of a namespace is that namespace's alone.
    fn named(&self, spec: Arc<Spec>) -> Result<Arc<Spec>, Problem> {
        let Some(namespace) = self.id.namespace() else { return Ok(spec) };
        let within = Arc::unwrap_or_clone(spec).within(namespace);
        within.map(Arc::new).map_err(|error| Problem::lasting(Step::Describe, "DescribeFailed", error))
    }

    fn problem(&self, error: PrepareError) -> Problem {
        problem(&self.plugins, &self.id, &error)
    }
}

/// Why what is made ready for a plugin is not, for people.
pub(crate) fn problem(plugins: &Plugins, id: &PluginId, error: &PrepareError) -> Problem {
    let (step, reason) = match error {
        PrepareError::Describe(DescribeError::Config { .. }) => (Step::Describe, "ConfigRejected"),
        PrepareError::Describe(_) | PrepareError::Tick { .. } => (Step::Describe, "DescribeFailed"),
        PrepareError::NotGranted(_) | PrepareError::Watch { .. } => (Step::Grant, "NotGranted"),
        PrepareError::Kind { .. } => (Step::Sync, "KindUnavailable"),
        PrepareError::Sync { .. } => (Step::Sync, "SyncTimeout"),
    };
    let advice = match error {
        PrepareError::NotGranted(_) => format!("; {}", plugins.advice(id)),
        _ => String::new(),
    };
    Problem { step, reason, message: format!("{error}{advice}"), waits: error.waits() }
}
