//! Objects on disk, so that a server that is started anew has them.
//!
//! One thread writes what was committed in memory, many changes in one transaction, and says up to which version
//! all is on the disk. Whoever answers a write waits for that first: what was acknowledged survives a `kill -9`, and
//! what was not may be lost. A watch may have seen the latter: see [`GAP`]. Once the disk fails, nothing is written any
//! more.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::watch;

use crate::history::{Change, Event};
use crate::object::{Json, Object};
use crate::store::{Key, Place};

/// By resource, namespace and name, with a zero between them: the version and the object as JSON.
const OBJECTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const VERSION: &str = "version";
const FILE: &str = "devcluster.redb";
/// A server that is started anew goes on so many versions later: those between may have been seen by watches, and
/// were not on the disk yet when the one before ended. There are never so many of them.
const GAP: u64 = 100_000;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("another server uses it: stop that one, or name another folder")]
    InUse,
    #[error("{0}")]
    Unusable(String),
}

/// What there was when the server before has ended.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// None in a new folder.
    pub(crate) version: Option<u64>,
    pub(crate) objects: Vec<(Place, Arc<Object>)>,
}

/// Where changes go. The thread that writes ends with it, once all is written.
#[derive(Debug)]
pub(crate) struct Disk {
    /// None once it is closed.
    changes: Mutex<Option<mpsc::Sender<Arc<Event>>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    /// Up to which version all is on the disk; its sender is gone when the disk fails.
    written: watch::Receiver<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unusable(error: impl Into<redb::Error>) -> DiskError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => DiskError::InUse,
        error => DiskError::Unusable(error.to_string()),
    }
}

fn path((storage, key): &Place) -> String {
    format!("{storage}\0{}\0{}", key.namespace, key.name)
}

fn place(path: &str) -> Option<Place> {
    // A name may have any character: it is what is left.
    let mut parts = path.splitn(3, '\0');
    let (storage, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some((storage.into(), Key::new(namespace, name)))
}

fn io(error: std::io::Error) -> DiskError {
    DiskError::Unusable(error.to_string())
}

impl Disk {
    /// Opens a folder, which is made if there is none. There are Secrets in it: it is for its owner alone.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Restored), DiskError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(folder.join(FILE)).map_err(io)?;
        let backend = FileBackend::new(file).map_err(unusable)?;
        Self::over(Database::builder().create_with_backend(backend).map_err(unusable)?)
    }

    fn over(database: Database) -> Result<(Self, Restored), DiskError> {
        let restored = restore(&database)?;
        let (changes, received) = mpsc::channel();
        let (sender, written) = watch::channel(restored.version.unwrap_or(0));
        let thread = thread::Builder::new()
            .name("devcluster-disk".to_owned())
            .spawn(move || write(&database, &received, &sender))
            .map_err(io)?;
        let (changes, thread) = (Mutex::new(Some(changes)), Mutex::new(Some(thread)));
        Ok((Self { changes, thread, written }, restored))
    }

    /// It is written soon.
    pub(crate) fn put(&self, event: Arc<Event>) {
        if let Some(changes) = &*lock(&self.changes) {
            // Without a thread that takes it the disk has failed, which `until` says.
            let _ = changes.send(event);
        }
    }

    /// Returns when all is written, and the folder is another server's to use. What comes later is not kept.
    pub(crate) fn close(&self) {
        lock(&self.changes).take();
        if let Some(thread) = lock(&self.thread).take() {
            // If it has panicked, there is nothing more to wait for.
            let _ = thread.join();
        }
    }

    /// Whether nothing can be written any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.written.has_changed().is_err()
    }

    /// Waits until all up to a version is on the disk; whether it ever will be.
    pub(crate) fn until(&self, version: u64) -> impl Future<Output = bool> + Send + use<> {
        let mut written = self.written.clone();
        async move { written.wait_for(|written| *written >= version).await.is_ok() }
    }
}

fn restore(database: &Database) -> Result<Restored, DiskError> {
    let version = begin(database)?;
    let transaction = database.begin_read().map_err(unusable)?;
    let mut objects = Vec::new();
    for entry in transaction.open_table(OBJECTS).map_err(unusable)?.iter().map_err(unusable)? {
        let (path, value) = entry.map_err(unusable)?;
        let (version, bytes) = value.value();
        let damaged = || DiskError::Unusable(format!("{:?} cannot be read", path.value()));
        let json: Json = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let place = place(path.value()).ok_or_else(damaged)?;
        objects.push((place, Arc::new(Object::new(json, version))));
    }
    Ok(Restored { version, objects })
}

