//! What a development cluster is started with, and why it may refuse to start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::access::Access;

/// How to start a [`DevCluster`](crate::DevCluster). Every field has a sensible default.
#[derive(Debug, Clone)]
pub struct DevClusterConfig {
    /// Where to listen. Only loopback addresses are accepted, since it is for development; port 0
    /// lets the system choose. Default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// How many changes of each resource are remembered, of 64 MiB at most. A watch or a continue token from before
    /// them is answered with 410, as after a compaction. Default 4096.
    pub watch_history: usize,
    /// How often a watch that asked for bookmarks gets one while nothing happens. Default 60 s.
    pub bookmark_interval: Duration,
    /// Run stand-ins for the scheduler, the kubelet and the workload controllers: Deployments,
    /// StatefulSets, DaemonSets and Jobs get Pods that become ready on a Node `dev`, though no container
    /// runs. Default off.
    pub workloads: bool,
    /// Serve `/faults`, where faults can be had over HTTP as they can from
    /// [`DevCluster::faults`](crate::DevCluster::faults). Default off.
    pub faults: bool,
    /// The folder that the objects are kept in from one start to the next; nowhere by default. A write is answered
    /// once it is on the disk. One server at a time may use it.
    pub data_dir: Option<PathBuf>,
    /// Who may do what: by default everybody everything, over plain HTTP. With TLS and tokens, the server's keys are
    /// kept in the folder `access` of the data directory.
    pub access: Access,
}

impl Default for DevClusterConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            watch_history: 4096,
            bookmark_interval: Duration::from_secs(60),
            workloads: false,
            faults: false,
            data_dir: None,
            access: Access::default(),
        }
    }
}

/// Why a development cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevClusterError {
    /// The address is reachable from other machines.
    #[error(
        "{0} is not a loopback address: the development cluster is for this machine alone, use 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// Something else listens on the address.
    #[error("{0} is already in use: stop what listens there, or choose another port (0 for any free one)")]
    AddressInUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The access control that was asked for is none, or its keys cannot be had.
    #[error("access control: {0}")]
    Access(String),
    /// The data directory cannot be used.
    #[error("{}: {why}", folder.display())]
    DataDir {
        /// The directory.
        folder: PathBuf,
        /// Why it cannot be used.
        why: String,
    },
}
