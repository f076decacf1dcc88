//! The last good components, kept on disk from one start of a host to the next: a registry that is down keeps no
//! plugin from starting. What was fetched is kept, and takes the place of what was good before once it has proved
//! itself.
//!
//! Each resource has a file of its own: nobody runs what others' credentials have fetched. A file is read only by
//! the one who has written it, and only as long as the resource, and where its component is, are the same. It
//! appears whole, and one whose component is not the one that it names is removed. What was not used for the longest
//! time makes room for what is new. Hosts of several clusters may share a folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wheelhouse_artifacts::{ComponentDigest, Resolved};

use crate::plugin_id::PluginId;

/// How the name of a component's file ends.
const ENTRY: &str = ".component";
/// And that of what says which was good.
const GOOD: &str = ".good";
/// Components of one resource that are kept: the good one, one that is on probation, one that comes.
const KEEP: usize = 3;
/// Bytes that are kept in all.
const ROOM: u64 = 2 << 30;
/// Permissions of others.
const OTHERS: u32 = 0o077;

/// A folder of components.
#[derive(Debug)]
pub(crate) struct ComponentStore {
    folder: PathBuf,
    room: u64,
    written: AtomicU64,
    /// Held while files come and go.
    order: Mutex<()>,
}

/// By what the components of a resource are kept: no other cluster's has the same.
pub(crate) fn name_of(id: &PluginId, uid: &str) -> String {
    format!("{id} {uid}")
}

/// What is kept for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) component: Arc<[u8]>,
    pub(crate) resolved: Resolved,
}

/// The first line of a file; the component follows.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Its digest: it may have a secret in it.
    owner: String,
    component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

