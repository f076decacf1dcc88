//! The last good components, kept on disk from one start of a host to the next: a registry that is down keeps no
//! plugin from starting. What was fetched is kept, and takes the place of what was good before once it has proved
//! itself.
//!
//! Each resource has a file of its own: nobody runs what others' credentials have fetched. A file is read only by
//! the one who has written it, and only as long as the resource, and where its component is, are the same. It
//! appears whole, and one whose component is not the one that it names is removed. What was not used for the longest
//! time makes room for what is new. Hosts of several clusters may share a folder.
//!
//! Beside them is what each resource said last: while a cluster is down, it is what there is to make ready.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wheelhouse_artifacts::{ComponentDigest, Resolved};

use crate::plugin_id::PluginId;

/// How the name of a component's file ends.
const ENTRY: &str = ".component";
/// And that of what says which was good.
const GOOD: &str = ".good";
/// And that of what the resource said last, which is smaller than this.
const RESOURCE: &str = ".resource";
const RESOURCE_BYTES: u64 = 4 << 20;
/// After so long, no host knows of it.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 3600);
/// Components of one resource that are kept beside those of its former revisions: the one that runs, and one that
/// comes.
const MORE: usize = 2;
/// How the name of a file ends that is being written, and after how long nobody writes it any more.
const PART: &str = ".part";
const ABANDONED: Duration = Duration::from_secs(3600);
/// Bytes that are kept in all.
const ROOM: u64 = 2 << 30;
/// Permissions of others.
const OTHERS: u32 = 0o077;

