//! Plugins from a folder: what is there, and what changes.
//!
//! Folders are looked at a few times a second rather than watched: that works on every file system,
//! for symbolic links that are switched (as in mounted ConfigMaps), and costs a `stat` per file.
//! A file counts once two looks in a row saw the same, so that one is not read while it is written;
//! it is new when its content is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use wheelhouse_core::access::BoxFuture;

use crate::binary::Binary;
use crate::plugin_id::PluginId;
use crate::source::{Change, Component, Source, Wanted};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// The plugin folder.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Source for Directory {
    fn tell(self: Box<Self>, changes: mpsc::Sender<Change>) -> BoxFuture<'static, ()> {
        Box::pin(watch(self.0, changes))
    }
}

/// What a look sees of a file without reading it: its size, its time, and which one it is, if links lead to others.
type Stat = (u64, Option<SystemTime>, u64);

/// Of a component and its configuration.
type Stats = [Option<Stat>; 2];

#[derive(Default)]
struct Known {
    /// At the last look.
    seen: Option<Stats>,
    /// When the content was read last.
    read: Option<Stats>,
    /// The content that was told last.
    told: Option<[u8; 32]>,
}

/// The configuration beside a component.
pub(crate) fn config_path(component: &Path) -> PathBuf {
    component.with_extension("json")
}

/// Looks at the folder until the receiver is gone.
async fn watch(folder: PathBuf, changes: mpsc::Sender<Change>) {
    let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
    let mut timer = tokio::time::interval(LOOK);
    let mut looks = 0u32;
    let mut unreadable = false;
    loop {
        timer.tick().await;
        let present = match list(&folder).await {
            Ok(present) => {
                unreadable = false;
                present
            }
            Err(error) => {
                // What runs goes on: a folder that is away for a moment is no wish to stop everything.
                if !unreadable {
                    tracing::warn!(folder = %folder.display(), "the plugin folder cannot be read, plugins stay as they are: {error}");
                }
                unreadable = true;
                continue;
            }
        };
        let gone: Vec<PathBuf> = known.keys().filter(|path| !present.contains(*path)).cloned().collect();
        for path in gone {
            let told = known.remove(&path).is_some_and(|known| known.told.is_some());
            if told && changes.send(Change::Gone(PluginId::File(path))).await.is_err() {
                return;
            }
        }
        for path in present {
            let entry = known.entry(path.clone()).or_default();
            if let Some(wanted) = entry.look(&path).await
                && changes.send(Change::Present(PluginId::File(path), wanted)).await.is_err()
            {
                return;
            }
        }
        // The second look is the first that can tell of a file.
        looks = looks.saturating_add(1);
        if looks == 2 && changes.send(Change::InitialDone).await.is_err() {
            return;
        }
    }
}

async fn list(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut paths = BTreeSet::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && path.extension().is_some_and(|extension| extension == "wasm") {
            paths.insert(path);
        }
    }
    Ok(paths)
}

async fn stat(path: &Path) -> Option<Stat> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.len(), metadata.modified().ok(), metadata.ino()))
}

impl Known {
    /// What is new since the last time, if the files have come to rest.
    async fn look(&mut self, path: &Path) -> Option<Wanted> {
        let config_path = config_path(path);
        let now = [stat(path).await, stat(&config_path).await];
        let settled = self.seen.replace(now) == Some(now);
        if !settled || now[0].is_none() || self.read == Some(now) {
            return None;
        }
        let component = tokio::fs::read(path).await.ok()?;
        let config = match now {
            [_, Some(_)] => tokio::fs::read_to_string(&config_path).await.ok()?,
            _ => "{}".to_owned(),
        };
        self.read = Some(now);
        let digest: [u8; 32] =
            Sha256::new().chain_update(&component).chain_update([0]).chain_update(&config).finalize().into();
        (self.told.replace(digest) != Some(digest)).then(|| Wanted {
            component: Component::Here(Binary::new(component.into())),
            artifact: None,
            stale: None,
            config,
            config_at: config_path.display().to_string(),
            ordered: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::Form;

    async fn next_change(changes: &mut mpsc::Receiver<Change>) -> Change {
        let next = tokio::time::timeout(Duration::from_secs(10), changes.recv());
        next.await.expect("a change within 10 s").expect("the watch goes on")
    }

    fn bytes(wanted: &Wanted) -> Vec<u8> {
        let Component::Here(binary) = &wanted.component else { panic!("a file is there") };
        let Form::Bytes(bytes) = binary.form() else { panic!("nobody has compiled it") };
        bytes.to_vec()
    }

    /// A watched folder; its watch ends with the receiver.
    fn start(folder: &Path) -> mpsc::Receiver<Change> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch(folder.to_owned(), sender));
        receiver
    }

    #[tokio::test]
    async fn files_are_told_when_they_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, "one").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no plugin").unwrap();
        std::fs::write(folder.path().join(".hidden.wasm"), "half a download").unwrap();
        let mut changes = start(folder.path());

