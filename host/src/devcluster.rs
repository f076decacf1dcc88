//! The embedded API server, and how to reach it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::cli::{DevclusterArgs, ServerArgs};
use crate::logging;
use crate::run::Signals;

/// Starts it, writes the kubeconfig that was asked for, and says how to reach it.
pub(crate) async fn start(args: &ServerArgs) -> anyhow::Result<DevCluster> {
    let cluster = DevCluster::start(DevClusterConfig {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
        workloads: args.workloads,
        faults: args.faults,
        data_dir: args.data_dir.clone(),
        ..Default::default()
    })
    .await?;
    let url = cluster.url();
    match &args.kubeconfig_out {
        Some(file) => {
            std::fs::write(file, cluster.kubeconfig())
                .with_context(|| format!("--kubeconfig-out {}: cannot be written", file.display()))?;
            tracing::info!(url, "API server up; try: kubectl --kubeconfig {} get namespaces", file.display());
        }
        None => tracing::info!(url, "API server up; try: kubectl --server {url} get namespaces"),
    }
    Ok(cluster)
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
