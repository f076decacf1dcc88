//! The embedded API server, and how to reach it.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use wheelhouse_cache::Rest;
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig};

use crate::cli::{DevclusterArgs, ServerAccess, ServerArgs};
use crate::logging;
use crate::run::Signals;

/// Starts it, writes the kubeconfig that was asked for, and says how to reach it.
pub(crate) async fn start(args: &ServerArgs) -> anyhow::Result<DevCluster> {
    if args.access != ServerAccess::Open && args.kubeconfig_out.is_none() {
        bail!("--access tls and rbac need --kubeconfig-out FILE: nobody is let in without the token in it");
    }
    let cluster = DevCluster::start(DevClusterConfig {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
        workloads: args.workloads,
        faults: args.faults,
        access: match args.access {
            ServerAccess::Open => Access::default(),
            ServerAccess::Tls => Access::tls(),
            ServerAccess::Rbac => Access::rbac(),
        },
        data_dir: args.data_dir.clone(),
        ..Default::default()
    })
    .await?;
    let url = cluster.url();
    match &args.kubeconfig_out {
        Some(file) => {
            write_private(file, &cluster.kubeconfig())
                .with_context(|| format!("--kubeconfig-out {}: cannot be written", file.display()))?;
            tracing::info!(url, "API server up; try: kubectl --kubeconfig {} get namespaces", file.display());
        }
        None => tracing::info!(url, "API server up; try: kubectl --server {url} get namespaces"),
    }
    Ok(cluster)
}

/// There may be a token in it.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    written.write_all(text.as_bytes())?;
    written.persist(file)?;
    Ok(())
}

/// A client of its administrator.
pub(crate) async fn client(cluster: &DevCluster) -> anyhow::Result<Rest> {
    let kubeconfig = Kubeconfig::from_yaml(&cluster.kubeconfig())?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // It is on this machine, whatever the environment says of others.
    config.proxy_url = None;
    Ok(Rest::of(config)?)
}

/// `wheelhouse devcluster`.
pub(crate) async fn serve(args: DevclusterArgs) -> anyhow::Result<()> {
    logging::start(&args.log, None)?;
    let mut signals = Signals::new()?;
    let cluster = start(&args.server).await?;
    signals.first().await;
    cluster.shutdown().await;
    Ok(())
}
