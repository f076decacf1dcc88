//! A running development cluster: start, addresses, shutdown.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::config::{DevClusterConfig, DevClusterError};
use crate::disk::{Disk, Restored};
use crate::faults::Faults;
use crate::object::{self, Object};
use crate::registry::Served;
use crate::store::Key;
use crate::write::{self, Write};
use crate::{access, admission, collector, decoding, workloads};

/// How long open requests may take to end once the server stops.
pub(crate) const GRACE: Duration = Duration::from_millis(800);
/// How long their connections may take then.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The namespaces that every cluster has.
const NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// An embedded Kubernetes API server that is up until it is shut down or dropped.
#[derive(Debug)]
pub struct DevCluster {
    addr: SocketAddr,
    cluster: Arc<Cluster>,
    server: JoinHandle<()>,
    controllers: Vec<JoinHandle<()>>,
}

impl DevCluster {
    /// Starts a cluster on the current tokio runtime. It serves requests once this returns.
    ///
    /// # Errors
    /// The address is no loopback address, is in use, or cannot be listened on; or the data directory cannot be used.
    pub async fn start(mut config: DevClusterConfig) -> Result<Self, DevClusterError> {
        if !config.addr.ip().is_loopback() {
            return Err(DevClusterError::NotLoopback(config.addr));
        }
        let listen_error = |source: std::io::Error| match source.kind() {
            ErrorKind::AddrInUse => DevClusterError::AddressInUse(config.addr),
            _ => DevClusterError::Listen { addr: config.addr, source },
        };
        let listener = TcpListener::bind(config.addr).await.map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        config.addr = addr;
        let runs_workloads = config.workloads;

        let (disk, restored) = match &config.data_dir {
            Some(folder) => open(folder.clone()).await.map(|(disk, restored)| (Some(disk), restored))?,
            None => (None, Restored::default()),
        };
        let access = prepare_access(&config).await?;
        let cluster = Cluster::new(config, access, disk);
        // They are told of what there was, and write nothing before it is there.
        let collector = collector::run(cluster.clone(), cluster.store.subscribe());
        let workloads = runs_workloads.then(|| workloads::run(cluster.clone(), cluster.store.subscribe()));
        let is_open = cluster.access.is_open();
        let furnisher = (!is_open).then(|| access::run(cluster.clone(), cluster.store.subscribe()));
        if let Some(version) = restored.version {
            // What was under way when the server before ended goes on.
            let served = cluster.registry.served();
            let objects =
                restored.objects.into_iter().map(|(place, object)| (place, settled(&served, object)));
            cluster.store.restore(version, objects.collect());
            cluster.registry.refresh(&cluster.store);
        }
        for name in NAMESPACES {
            if cluster.store.get("namespaces", &Key::new("", name)).is_none() {
                create_namespace(&cluster, name);
            }
        }
        admission::prepare(&cluster);
        let mut controllers = vec![tokio::spawn(cluster.clock.scope(collector))];
        controllers.extend(workloads.map(|workloads| tokio::spawn(cluster.clock.scope(workloads))));
        controllers.extend(furnisher.map(|furnisher| tokio::spawn(cluster.clock.scope(furnisher))));

        access::prepare(&cluster).map_err(|error| DevClusterError::Access(error.to_string()))?;

        let server = match cluster.access.tls_config() {
            Some(config) => serve(&cluster, access::TlsListener::new(listener, config)),
            None => serve(&cluster, listener.tap_io(|stream| access::no_delay(stream))),
        };
        tracing::debug!(%addr, "development cluster is up");
        Ok(Self { addr, cluster, server, controllers })
    }

    /// Where the server listens, with the port that the system chose.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The server's address as `http://127.0.0.1:PORT`, or with `https` where it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.cluster.access.tls_config().is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// A kubeconfig, as YAML, whose only context `wheelhouse-dev` is this server. Where there is access control, it is
    /// the administrator's, who may do everything: with their token, and the certificate to trust.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_for(access::ADMIN).unwrap_or_default()
    }

    /// The kubeconfig of one of the [users](crate::Access::users) by name, or of a ServiceAccount by its user name,
    /// such as `system:serviceaccount:default:robot`, whose token is then good for a day. None if there is no such
    /// user or ServiceAccount, or no access control.
    #[must_use]
    pub fn kubeconfig_for(&self, user: &str) -> Option<String> {
        access::kubeconfig(&self.cluster, &self.url(), user)
    }

    /// Has faults happen, for tests of what a client does about them.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(self.cluster.clone())
    }

    /// Stops the server: watches end, requests in flight may finish, and what is not answered after
    /// 0.8 s is refused with 503. All that was written is on the disk then, if it is to be kept.
    pub async fn shutdown(mut self) {
        self.cluster.stopping.send_replace(true);
        if tokio::time::timeout(GRACE.saturating_add(LAST_WORDS), &mut self.server).await.is_err() {
            tracing::debug!("there are connections that did not end in time");
        }
        let cluster = self.cluster.clone();
        // It panics if the disk does, which has said so.
        let _ = tokio::task::spawn_blocking(move || cluster.store.end()).await;
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        self.cluster.stopping.send_replace(true);
        self.server.abort();
        self.controllers.iter().for_each(JoinHandle::abort);
    }
}

/// Answers connections in a task, until the cluster stops.
fn serve<L>(cluster: &Arc<Cluster>, listener: L) -> JoinHandle<()>
where
    L: Listener<Addr: std::fmt::Debug>,
{
    let app = axum::Router::new().fallback(access::handle).with_state(cluster.clone());
    let mut stopping = cluster.stopping.subscribe();
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the cluster is gone, which ends the server too.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the development cluster stopped serving");
        }
    })
}

/// Makes or reads the server's keys.
async fn prepare_access(config: &DevClusterConfig) -> Result<access::State, DevClusterError> {
    let (wanted, folder) = (config.access.clone(), config.data_dir.clone());
    let prepared = tokio::task::spawn_blocking(move || access::State::new(&wanted, folder.as_deref())).await;
    let prepared = prepared.map_err(|error| DevClusterError::Access(error.to_string()))?;
    prepared.map_err(DevClusterError::Access)
}

/// Reads a data directory.
async fn open(folder: PathBuf) -> Result<(Disk, Restored), DevClusterError> {
    let path = folder.clone();
    let opened = tokio::task::spawn_blocking(move || Disk::open(&path)).await;
    let why = match opened {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(DevClusterError::DataDir { folder, why })
}

/// What was stored, as this server would have stored it.
fn settled(served: &Served, stored: Arc<Object>) -> Arc<Object> {
    let (api_version, kind) =
        (object::text(&stored.json, &["apiVersion"]), object::text(&stored.json, &["kind"]));
    let settled = served.of_kind(api_version, kind).and_then(|kind| decoding::settled(&kind, &stored.json));
    settled.map_or(stored.clone(), |json| Arc::new(Object::new(json, stored.version)))
}

fn create_namespace(cluster: &Cluster, name: &str) {
    let Some(kind) = cluster.registry.served().find("", "v1", "namespaces") else { return };
    let write = Write::by(kind, Key::new("", name), "wheelhouse-devcluster", "");
    let namespace = json!({ "metadata": { "name": name } }).as_object().cloned().unwrap_or_default();
    if let Err(error) = write::create(cluster, &write, namespace) {
        tracing::error!(%error, name, "cannot create a namespace");
    }
}