/// What proved itself last.
#[derive(Serialize, Deserialize)]
struct Good {
    /// The component's digest.
    component: String,
    config: String,
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ComponentStore {
    /// Opens a folder, which is made if there is none.
    ///
    /// # Errors
    /// It cannot be made, or others may use it.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        if !metadata.is_dir() || metadata.mode() & OTHERS != 0 {
            return Err(io::Error::other(
                "it is to be a folder that nobody else may use: run chmod 700, or name another",
            ));
        }
        Ok(Self {
            folder: folder.to_owned(),
            room: ROOM,
            written: AtomicU64::new(0),
            order: Mutex::default(),
        })
    }

    /// What was good last of what was kept under this name, or the newest if nothing was; if it is `owner`'s: of the
    /// same resource, from the same place.
    pub(crate) fn get(&self, name: &str, owner: &str) -> Option<Kept> {
        let good = self.pointer(name).map(|good| self.path(name, &good.component));
        let owner = digest(owner);
        let all = good.into_iter().chain(self.all(name).into_iter().rev());
        all.filter_map(|path| self.read(&path)).find(|(of, _)| *of == owner).map(|(_, kept)| kept)
    }

    fn pointer(&self, name: &str) -> Option<Good> {
        serde_json::from_slice(&fs::read(self.pointer_path(name)).ok()?).ok()
    }

    /// The components of a resource, the one that was not used for the longest time first.
    fn all(&self, name: &str) -> Vec<PathBuf> {
        let start = format!("{}.", digest(name));
        let mut all = self.components().unwrap_or_default();
        all.retain(|(_, _, path)| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start))
        });
        all.into_iter().map(|(_, _, path)| path).collect()
    }

    /// All of them, likewise, with when they were used and their sizes.
    fn components(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another host may have removed it.
            let Ok(metadata) = entry.metadata() else { continue };
            if entry.file_name().to_string_lossy().ends_with(ENTRY) {
                all.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        all.sort();
        Ok(all)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(path: &Path) {
        // Only the order in which files make room depends on it.
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// What is in a file, and the digest of whose it is.
    fn read(&self, path: &Path) -> Option<(String, Kept)> {
        let content = fs::read(path).ok()?;
        let end = content.iter().position(|byte| *byte == b'\n')?;
        let (header, component) = (content.get(..end)?, content.get(end.saturating_add(1)..)?);
        let header: Header = serde_json::from_slice(header).ok()?;
        let found = ComponentDigest::of(component);
        if found.to_string() != header.component {
            tracing::warn!(file = %path.display(), "damaged, and fetched again");
            let _ = fs::remove_file(path);
            return None;
        }
        Self::touch(path);
        let size = Some(component.len() as u64);
        let manifest = header.manifest.and_then(|manifest| manifest.parse().ok());
        let resolved = Resolved { manifest, component: Some(found), size, etag: header.etag };
        Some((header.owner, Kept { component: component.into(), resolved }))
    }

    /// Keeps this, beside what was good last.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn put(&self, name: &str, owner: &str, kept: &Kept) -> io::Result<()> {
        let Kept { component, resolved } = kept;
        let header = Header {
            owner: digest(owner),
            component: ComponentDigest::of(component).to_string(),
            manifest: resolved.manifest.map(|manifest| manifest.to_string()),
            etag: resolved.etag.clone(),
        };
        let _one_at_a_time = self.lock();
        let path = self.path(name, &header.component);
        self.write(&path, |file| {
            serde_json::to_writer(&mut *file, &header)?;
            file.write_all(b"\n")?;
            file.write_all(component)
        })?;
        let good = self.pointer(name).map(|good| self.path(name, &good.component));
        let others: Vec<_> = self
            .all(name)
            .into_iter()
            .filter(|other| *other != path && Some(other) != good.as_ref())
            .collect();
        let surplus = (others.len() + 2).saturating_sub(KEEP);
        others.into_iter().take(surplus).for_each(|other| drop(fs::remove_file(other)));
        self.make_room(&path, good.as_deref())
    }

    /// It appears whole or not at all.
    fn write(&self, path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let part = self.folder.join(format!(".{}-{number}.part", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .and_then(|mut file| {
                content(&mut file)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }

    /// This component, with this configuration, has proved itself. What is not kept leaves what was good before.
    pub(crate) fn prove(&self, name: &str, component: &str, config: &str) {
        let _one_at_a_time = self.lock();
        let path = self.path(name, component);
        if !path.exists() {
            return;
        }
        Self::touch(&path);
        let good = Good { component: component.to_owned(), config: config.to_owned() };
        let written = self.write(&self.pointer_path(name), |file| Ok(serde_json::to_writer(file, &good)?));
        if let Err(error) = written {
            tracing::warn!("which component was good cannot be kept: {error}");
        }
    }

    /// The component that proved itself last, with its configuration, wherever it was fetched from.
    pub(crate) fn good(&self, name: &str) -> Option<(Arc<[u8]>, String)> {
        let Good { component, config } = self.pointer(name)?;
        let (_, kept) = self.read(&self.path(name, &component))?;
        Some((kept.component, config))
    }

    /// Removes what was not used for the longest time, but for these, until the rest is small enough; and what says
    /// of a component that it was good, when that is gone.
    fn make_room(&self, keep: &Path, good: Option<&Path>) -> io::Result<()> {
        let all = self.components()?;
        let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in all.into_iter().filter(|(_, _, path)| path != keep && Some(&**path) != good) {
            if total <= self.room {
                break;
            }
            // What cannot be removed costs room, and no more.
            let _ = fs::remove_file(&path);
            total = total.saturating_sub(size);
            let name =
                path.file_name().and_then(|file| file.to_str()).and_then(|file| file.split('.').next());
            let Some(pointer) = name.map(|name| self.folder.join(format!("{name}{GOOD}"))) else { continue };
            let of = |bytes: Vec<u8>| serde_json::from_slice::<Good>(&bytes).ok();
            let was_good = fs::read(&pointer).ok().and_then(of);
            if was_good.is_some_and(|good| path.to_string_lossy().contains(short(&good.component))) {
                let _ = fs::remove_file(pointer);
            }
        }
        Ok(())
    }

    /// Forgets one.
    pub(crate) fn remove(&self, name: &str) {
        let _one_at_a_time = self.lock();
        for path in self.all(name).into_iter().chain([self.pointer_path(name)]) {
            let _ = fs::remove_file(path);
        }
    }

    fn pointer_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{GOOD}", digest(name)))
    }

    fn path(&self, name: &str, component: &str) -> PathBuf {
        self.folder.join(format!("{}.{}{ENTRY}", digest(name), short(component)))
    }
}

/// Digits of a digest that tell the components of a resource apart.
fn short(digest: &str) -> &str {
    let digits = digest.rsplit(':').next().unwrap_or_default();
    digits.get(..24).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept(bytes: &[u8]) -> Kept {
        let resolved = Resolved {
            manifest: Some(wheelhouse_artifacts::ManifestDigest::of(b"manifest")),
            component: Some(ComponentDigest::of(bytes)),
            size: Some(bytes.len() as u64),
            etag: Some("\"e\"".to_owned()),
        };
        Kept { component: bytes.into(), resolved }
    }

    fn store() -> (tempfile::TempDir, ComponentStore) {
        let parent = tempfile::tempdir().unwrap();
        let store = ComponentStore::open(&parent.path().join("a/b")).unwrap();
        (parent, store)
    }

    #[test]
    fn what_was_kept_is_there_again_for_its_owner_alone() {
        let (_parent, store) = store();
        assert_eq!(store.get("a", "owner"), None);
        store.put("a", "owner", &kept(b"one\ntwo")).unwrap();
        let again = ComponentStore::open(&store.folder).unwrap();
        assert_eq!(again.get("a", "owner"), Some(kept(b"one\ntwo")));
        assert_eq!(again.get("a", "another"), None);
        assert_eq!(again.get("b", "owner"), None);
        again.put("a", "another", &kept(b"")).unwrap();
        assert_eq!(again.get("a", "owner"), Some(kept(b"one\ntwo")));
        assert_eq!(again.get("a", "another"), Some(kept(b"")));
        again.remove("a");
        assert_eq!(again.get("a", "another"), None);
    }

    #[test]
    fn what_was_good_last_counts_until_another_one_has_proved_itself() {
        let (_parent, store) = store();
        let digest = |kept: &Kept| ComponentDigest::of(&kept.component).to_string();
        let good = |kept: &Kept, config: &str| Some((kept.component.clone(), config.to_owned()));
        let (one, two) = (kept(b"one"), kept(b"two"));
        assert_eq!(store.good("a"), None);
        store.put("a", "owner", &one).unwrap();
        assert_eq!(store.get("a", "owner"), Some(one.clone()), "there is no other");
        store.prove("a", &digest(&one), "{}");
        assert_eq!(store.good("a"), good(&one, "{}"));
        store.put("a", "owner", &two).unwrap();
        assert_eq!(store.get("a", "owner"), Some(one.clone()));
        store.prove("a", &digest(&one), "{1}");
        assert_eq!((store.get("a", "owner"), store.good("a")), (Some(one.clone()), good(&one, "{1}")));
        store.prove("a", &digest(&two), "{}");
        assert_eq!((store.get("a", "owner"), store.good("a")), (Some(two.clone()), good(&two, "{}")));
        // The way back is there.
        store.prove("a", &digest(&one), "{}");
        assert_eq!(store.good("a"), good(&one, "{}"));
        // What was not kept leaves what there is.
        store.prove("a", "sha256:0", "{}");
        store.prove("b", "sha256:0", "{}");
        assert_eq!(store.good("a"), good(&one, "{}"));
        // However many come.
        for bytes in [&b"3"[..], b"4", b"5", b"6"] {
            store.put("a", "owner", &kept(bytes)).unwrap();
        }
        assert_eq!((store.good("a"), store.all("a").len()), (good(&one, "{}"), KEEP));
        store.remove("a");
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 0);
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let (_parent, mut store) = store();
        let x = ComponentDigest::of(b"x").to_string();
        for (name, age) in [("a", 30), ("b", 20), ("c", 10)] {
            store.put(name, "owner", &kept(b"x")).unwrap();
            let then = SystemTime::now() - std::time::Duration::from_secs(age);
            File::open(store.path(name, &x)).unwrap().set_modified(then).unwrap();
        }
        assert!(store.get("a", "owner").is_some(), "which is a use");
        store.room = fs::metadata(store.path("a", &x)).unwrap().len() * 2;
        store.put("d", "owner", &kept(b"x")).unwrap();
        let left = ["a", "b", "c", "d"].map(|name| store.get(name, "owner").is_some());
        assert_eq!(left, [true, false, false, true]);
        store.prove("a", &x, "{}");
        store.room = 0;
        store.put("e", "owner", &kept(b"x")).unwrap();
        assert!(store.get("e", "owner").is_some(), "what is new is kept in any case");
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
    }

    #[test]
    fn hostile_what_is_damaged_is_not_taken() {
        let (_parent, store) = store();
        store.put("a", "owner", &kept(b"component")).unwrap();
        let path = store.path("a", &ComponentDigest::of(b"component").to_string());
        let whole = fs::read(&path).unwrap();
        for damaged in [
            whole.strip_suffix(b"t").unwrap().to_vec(),
            [whole.as_slice(), b"x"].concat(),
            b"{}\n".to_vec(),
            b"".to_vec(),
        ] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(store.get("a", "owner"), None);
        }
    }

    #[test]
    fn hostile_a_folder_that_others_may_use_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("open");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let error = ComponentStore::open(&folder).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(ComponentStore::open(&folder).is_ok());
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(ComponentStore::open(&link).is_err());
        // Nor is anything in it anybody else's, or the name of a place that may have a secret in it.
        let (_parent, store) = store();
        store.put("a", "owner", &kept(b"x")).unwrap();
        store.prove("a", &ComponentDigest::of(b"x").to_string(), "{}");
        let files = fs::read_dir(&store.folder).unwrap();
        let modes: Vec<u32> = files.map(|file| file.unwrap().metadata().unwrap().mode() & 0o777).collect();
        assert_eq!(modes, [0o600, 0o600]);
    }
}
