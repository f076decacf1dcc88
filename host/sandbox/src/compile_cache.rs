//! Compiled code, kept on disk from one start of a host to the next.
//!
//! The folder is private: it belongs to the user that the host runs as, and nobody else can read or write it,
//! or it is not used. An entry's name says which component it was compiled from, for which engine, and ends
//! with a digest of that and of the content; an entry with another name or content is never loaded. It is
//! written under a name that is no entry's, and appears whole. Any number of hosts may share a folder.
//!
//! The digest is against accidents. Whoever can write to the folder is the user that the host runs as, and
//! needs no cache to do what that user may.

use std::ffi::{CString, OsStr};
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatVfsMountFlags};

use crate::code::Code;
use crate::digest::Digest;

/// How an entry's name ends.
const ENTRY: &str = ".code";
/// How the name of a file begins that is not whole yet.
const UNFINISHED: &str = "unfinished-";
/// Permissions of others.
const OTHERS: u32 = 0o077;

/// A folder cannot be the compile cache.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be the compile cache: {reason}", folder.display())]
pub struct CacheError {
    folder: PathBuf,
    reason: String,
}

/// A folder of compiled code. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CompileCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What is done is done in this folder, whatever the path leads to by then.
    folder: OwnedFd,
    path: PathBuf,
    max_bytes: u64,
    written: AtomicU64,
}

/// An entry that is what its name says.
pub(crate) struct Entry {
    name: CString,
    code: Code,
}

impl Entry {
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }
}

