//! Serves a development cluster until Ctrl-C and prints its kubeconfig.
//!
//! `cargo run -p wheelhouse-devcluster --example serve -- 8001 > /tmp/kubeconfig`

use std::net::{Ipv4Addr, SocketAddr};

use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let config = DevClusterConfig {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        workloads: true,
        ..DevClusterConfig::default()
    };
    let cluster = DevCluster::start(config).await?;
    #[expect(clippy::print_stdout, reason = "the kubeconfig is this program's output")]
    {
        print!("{}", cluster.kubeconfig());
    }
    tokio::signal::ctrl_c().await?;
    cluster.shutdown().await;
    Ok(())
}
