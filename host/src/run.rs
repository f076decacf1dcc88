//! `run` and `dev`: the whole host.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use wheelhouse_cache::{BoxFuture, ConnectError, InformerFactory, Rest, Rotation};
use wheelhouse_controller::Runtime;
use wheelhouse_core::limits::Limits;
use wheelhouse_sandbox::{Sandbox, SandboxConfig};

use crate::cli::{DevArgs, HostArgs, RunArgs};
use crate::directory::Directory;
use crate::grants::{Grants, Otherwise};
use crate::leader::{Election, Settings};
use crate::plugins::{self, Plugins};
use crate::resources::{self, Fetching, Resources};
use crate::source::Source as _;
use crate::traces::Traces;
use crate::{admin, compile, devcluster, logging};

/// How long the API server may take to answer at the start.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two attempts to reach an API server that was not there yet.
const AGAIN: Duration = Duration::from_secs(1);

/// Against a cluster.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let traces = Traces::start(args.host.otlp_endpoint.as_deref())?;
    logging::start(&args.host.log, traces.tracer())?;
    let mut signals = Signals::new()?;
    check_sources(&args.host)?;
    let load = configuration(args.context);
    let config = load().await.context(
        "no cluster to run against: set KUBECONFIG, or run in a Pod; `wheelhouse dev` needs no cluster",
    )?;
    let url = config.cluster_url.to_string();
    let rest = Rest::following(config, load, Rotation::default())
        .await
        .with_context(|| format!("no client for {url}"))?;
    let greeting = tokio::spawn(greet(rest.clone(), url));
    let result = host(&args.host, rest, Otherwise::Nothing, &mut signals).await;
    greeting.abort();
    traces.end().await;
    result
}