/// A folder of components.
#[derive(Debug)]
pub(crate) struct ComponentStore {
    folder: PathBuf,
    room: u64,
    /// What was removed, and does not come back. Held while files come and go.
    removed: Mutex<HashSet<String>>,
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

/// What a resource said last.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Of which cluster it is.
    cluster: String,
    resource: serde_json::Value,
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
        let store = Self { folder: folder.to_owned(), room: ROOM, removed: Mutex::default() };
        store.sweep();
        Ok(store)
    }

    /// Removes what nobody writes, or knows of, any more.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            let file = entry.file_name();
            let is = |end: &str| file.to_string_lossy().ends_with(end);
            let most = if is(PART) { Some(ABANDONED) } else { is(RESOURCE).then_some(FORGOTTEN) };
            if most.is_some_and(|most| age().is_some_and(|age| age > most)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// What was good last of what was kept under this name, or the newest if nothing was; if it is `owner`'s: of the
    /// same resource, from the same place. If one is pinned, that one or none.
    pub(crate) fn get(&self, name: &str, owner: &str, pinned: Option<ComponentDigest>) -> Option<Kept> {
        let paths = match pinned {
            Some(digest) => vec![self.path(name, &digest.to_string())],
            None => {
                let good = self.pointer(name).map(|good| self.path(name, &good.component));
                good.into_iter().chain(self.all(name).into_iter().rev()).collect()
            }
        };
        let owner = digest(owner);
        paths.iter().filter_map(|path| self.read(path)).find(|(of, _)| *of == owner).map(|(_, kept)| kept)
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

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Keeps this, beside what was good last and those of so many former revisions.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn put(&self, name: &str, owner: &str, kept: &Kept, former: usize) -> io::Result<()> {
        let Kept { component, resolved } = kept;
        let header = Header {
            owner: digest(owner),
            component: ComponentDigest::of(component).to_string(),
            manifest: resolved.manifest.map(|manifest| manifest.to_string()),
            etag: resolved.etag.clone(),
        };
        let removed = self.lock();
        if removed.contains(name) {
            return Ok(());
        }
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
        // This one, and the good one.
        let surplus = (others.len() + 2).saturating_sub(former.saturating_add(MORE));
        others.into_iter().take(surplus).for_each(|other| drop(fs::remove_file(other)));
        self.make_room(&path, good.as_deref())
    }

    /// It appears whole or not at all, and nobody else may read it.
    fn write(&self, path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let mut part = tempfile::Builder::new().suffix(PART).tempfile_in(&self.folder)?;
        content(part.as_file_mut())?;
        part.as_file().sync_all()?;
        part.persist(path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// This component, with this configuration, has proved itself. What is not kept leaves what was good before.
    pub(crate) fn prove(&self, name: &str, component: &str, config: &str) {
        let removed = self.lock();
        let path = self.path(name, component);
        if removed.contains(name) || !path.exists() {
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
        let is_it = kept.resolved.component.is_some_and(|found| found.to_string() == component);
        is_it.then_some((kept.component, config))
    }

    /// Removes what was not used for the longest time, but for these, until the rest is small enough: first of what
    /// did not prove itself last, then of what did, with what says so.
    fn make_room(&self, keep: &Path, good: Option<&Path>) -> io::Result<()> {
        let all = self.components()?;
        let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
        if total <= self.room {
            return Ok(());
        }
        let others = all.into_iter().filter(|(_, _, path)| path != keep && Some(&**path) != good);
        let (good, rest): (Vec<_>, Vec<_>) = others
            .map(|(_, size, path)| (self.says_good(&path), size, path))
            .partition(|(says, ..)| says.is_some());
        for (says, size, path) in rest.into_iter().chain(good) {
            if total <= self.room {
                break;
            }
            // What cannot be removed costs room, and no more.
            let _ = fs::remove_file(&path);
            total = total.saturating_sub(size);
            if let Some(pointer) = says {
                let _ = fs::remove_file(pointer);
            }
        }
        Ok(())
    }

    /// The file that says of this one that it proved itself last, if one does.
    fn says_good(&self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?.split('.').next()?;
        let pointer = self.folder.join(format!("{name}{GOOD}"));
        let good: Good = serde_json::from_slice(&fs::read(&pointer).ok()?).ok()?;
        let names = path == self.folder.join(format!("{name}.{}{ENTRY}", short(&good.component)));
        names.then_some(pointer)
    }

    /// Forgets one. Whoever is about to keep something of it is too late.
    pub(crate) fn remove(&self, name: &str) {
        let mut removed = self.lock();
        removed.insert(name.to_owned());
        let beside = [self.pointer_path(name), self.resource_path(name)];
        for path in self.all(name).into_iter().chain(beside) {
            let _ = fs::remove_file(path);
        }
    }

    /// Keeps what a resource of a cluster says by now.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn remember(&self, name: &str, cluster: &str, resource: &serde_json::Value) -> io::Result<()> {
        let (cluster, resource) = (cluster.to_owned(), resource.clone());
        let text = serde_json::to_vec(&Remembered { cluster, resource })?;
        let removed = self.lock();
        let path = self.resource_path(name);
        if removed.contains(name) {
            return Ok(());
        }
        if fs::read(&path).is_ok_and(|before| before == text) {
            Self::touch(&path);
            return Ok(());
        }
        self.write(&path, |file| file.write_all(&text))
    }

    /// What the resources of a cluster said last.
    pub(crate) fn remembered(&self, cluster: &str) -> Vec<serde_json::Value> {
        let read = |entry: fs::DirEntry| {
            let is_one = entry.file_name().to_string_lossy().ends_with(RESOURCE);
            if !is_one || entry.metadata().ok()?.len() > RESOURCE_BYTES {
                return None;
            }
            serde_json::from_slice::<Remembered>(&fs::read(entry.path()).ok()?).ok()
        };
        let all = fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(read);
        all.filter(|of| of.cluster == cluster).map(|of| of.resource).collect()
    }

    fn pointer_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{GOOD}", digest(name)))
    }

    fn resource_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{RESOURCE}", digest(name)))
    }

    fn path(&self, name: &str, component: &str) -> PathBuf {
        self.folder.join(format!("{}.{}{ENTRY}", digest(name), short(component)))
    }
}

/// Digits of a digest that tell the components of a resource apart; none of what is no digest, whatever a file says.
fn short(digest: &str) -> &str {
    let digits = digest.rsplit(':').next().unwrap_or_default();
    let digits = digits.get(..24).unwrap_or(digits);
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { digits } else { "" }
}

#[cfg(test)]
mod tests;