/// The version to go on from, which is on the disk before any is given: the next start goes on later still.
fn begin(database: &Database) -> Result<Option<u64>, DiskError> {
    let transaction = database.begin_write().map_err(unusable)?;
    // So that there is something to read in a new file.
    transaction.open_table(OBJECTS).map_err(unusable)?;
    let version = {
        let mut counters = transaction.open_table(COUNTERS).map_err(unusable)?;
        let version = counters.get(VERSION).map_err(unusable)?.map(|last| last.value().saturating_add(GAP));
        if let Some(version) = version {
            counters.insert(VERSION, version).map_err(unusable)?;
        }
        version
    };
    transaction.commit().map_err(unusable)?;
    Ok(version)
}

/// Until nobody has anything to write any more, or the disk fails.
fn write(database: &Database, changes: &mpsc::Receiver<Arc<Event>>, written: &watch::Sender<u64>) {
    while let Ok(first) = changes.recv() {
        // Of each object, the last state. All that has come by now goes with it.
        let mut newest: BTreeMap<String, Arc<Event>> = BTreeMap::new();
        let mut version = 0;
        for event in std::iter::once(first).chain(changes.try_iter()) {
            version = event.object.version.max(version);
            newest.insert(path(&(event.storage.clone(), event.key.clone())), event);
        }
        if let Err(error) = put(database, &newest, version) {
            tracing::error!(%error, "the data directory cannot be written any more: no write is acknowledged from now on");
            return;
        }
        written.send_replace(version);
    }
}

fn put(database: &Database, newest: &BTreeMap<String, Arc<Event>>, version: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for (path, event) in newest {
            match event.change {
                Change::Deleted => objects.remove(path.as_str())?,
                Change::Added | Change::Modified => {
                    objects.insert(path.as_str(), (event.object.version, event.object.bytes().as_ref()))?
                }
            };
        }
        transaction.open_table(COUNTERS)?.insert(VERSION, version)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Result};
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::extract::State;
    use http::{Request, StatusCode};
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::cluster::Cluster;
    use crate::{collector, handler, workloads};

    /// A disk that can be made to fail, and to wait.
    #[derive(Debug, Default)]
    struct Frail {
        memory: InMemoryBackend,
        fails: Arc<AtomicBool>,
        /// Takes its time as long as this is so.
        waits: Arc<AtomicBool>,
    }

    impl StorageBackend for Frail {
        fn len(&self) -> Result<u64> {
            self.memory.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            self.memory.read(offset, out)
        }

        fn set_len(&self, len: u64) -> Result<()> {
            self.memory.set_len(len)
        }

        fn sync_data(&self) -> Result<()> {
            while self.waits.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            self.memory.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
            match self.fails.load(Ordering::Relaxed) {
                true => Err(Error::other("no space left")),
                false => self.memory.write(offset, data),
            }
        }
    }

    async fn create(cluster: &Arc<Cluster>, name: &str) -> StatusCode {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
        let request = Request::post("/api/v1/nodes").header("content-type", "application/json");
        handler::handle(State(cluster.clone()), request.body(body.into()).unwrap()).await.status()
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let (disk, _) = Disk::open(&folder).unwrap();
        disk.close();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        assert!(Disk::open(&folder).is_ok(), "it is opened again");
    }

    #[tokio::test]
    async fn once_the_disk_has_failed_nothing_is_written_and_nobody_works_on() {
        let backend = Frail::default();
        let fails = backend.fails.clone();
        let database = Database::builder().create_with_backend(backend).unwrap();
        let (disk, _) = Disk::over(database).unwrap();
        let cluster = Cluster::open(Some(disk));
        let collector = tokio::spawn(collector::run(cluster.clone(), cluster.store.subscribe()));
        let workloads = tokio::spawn(workloads::run(cluster.clone(), cluster.store.subscribe()));
        assert_eq!(create(&cluster, "a").await, StatusCode::CREATED);
        fails.store(true, Ordering::Relaxed);
        assert_eq!(create(&cluster, "b").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(create(&cluster, "c").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(cluster.store.get("nodes", &Key::new("", "c")).is_none());
        for controller in [collector, workloads] {
            tokio::time::timeout(std::time::Duration::from_secs(10), controller).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_refusal_is_not_told_before_what_it_tells_of_is_kept() {
        let backend = Frail::default();
        let waits = backend.waits.clone();
        let (disk, _) = Disk::over(Database::builder().create_with_backend(backend).unwrap()).unwrap();
        let cluster = Cluster::open(Some(disk));
        waits.store(true, Ordering::Relaxed);
        let (mut first, mut second) = (Box::pin(create(&cluster, "a")), Box::pin(create(&cluster, "a")));
        for _ in 0..10 {
            assert!(futures::poll!(&mut first).is_pending());
        }
        assert!(cluster.store.get("nodes", &Key::new("", "a")).is_some(), "it is there, and is not kept yet");
        for _ in 0..10 {
            assert!(
                futures::poll!(&mut second).is_pending(),
                "whoever else makes it is not told that it is there"
            );
        }
        waits.store(false, Ordering::Relaxed);
        assert_eq!((first.await, second.await), (StatusCode::CREATED, StatusCode::CONFLICT));
    }
}