/// Why an entry is not taken.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// It is not what its name says, and never will be.
    #[error("{0}")]
    Damaged(&'static str),
    /// Whether it is cannot be told: the machine has no file, no permission or no answer of the disk left.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

impl CompileCache {
    /// Opens the folder, which is made if there is none. It keeps at most so many bytes of code, those that
    /// were used last.
    ///
    /// # Errors
    /// It cannot be made, or is not private.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let bad = |reason: String| CacheError { folder: path.to_owned(), reason };
        // Without a slash at its end, which would have a symbolic link followed.
        let plain: PathBuf = path.components().collect();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&plain)
            .map_err(|error| bad(format!("it cannot be made: {error}")))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&plain, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                bad("it is a symbolic link or no folder; name the folder itself".to_owned())
            }
            error => bad(error.to_string()),
        })?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| bad(error.to_string()))?;
        let us = rustix::process::geteuid().as_raw();
        if stat.st_uid != us {
            let owner = stat.st_uid;
            return Err(bad(format!(
                "it belongs to user {owner}, and this is user {us}; name a folder inside of it that does not exist yet"
            )));
        }
        if stat.st_mode & OTHERS != 0 {
            let mode = stat.st_mode & 0o777;
            return Err(bad(format!(
                "others may use it (its mode is {mode:o}, and has to be 700); run chmod 700, or name another"
            )));
        }
        let mount = rustix::fs::fstatvfs(&folder).map_err(|error| bad(error.to_string()))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(bad("its file system is mounted noexec; name another".to_owned()));
        }
        let cache =
            Self { inner: Arc::new(Inner { folder, path: plain, max_bytes, written: AtomicU64::new(0) }) };
        cache.sweep().map_err(|error| bad(error.to_string()))?;
        Ok(cache)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.inner.path
    }

    /// The code of a component for an engine. What is damaged is removed; what cannot be read just now stays.
    pub(crate) fn get(&self, component: &Digest, engine: &Digest) -> Option<Entry> {
        let wanted = prefix(component, engine);
        let names = self.names().inspect_err(|error| self.unreadable(error)).ok()?;
        let mut names = names.into_iter().filter(|name| name.to_bytes().starts_with(wanted.as_bytes()));
        names.find_map(|name| self.entry(name, &wanted))
    }

    fn entry(&self, name: CString, prefix: &str) -> Option<Entry> {
        match self.verified(&name, prefix) {
            Ok(code) => return Some(Entry { name, code }),
            Err(Unusable::Damaged(reason)) => self.remove_damaged(&name, reason),
            // Another host has made room.
            Err(Unusable::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {}
            // A process that has too many files open would else empty the cache of all hosts.
            Err(Unusable::Unreadable(error)) => self.unreadable(&error),
        }
        None
    }

    /// The engine does not take an entry: it is removed, unless it is the system that said no.
    pub(crate) fn unloadable(&self, entry: &Entry, error: &wasmtime::Error) {
        let by_system = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<io::Error>() || cause.is::<rustix::io::Errno>()
        };
        if error.chain().any(by_system) {
            self.unreadable(&format_args!("{error:#}"));
        } else {
            self.remove_damaged(&entry.name, &format!("it cannot be loaded: {error:#}"));
        }
    }

    /// Keeps code, and makes room for it.
    pub(crate) fn put(&self, component: &Digest, engine: &Digest, code: &Code) -> io::Result<Entry> {
        let mut unfinished = self.unfinished()?;
        let written = io::copy(&mut code.reader()?, &mut unfinished.file)?;
        if written > self.inner.max_bytes {
            return Err(io::Error::other("it is larger than the cache may be"));
        }
        let prefix = prefix(component, engine);
        let digest = Digest::of_reader(&prefix, &mut code.reader()?)?;
        unfinished.file.sync_all()?;
        let name = CString::new(format!("{prefix}{digest}{ENTRY}"))?;
        rustix::fs::renameat(&self.inner.folder, &unfinished.name, &self.inner.folder, &name)?;
        rustix::fs::fsync(&self.inner.folder)?;
        self.make_room(&name)?;
        // What has been written is what is read: a disk may fail.
        let code = self.verified(&name, &prefix).map_err(io::Error::other)?;
        Ok(Entry { name, code })
    }

    /// Opens an entry whose content is what its name says, and notes that it is used.
    fn verified(&self, name: &CString, prefix: &str) -> Result<Code, Unusable> {
        let file = self.open_file(name).map_err(|error| match error.raw_os_error() {
            // What follows no link says so of one.
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                Unusable::Damaged("it is a symbolic link")
            }
            _ => Unusable::Unreadable(error),
        })?;
        let metadata = file.metadata()?;
        let us = rustix::process::geteuid().as_raw();
        if !metadata.is_file() || metadata.uid() != us || metadata.mode() & OTHERS != 0 {
            return Err(Unusable::Damaged("it is no private file"));
        }
        if metadata.len() > self.inner.max_bytes {
            return Err(Unusable::Damaged("it is larger than the cache may be"));
        }
        let digest = Digest::of_reader(prefix, &mut (&file).take(self.inner.max_bytes))?;
        if name.to_bytes() != format!("{prefix}{digest}{ENTRY}").as_bytes() {
            return Err(Unusable::Damaged("its content is not what was written"));
        }
        // Only the order in which entries are removed depends on it.
        let _ = file.set_modified(SystemTime::now());
        Ok(Code::vouched(file))
    }

    fn open_file(&self, name: &CString) -> io::Result<File> {
        // Without waiting for the other end, if somebody has put a pipe there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.inner.folder, name, flags, Mode::empty())?))
    }

    /// A new file, locked as long as it is open.
    fn unfinished(&self) -> io::Result<Unfinished<'_>> {
        loop {
            let number = self.inner.written.fetch_add(1, Ordering::Relaxed);
            // The process's number alone does not tell it from one in another container.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let process = std::process::id();
            let name = CString::new(format!("{UNFINISHED}{process}-{number}-{}", now.as_nanos()))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.inner.folder, &name, flags, Mode::RUSR | Mode::WUSR)?;
            let file = File::from(file);
            file.lock()?;
            // Another host may have swept it away before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok(Unfinished { cache: self, name, file });
            }
        }
    }

    /// Removes what hosts have left behind that ended while they wrote.
    fn sweep(&self) -> io::Result<()> {
        for name in self.names()? {
            if name.to_bytes().starts_with(UNFINISHED.as_bytes())
                && let Ok(file) = self.open_file(&name)
                && file.try_lock().is_ok()
            {
                self.remove(&name);
            }
        }
        Ok(())
    }

    /// Removes what was not used for the longest time, until the rest is small enough.
    fn make_room(&self, keep: &CString) -> io::Result<()> {
        let mut entries = Vec::new();
        for name in self.names()?.into_iter().filter(|name| name.to_bytes().ends_with(ENTRY.as_bytes())) {
            let stat = rustix::fs::statat(&self.inner.folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            // Another host may have removed it.
            let Ok(stat) = stat else { continue };
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            // The newest last, and this one in any case.
            entries.push(((name == *keep, stat.st_mtime, stat.st_mtime_nsec), size, name));
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in entries {
            if total <= self.inner.max_bytes {
                break;
            }
            self.remove(&name);
            total = total.saturating_sub(size);
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.inner.folder)? {
            names.push(entry?.file_name().to_owned());
        }
        Ok(names)
    }

    fn remove(&self, name: &CString) {
        // What cannot be removed is verified again when it is met again.
        let _ = rustix::fs::unlinkat(&self.inner.folder, name, AtFlags::empty());
    }

    fn remove_damaged(&self, name: &CString, reason: &str) {
        let file = self.inner.path.join(OsStr::from_bytes(name.to_bytes()));
        tracing::warn!(file = %file.display(), "damaged in the compile cache, and compiled again: {reason}");
        self.remove(name);
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(folder = %self.inner.path.display(), "the compile cache cannot be read just now, and stays as it is: {error}");
    }
}

/// How the names of all entries of a component for an engine begin.
fn prefix(component: &Digest, engine: &Digest) -> String {
    // A file name has 255 bytes at most, and three digests would be in the way of whoever looks at them.
    let engine: String = engine.to_string().chars().take(32).collect();
    format!("{component}-{engine}-")
}

/// A file that goes unless it gets its name.
struct Unfinished<'a> {
    cache: &'a CompileCache,
    name: CString,
    file: File,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.cache.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    const ALONE: &str = "WHEELHOUSE_TEST_ALONE";

    /// Leaves this process so many files that it can open, until what this returns is dropped.
    fn files_left(left: usize) -> Vec<File> {
        let mut open: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        open.truncate(open.len() - left);
        open
    }

    #[test]
    fn an_entry_that_cannot_be_read_just_now_stays() {
        if std::env::var_os(ALONE).is_none() {
            // What is open counts for the whole process, and other tests may be in this one.
            let name = "compile_cache::tests::an_entry_that_cannot_be_read_just_now_stays";
            let test = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env(ALONE, "yes")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&test.stdout);
            assert!(test.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(&parent.path().join("cache"), 1 << 20).unwrap();
        let (component, engine) = (Digest::of(b"component"), Digest::of(b"engine"));
        let code = Code::from_bytes(b"code").unwrap();
        let name = cache.put(&component, &engine, &code).unwrap().name;
        let file = cache.folder().join(OsStr::from_bytes(name.to_bytes()));
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
        let open = files_left(0);
        assert!(cache.get(&component, &engine).is_none());
        assert!(cache.entry(name, &prefix(&component, &engine)).is_none());
        assert!(file.exists(), "it was removed");
        drop(open);
        let entry = cache.get(&component, &engine).unwrap();
        let loading = || entry.code().load(&wasmtime::Engine::default()).err().unwrap();
        let open = files_left(0);
        cache.unloadable(&entry, &loading());
        assert!(file.exists(), "it was removed");
        drop(open);
        // What is wrong is removed all the same, whether its content is or what that means.
        cache.unloadable(&entry, &loading());
        assert!(!file.exists());
        cache.put(&component, &engine, &code).unwrap();
        std::fs::write(&file, "other").unwrap();
        assert!(cache.get(&component, &engine).is_none());
        assert!(!file.exists());
    }
}