/// Says whether the API server answers, until it does. Nobody waits for that: plugins are loaded meanwhile.
async fn greet(rest: Rest, url: String) {
    let mut said = String::new();
    loop {
        let why = match tokio::time::timeout(CONNECT, rest.client().apiserver_version()).await {
            Ok(Ok(version)) => {
                tracing::info!(url, version = version.git_version, "connected");
                return;
            }
            // The innermost says what has happened: no connection, or no trust in the certificate.
            Ok(Err(error)) => anyhow::Error::from(error).root_cause().to_string(),
            Err(_) => format!("no answer within {CONNECT:?}"),
        };
        if said != why {
            tracing::warn!(
                "the API server at {url} cannot be reached: is it up, and is the kubeconfig the right one? Plugins are loaded meanwhile, and begin when it answers: {why}"
            );
            said = why;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Loads the cluster's configuration, and again whenever it may have changed.
fn configuration(
    context: Option<String>,
) -> impl Fn() -> BoxFuture<'static, Result<kube::Config, ConnectError>> + Send + Sync + 'static {
    move || {
        let context = context.clone();
        Box::pin(async move {
            if context.is_none() {
                return Ok(kube::Config::infer().await?);
            }
            let options = kube::config::KubeConfigOptions { context, ..Default::default() };
            Ok(kube::Config::from_kubeconfig(&options).await?)
        })
    }
}

/// Against an embedded API server.
pub(crate) async fn dev(args: DevArgs) -> anyhow::Result<()> {
    let traces = Traces::start(args.host.otlp_endpoint.as_deref())?;
    logging::start(&args.host.log, traces.tracer())?;
    let mut signals = Signals::new()?;
    check_sources(&args.host)?;
    let cluster = devcluster::start(&args.server).await?;
    let rest = devcluster::client(&cluster).await.context("no client for the embedded server")?;
    let result = async {
        if args.host.plugin_resources {
            resources::install(&rest).await?;
        }
        host(&args.host, rest, Otherwise::Declared, &mut signals).await
    };
    let result = result.await;
    cluster.shutdown().await;
    traces.end().await;
    result
}

/// Whether there is anywhere to take plugins from.
fn check_sources(args: &HostArgs) -> anyhow::Result<()> {
    let Some(folder) = args.plugin_dir.as_deref() else {
        if args.plugin_resources {
            return Ok(());
        }
        bail!("there is nowhere to take plugins from: name a --plugin-dir, or leave --plugin-resources on");
    };
    match std::fs::read_dir(folder) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("--plugin-dir {}: there is no such folder; create it, or name another", folder.display())
        }
        Err(error) => bail!("--plugin-dir {}: {error}", folder.display()),
    }
}

/// Runs plugins until the first signal, then ends in order; the second signal ends at once.
async fn host(
    args: &HostArgs,
    rest: Rest,
    otherwise: Otherwise,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    if let Some(file) = &args.config {
        tracing::info!(file = %file.display(), "the configuration is read from here; `wheelhouse config` shows it");
    }
    // `run` is what may run twice; a development cluster ends with its one host.
    let settings = Settings::of(&args.lease, otherwise == Otherwise::Nothing)?;
    let grants = Grants::follow(args.grants.as_deref(), otherwise).await?;
    let listener = admin::listen(args.admin_addr).await?;
    if args.grants.is_none() {
        match otherwise {
            Otherwise::Nothing => {
                tracing::warn!("no --grants: every plugin waits until it is granted what it needs")
            }
            Otherwise::Declared => tracing::info!(
                "for development, plugins are granted what they declare, but for what is granted only by a rule that names it (Secrets, RBAC, webhooks, ...); --grants says otherwise"
            ),
        }
    }
    if let Some(Settings { identity, namespace, .. }) = &settings {
        tracing::info!(identity, namespace, "leader election: this host works while it holds a lease");
    }
    let config = SandboxConfig { stack: args.stack, ..compile::sandbox(&args.compile)? };
    let fetching = Fetching {
        former: args.revision_history_limit,
        bytes: config.component_bytes,
        // No registry is to be asked all the time.
        interval: args.pull_interval.max(Duration::from_secs(1)),
        store: compile::component_store(&config).map(Arc::new),
    };
    let sandbox = Sandbox::new(config)?;
    // A host that cannot start must not die holding the lease: nothing fails from here on.
    let election = Election::start(settings, &rest);
    let runtime = Runtime {
        sandbox,
        informers: InformerFactory::new(rest.clone()),
        client: rest,
        reads: Default::default(),
        limits: Limits::default(),
        sync_timeout: args.sync_timeout,
    };
    let settings = plugins::Settings {
        grace: args.grace,
        probation: args.probation,
        revision_history_limit: args.revision_history_limit,
    };
    let plugins = Plugins::new(runtime, settings, grants, election.clone(), fetching.store.clone());
    let neighbours = election.neighbours().map(|them| tokio::spawn(plugins.clone().heed(them)));
    let admin = admin::serve(listener, plugins.clone());
    let (changes, receiver) = mpsc::channel(16);
    let mut sources = Vec::new();
    if let Some(folder) = &args.plugin_dir {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        tracing::info!(folder = %folder.display(), "plugins are loaded from here");
        sources.push(tokio::spawn(Box::new(Directory(folder)).tell(changes.clone())));
    }
    if args.plugin_resources {
        let runtime = plugins.runtime();
        let resources = Resources::new(runtime.informers.clone(), runtime.client.clone(), fetching);
        sources.push(tokio::spawn(Box::new(resources).tell(changes.clone())));
    }
    drop(changes);
    let statuses = tokio::spawn(resources::write(plugins.clone()));
    let failures = tokio::spawn(plugins.voice().clone().watch(plugins.clone()));

    let stop = async {
        signals.first().await;
        tracing::info!(grace = ?args.grace, "stopping: nothing new begins, what runs may end; a second signal ends at once");
    };
    plugins.follow(sources.len(), receiver, stop).await;
    // Not before nothing works under it any more: another host takes it at once.
    election.end().await;
    sources.iter().chain([&statuses, &failures]).chain(&neighbours).for_each(tokio::task::JoinHandle::abort);
    admin.abort();
    tracing::info!("stopped");
    Ok(())
}

/// The signals that end a host. From the second on, one ends the process at once.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("signals cannot be received");
        Ok(Self { interrupt: open(SignalKind::interrupt())?, terminate: open(SignalKind::terminate())? })
    }

    /// Waits for the first, and sees to the second.
    pub(crate) async fn first(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        tokio::spawn(async {
            if let Ok(mut second) = Signals::new() {
                tokio::select! {
                    _ = second.interrupt.recv() => {}
                    _ = second.terminate.recv() => {}
                }
                tracing::warn!("second signal: ending at once");
                // 128 + SIGINT, as a shell would report it.
                std::process::exit(130);
            }
        });
    }
}
