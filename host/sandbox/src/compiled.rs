//! A component's code, ready to be instantiated.

use std::sync::Arc;

use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Spec};

use crate::bindings::PluginPre;
use crate::call::{self, Allowance};
use crate::convert;
use crate::declared;
use crate::digest::Digest;
use crate::engine::Sandbox;
use crate::error::{CallError, DescribeError};
use crate::host::{Authority, InstanceState};
use crate::inspection::Inspection;
use crate::instance::Instance;
use crate::output::LogContext;
use crate::revision::{Revision, RevisionSetup};

/// Compiled code: no state, no authority. Cheap to clone.
#[derive(Clone)]
pub struct Compiled {
    inner: Arc<Inner>,
}

struct Inner {
    sandbox: Sandbox,
    pre: PluginPre<InstanceState>,
    inspection: Inspection,
    digest: String,
    from_cache: bool,
}

impl Compiled {
    pub(crate) fn new(
        sandbox: Sandbox,
        pre: PluginPre<InstanceState>,
        inspection: Inspection,
        digest: Digest,
        from_cache: bool,
    ) -> Self {
        let digest = format!("sha256:{digest}");
        Self { inner: Arc::new(Inner { sandbox, pre, inspection, digest, from_cache }) }
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    pub(crate) fn pre(&self) -> &PluginPre<InstanceState> {
        &self.inner.pre
    }

    /// What its bytes say of it.
    pub fn inspection(&self) -> &Inspection {
        &self.inner.inspection
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Whether the compile cache had it.
    pub fn from_cache(&self) -> bool {
        self.inner.from_cache
    }

    /// Asks the plugin what it is and needs, with this configuration (a JSON object). The call has
    /// no authority: any import but the log traps.
    ///
    /// # Errors
    /// The configuration is rejected, the answer makes no sense, or there is none.
    pub async fn describe(&self, config: &str, limits: &Limits) -> Result<Spec, DescribeError> {
        self.describe_within(config, limits, &Arc::new(Usage::new(limits))).await
    }

    /// Likewise, on the account of a plugin that has been asked before: a description that is asked for
    /// again and again takes of the plugin's share of processor and log, and has no new one each time.
    ///
    /// # Errors
    /// As of [`Self::describe`].
    pub async fn describe_within(
        &self,
        config: &str,
        limits: &Limits,
        usage: &Arc<Usage>,
    ) -> Result<Spec, DescribeError> {
        let usage = Arc::clone(usage);
        let log = Arc::new(LogContext::new("(describe)", self.digest(), &usage));
        let state = InstanceState::new(
            Arc::new(Gate::closed("(describe)")),
            None,
            config.into(),
            log,
            limits.clone(),
            Arc::clone(&usage),
            Vec::new(),
        );
        let timeout = limits.describe_timeout;
        let (compiled, config) = (self.clone(), config.to_owned());
        let describing = Box::pin(async move {
            let mut instance = Instance::new(&compiled, state).await?;
            instance.state().begin(Authority::None, timeout, "", "");
            let described = instance.describe(&config).await?;
            // To make something of its answer is part of the call, and is measured as such.
            Ok(described.map_err(convert::rejected).and_then(declared::checked))
        });
        let allowance = Allowance {
            time: (timeout, Limit::DescribeTimeout),
            cpu: (limits.call_cpu, Limit::CallCpu),
            usage: Arc::clone(&usage),
        };
        let described = call::run(describing, allowance, self.sandbox().background()).await;
        if let Some(limit) = described.as_ref().err().and_then(CallError::limit) {
            usage.breach(limit);
        }
        described?
    }

    /// The code, alive: it makes instances when it is called.
    pub fn start(&self, setup: RevisionSetup) -> Revision {
        Revision::new(self.clone(), setup)
    }
}