        let Change::Present(id, wanted) = next_change(&mut changes).await else { panic!("the file first") };
        assert_eq!(
            (id, bytes(&wanted), wanted.config.as_str()),
            (PluginId::File(file.clone()), b"one".to_vec(), "{}")
        );
        assert!(matches!(next_change(&mut changes).await, Change::InitialDone));

        std::fs::write(&file, "two!").unwrap();
        let Change::Present(_, wanted) = next_change(&mut changes).await else { panic!("the change") };
        assert_eq!(bytes(&wanted), b"two!");

        std::fs::write(config_path(&file), r#"{"a":1}"#).unwrap();
        let Change::Present(_, wanted) = next_change(&mut changes).await else { panic!("the configuration") };
        assert_eq!(wanted.config, r#"{"a":1}"#);

        std::fs::remove_file(&file).unwrap();
        let Change::Gone(id) = next_change(&mut changes).await else { panic!("the removal") };
        assert_eq!(id, PluginId::File(file));
    }

    #[tokio::test]
    async fn a_link_that_is_switched_is_another_file_whatever_its_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        let then = SystemTime::now() - Duration::from_secs(60);
        for (name, content) in [("1", "one"), ("2", "two")] {
            std::fs::create_dir(data.path().join(name)).unwrap();
            let file = data.path().join(name).join("a.wasm");
            std::fs::write(&file, content).unwrap();
            std::fs::File::open(&file).unwrap().set_modified(then).unwrap();
        }
        // As kubelet mounts a ConfigMap.
        let (now, next) = (data.path().join("..data"), data.path().join("..next"));
        std::os::unix::fs::symlink(data.path().join("1"), &now).unwrap();
        std::os::unix::fs::symlink(now.join("a.wasm"), folder.path().join("a.wasm")).unwrap();
        let mut changes = start(folder.path());
        let Change::Present(_, wanted) = next_change(&mut changes).await else { panic!("the file first") };
        assert_eq!(bytes(&wanted), b"one");
        assert!(matches!(next_change(&mut changes).await, Change::InitialDone));
        std::os::unix::fs::symlink(data.path().join("2"), &next).unwrap();
        std::fs::rename(&next, &now).unwrap();
        let Change::Present(_, wanted) = next_change(&mut changes).await else { panic!("the change") };
        assert_eq!(bytes(&wanted), b"two");
    }

    #[tokio::test]
    async fn a_file_that_is_written_again_with_the_same_content_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let (same, other) = (folder.path().join("a.wasm"), folder.path().join("b.wasm"));
        std::fs::write(&same, "one").unwrap();
        let mut changes = start(folder.path());
        assert!(matches!(next_change(&mut changes).await, Change::Present(..)));
        assert!(matches!(next_change(&mut changes).await, Change::InitialDone));

        std::fs::write(&same, "one").unwrap();
        std::fs::write(&other, "other").unwrap();
        // Files are told in the order of their names: were it a change, `a` would come first.
        let Change::Present(id, _) = next_change(&mut changes).await else { panic!("a change") };
        assert_eq!(id, PluginId::File(other));
    }

    #[tokio::test]
    async fn a_file_that_grows_at_every_look_is_told_once_it_is_whole_and_only_then() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut known = Known::default();
        for part in ["one", "two", "three"] {
            file.write_all(part.as_bytes()).unwrap();
            assert!(known.look(&path).await.is_none(), "{part} may not be the last");
        }
        // So does its configuration.
        for config in ["{", r#"{"a": 1}"#] {
            std::fs::write(config_path(&path), config).unwrap();
            assert!(known.look(&path).await.is_none(), "{config} may not be the last");
        }
        let wanted = known.look(&path).await.expect("nothing has changed since the last look");
        assert_eq!((bytes(&wanted), wanted.config.as_str()), (b"onetwothree".to_vec(), r#"{"a": 1}"#));
        assert!(known.look(&path).await.is_none(), "it was told");
    }

    #[tokio::test]
    async fn a_folder_that_is_away_for_a_while_takes_nothing_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, away) = (parent.path().join("plugins"), parent.path().join("away"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.wasm"), "one").unwrap();
        let mut changes = start(&folder);
        assert!(matches!(next_change(&mut changes).await, Change::Present(..)));
        assert!(matches!(next_change(&mut changes).await, Change::InitialDone));

        std::fs::rename(&folder, &away).unwrap();
        std::fs::write(away.join("b.wasm"), "two").unwrap();
        std::fs::rename(&away, &folder).unwrap();
        let Change::Present(id, _) = next_change(&mut changes).await else {
            panic!("the new file, and nothing gone")
        };
        assert_eq!(id, PluginId::File(folder.join("b.wasm")));
    }
}
