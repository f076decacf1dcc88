//! The compile cache: what is kept, and what is not believed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wheelhouse_core::limits::Limits;
use wheelhouse_sandbox::{CompileCache, SandboxConfig};

use crate::support::Neighbour;
use crate::{compile, plugin, small};

const ROOM: u64 = 1 << 30;

/// A folder that does not exist yet.
fn folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/cache");
    (parent, folder)
}

fn with_cache(folder: &Path, room: u64) -> SandboxConfig {
    SandboxConfig { cache: Some(CompileCache::open(folder, room).unwrap()), ..small() }
}

/// Compiles a plugin as a new process would, and says whether the cache had it. Wherever it came from, it is
/// that plugin.
async fn cached(folder: &Path, name: &str) -> bool {
    let compiled = compile(with_cache(folder, ROOM), &plugin(name)).await.unwrap();
    assert_eq!(compiled.describe("{}", &Limits::default()).await.unwrap().name, name);
    compiled.from_cache()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The only file.
fn entry(folder: &Path) -> PathBuf {
    let [entry] = files(folder).try_into().unwrap();
    entry
}

fn why_not(folder: &Path) -> String {
    let error = CompileCache::open(folder, ROOM).unwrap_err().to_string();
    assert!(error.contains(folder.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn what_has_been_compiled_once_is_not_compiled_again() {
    let (_parent, folder) = folder();
    assert!(!cached(&folder, "hello").await);
    assert!(cached(&folder, "hello").await);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(entry(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    // Another component, and another engine.
    assert!(!cached(&folder, "node-census").await);
    let other = SandboxConfig { max_memory: 128 << 20, ..with_cache(&folder, ROOM) };
    assert!(!compile(other, &plugin("hello")).await.unwrap().from_cache());
    assert_eq!(files(&folder).len(), 3);
    assert!(cached(&folder, "hello").await);
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_again_and_replaced() {
    let (_parent, folder) = folder();
    assert!(!cached(&folder, "hello").await);
    let whole = fs::read(entry(&folder)).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut longer = whole.clone();
    longer.push(0);
    for damaged in [flipped, longer, whole[..whole.len() / 2].to_vec(), b"garbage".to_vec(), Vec::new()] {
        fs::write(entry(&folder), &damaged).unwrap();
        assert!(!cached(&folder, "hello").await, "{} bytes", damaged.len());
        assert!(fs::read(entry(&folder)).unwrap() == whole);
        assert!(cached(&folder, "hello").await);
    }
}

#[tokio::test]
async fn hostile_code_that_was_not_compiled_for_the_component_is_not_taken() {
    let (_parent, folder) = folder();
    let neighbour = Neighbour::start().await;
    assert!(!cached(&folder, "hello").await);
    let of_hello = entry(&folder);
    assert!(!cached(&folder, "node-census").await);
    let of_census = files(&folder).into_iter().find(|path| *path != of_hello).unwrap();
    // Under the name of the other, whole, and with the beginning of its name alone.
    let begins = |path: &Path| path.file_name().unwrap().to_str().unwrap()[..98].to_owned();
    let ends = |path: &Path| path.file_name().unwrap().to_str().unwrap()[98..].to_owned();
    for name in [of_hello.clone(), folder.join(begins(&of_hello) + &ends(&of_census))] {
        fs::remove_file(&of_hello).unwrap();
        fs::copy(&of_census, name).unwrap();
        assert!(!neighbour.beside(cached(&folder, "hello")).await);
        assert_eq!(files(&folder).len(), 2);
        assert!(cached(&folder, "node-census").await, "the other is what it was");
    }
}

#[tokio::test]
async fn hostile_an_entry_that_others_could_have_written_is_not_taken() {
    let (parent, folder) = folder();
    let neighbour = Neighbour::start().await;
    assert!(!cached(&folder, "hello").await);
    let (entry, elsewhere) = (entry(&folder), parent.path().join("elsewhere"));
    assert!(!cached(&folder, "node-census").await);
    let attacked = async || {
        let attacked = neighbour.beside(cached(&folder, "hello")).await;
        assert!(cached(&folder, "node-census").await, "the one beside it is taken");
        attacked
    };

    fs::set_permissions(&entry, Permissions::from_mode(0o644)).unwrap();
    assert!(!attacked().await, "others may read it");

    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(!attacked().await, "a symbolic link");
    assert!(fs::symlink_metadata(&entry).unwrap().is_file());

    fs::remove_file(&entry).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&entry).status().unwrap().success());
    fs::set_permissions(&entry, Permissions::from_mode(0o600)).unwrap();
    assert!(!attacked().await, "a pipe that nobody writes to");
    assert!(attacked().await);
}

#[tokio::test]
async fn hostile_a_folder_that_is_not_private_is_refused() {
    let (parent, folder) = folder();
    let neighbour = Neighbour::start().await;
    let refused = async || neighbour.beside(async { why_not(&folder) }).await;
    assert!(!cached(&folder, "hello").await);
    for mode in [0o755, 0o770, 0o701] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        let error = refused().await;
        assert!(error.contains(&format!("{mode:o}")) && error.contains("chmod 700"), "{error}");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert!(cached(&folder, "hello").await, "what is in it is left alone");
    let link = parent.path().join("link");
    symlink(&folder, &link).unwrap();
    for link in [link.clone(), link.join(""), link.join(".")] {
        let error = neighbour.beside(async { why_not(&link) }).await;
        assert!(error.contains("symbolic link"), "{error}");
    }
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(neighbour.beside(async { why_not(&file) }).await.contains("made"));
}

#[tokio::test]
async fn hostile_a_folder_of_somebody_else_is_refused() {
    let (_parent, folder) = folder();
    CompileCache::open(&folder, ROOM).unwrap();
    // Only root can give a folder away; for everybody else there is one of root's.
    let theirs = match std::os::unix::fs::chown(&folder, Some(12_345), None) {
        Ok(()) => folder,
        Err(_) => PathBuf::from("/usr"),
    };
    let error = Neighbour::start().await.beside(async { why_not(&theirs) }).await;
    assert!(error.contains("belongs to user"), "{error}");
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_makes_room() {
    let (_parent, folder) = folder();
    let (hello, census, hostile) = (plugin("hello"), plugin("node-census"), plugin("hostile"));
    let mut sizes = Vec::new();
    for component in [&hello, &census, &hostile] {
        compile(with_cache(&folder, ROOM), component).await.unwrap();
        sizes.push(files(&folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>());
    }
    // Room for all but one byte. Hello is the oldest, but was used last.
    let room = sizes[2] - 1;
    for path in files(&folder) {
        fs::remove_file(path).unwrap();
    }
    for (component, from_cache) in [
        (&hello, false),
        (&census, false),
        (&hello, true),
        (&hostile, false),
        (&hello, true),
        (&hostile, true),
        (&census, false),
    ] {
        let compiled = compile(with_cache(&folder, room), component).await.unwrap();
        assert_eq!(compiled.from_cache(), from_cache);
        let total: u64 = files(&folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(total <= room);
    }
}

#[tokio::test]
async fn code_that_cannot_be_kept_runs_all_the_same() {
    let (_parent, folder) = folder();
    let hello = plugin("hello");
    // No room, and no folder any more.
    for (room, remove) in [(1000, false), (ROOM, true)] {
        let config = with_cache(&folder, room);
        if remove {
            fs::remove_dir(&folder).unwrap();
        }
        let compiled = compile(config, &hello).await.unwrap();
        compiled.describe("{}", &Limits::default()).await.unwrap();
        assert!(remove || files(&folder).is_empty());
    }
}

#[test]
fn what_a_host_left_behind_is_removed_and_what_one_is_writing_is_not() {
    let (_parent, folder) = folder();
    CompileCache::open(&folder, ROOM).unwrap();
    let (left, writing) = (folder.join("unfinished-1-0-0"), folder.join("unfinished-1-1-0"));
    for path in [&left, &writing] {
        fs::write(path, "half").unwrap();
    }
    let open = File::open(&writing).unwrap();
    open.lock().unwrap();
    CompileCache::open(&folder, ROOM).unwrap();
    assert_eq!(files(&folder), [writing]);
    drop(open);
    CompileCache::open(&folder, ROOM).unwrap();
    assert!(files(&folder).is_empty());
}
