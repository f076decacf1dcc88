//! What the controller around a plugin costs: its reconciles from queue to outcome, with and without tracking
//! what they read, and another revision that takes over.

use std::time::{Duration, Instant};

use anyhow::Result;
use wheelhouse_controller::{Controller, Prepared, Runtime, Shared};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::{Fence, Grant};
use wheelhouse_sandbox::{Compiled, Sandbox};

use crate::report::Row;
use crate::samples::Samples;
use crate::world::{World, nowhere};

/// What the design allows a hot swap of a compiled revision.
const SWAP: f64 = 20e6;
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A plugin with all that a host gives it, and revisions of it.
struct Hosted<'a> {
    runtime: Runtime,
    compiled: &'a Compiled,
    world: &'a World,
    limits: Limits,
    shared: Shared,
    /// Of its configuration, beside the world's.
    options: serde_json::Map<String, serde_json::Value>,
    revisions: u32,
    controller: Option<Controller>,
    /// Of a reconcile.
    reconciles: Samples,
    /// From a compiled component to a revision that is ready.
    prepared: Samples,
    /// From there until its first reconcile has ended.
    taken_over: Samples,
}

impl<'a> Hosted<'a> {
    fn new(sandbox: &Sandbox, compiled: &'a Compiled, world: &'a World, limits: &Limits) -> Result<Self> {
        let limits = limits.clone();
        let shared = Shared::new(&limits, Fence::open());
        Ok(Self {
            runtime: Runtime {
                sandbox: sandbox.clone(),
                informers: world.factory.clone(),
                client: nowhere()?,
                reads: Default::default(),
                limits: limits.clone(),
                sync_timeout: GRACE,
            },
            compiled,
            world,
            limits,
            shared,
            options: Default::default(),
            revisions: 0,
            controller: None,
            reconciles: Samples::default(),
            prepared: Samples::default(),
            taken_over: Samples::default(),
        })
    }

    async fn prepare(&mut self) -> Result<Prepared> {
        self.revisions += 1;
        let mut config = self.world.config();
        if let Some(config) = config.as_object_mut() {
            config.extend(self.options.clone());
            config.insert("revision".to_owned(), self.revisions.into());
        }
        let config = config.to_string();
        let spec = self.runtime.describe(self.compiled, &config, &self.limits, &self.shared).await?;
        self.shared.granted.set(Grant::all_but_guarded());
        let gate = self.runtime.gate(&spec, Grant::all_but_guarded())?;
        Ok(self.runtime.prepare(self.compiled, spec, &config, &self.limits, &self.shared, &gate).await?)
    }

    /// Another revision takes over. It reconciles all there is, unless the next one is to find the queue full.
    async fn round(&mut self, to_the_end: bool, keep: bool) -> Result<()> {
        let begun = Instant::now();
        let prepared = self.prepare().await?;
        let ready = Instant::now();
        let controller = match self.controller.take() {
            None => Controller::start(prepared).await,
            Some(controller) => {
                // What the new one does goes on meanwhile, on this very thread.
                let replaced = controller.replace(prepared, GRACE).await;
                anyhow::ensure!(replaced.drained, "reconciles were cut off");
                controller
            }
        };
        let first = loop {
            if let Some(first) = controller.record().and_then(|record| record.first_good) {
                break first;
            }
            tokio::task::yield_now().await;
        };
        if to_the_end {
            // All of them together are measured to a millisecond.
            while busy(&controller) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        if keep {
            self.prepared.extend([nanos(ready - begun)]);
            self.taken_over.extend([nanos(first)]);
            self.reconciles.extend([nanos(ready.elapsed()) / self.world.pods as u64]);
        }
        let failed = controller.status().errors;
        self.controller = Some(controller);
        anyhow::ensure!(failed == 0, "{failed} reconciles failed");
        Ok(())
    }

    async fn end(self) {
        if let Some(controller) = self.controller {
            controller.stop(GRACE).await;
        }
    }
}

/// A controller whose plugin wants to be asked again of every Pod at once, with these limits.
pub(crate) async fn flooding(
    sandbox: &Sandbox,
    compiled: &Compiled,
    world: &World,
    limits: &Limits,
) -> Result<Controller> {
    let mut hosted = Hosted::new(sandbox, compiled, world, limits)?;
    hosted.options.insert("floods".to_owned(), true.into());
    Ok(Controller::start(hosted.prepare().await?).await)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn busy(controller: &Controller) -> bool {
    let status = controller.status();
    status.queued + status.delayed + status.active > 0
}

/// Measures all of it.
pub(crate) async fn measure(
    sandbox: &Sandbox,
    compiled: &Compiled,
    world: &World,
    rounds: usize,
) -> Result<Vec<Row>> {
    let hosted = || Hosted::new(sandbox, compiled, world, &crate::unhindered());
    let (mut plain, mut tracking, mut waiting) = (hosted()?, hosted()?, hosted()?);
    tracking.options.insert("tracks".to_owned(), true.into());
    // The first two rounds warm up, and do not count.
    for round in 0..rounds + 2 {
        plain.round(true, round > 1).await?;
        tracking.round(true, round > 1).await?;
    }
    let tracked = tracking.controller.as_ref().and_then(Controller::dependencies);
    anyhow::ensure!(tracked.is_some_and(|(tracked, _)| tracked > 0), "nothing is tracked");
    for round in 0..rounds + 2 {
        waiting.round(false, round > 1).await?;
    }
    let rows = vec![
        Row::times("a reconcile that reads 5 Pods, from queue to outcome", &plain.reconciles),
        Row::times("likewise, and what it reads is tracked", &tracking.reconciles)
            .beside("not tracked", &plain.reconciles),
        Row::times("another revision of what is compiled is made ready", &plain.prepared),
        Row::times("from there to the end of its first reconcile", &plain.taken_over).within(SWAP),
        Row::times("likewise, while the one before is busy", &waiting.taken_over).within(SWAP),
    ];
    for hosted in [plain, tracking, waiting] {
        hosted.end().await;
    }
    Ok(rows)
}
