//! Compiling in processes of its own, and the compile cache, with the real binary.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use wheelhouse_sandbox::{CompileCache, CompileLimits, Compiler, LoadError, Sandbox, SandboxConfig};

use crate::support::{Host, Process, eventually, plugin, wheelhouse, with};

fn component(name: &str) -> Arc<[u8]> {
    Arc::from(fs::read(plugin(name)).unwrap())
}

/// A component with this function, which claims to be a plugin.
fn with_function(body: &str) -> Arc<[u8]> {
    let text = format!(
        r#"(component (core module (func (param i32) {body}))
             (instance $claim) (export "wheelhouse:controller/reconciler@0.1.0" (instance $claim)))"#
    );
    Arc::from(wat::parse_str(text).unwrap())
}

/// 600 kB, and a minute at least.
fn slow() -> Arc<[u8]> {
    with_function(&format!("{}{}", "block ".repeat(200_000), "end ".repeat(200_000)))
}

/// 150 kB, and 400 MB of memory.
fn fat() -> Arc<[u8]> {
    let mut body = "(local i32) ".repeat(1000);
    for i in 0..10_000 {
        let (a, b, c) = (i * 7 % 1000, i * 13 % 1000, i * 31 % 1000);
        let _ = write!(
            body,
            "(if (local.get {a}) (then (local.set {b} (i32.add (local.get {c}) (i32.const 1)))))"
        );
    }
    with_function(&body)
}

fn with_limits(compile: CompileLimits) -> SandboxConfig {
    let compiler =
        Compiler::Child { program: env!("CARGO_BIN_EXE_wheelhouse").into(), args: vec!["__compile".into()] };
    SandboxConfig { compiler, compile, instances: 2, ..SandboxConfig::default() }
}

/// Process numbers of a process's children, dead ones that it has not waited for among them.
fn children(of: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            parent(&stat) == Some(of)
        })
        .collect()
}

async fn why_not(config: SandboxConfig, component: Arc<[u8]>) -> LoadError {
    Sandbox::new(config).unwrap().compile(component).await.err().expect("it was taken")
}

#[tokio::test]
async fn a_plugin_is_compiled_in_a_process_of_its_own() {
    let compiled = Sandbox::new(with_limits(CompileLimits::default())).unwrap();
    let compiled = compiled.compile(component("hello")).await.unwrap();
    let spec = compiled.describe("{}", &Default::default()).await.unwrap();
    assert_eq!(spec.name, "hello");
    assert!(children(std::process::id()).is_empty());
}

#[tokio::test]
async fn hostile_a_plugin_that_takes_for_ever_to_compile_is_stopped_at_the_limit() {
    let timeout = Duration::from_secs(1);
    let begun = Instant::now();
    let error = why_not(with_limits(CompileLimits { timeout, ..CompileLimits::default() }), slow()).await;
    assert_eq!(error, LoadError::CompileTimeout { limit: timeout });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(children(std::process::id()).is_empty());
}

#[tokio::test]
async fn hostile_a_plugin_that_takes_too_much_memory_to_compile_is_stopped_at_the_limit() {
    // What others need is enough.
    let limits = CompileLimits { memory: 256 << 20, ..CompileLimits::default() };
    Sandbox::new(with_limits(limits.clone())).unwrap().compile(component("hello")).await.unwrap();
    let error = why_not(with_limits(limits), fat()).await;
    assert_eq!(error, LoadError::CompileMemory { limit: 256 << 20 });
    assert!(error.to_string().contains("compileMemory of 268435456 bytes"), "{error}");
}

#[tokio::test]
async fn hostile_what_goes_over_a_limit_of_compiling_is_counted_and_the_others_run() {
    // What others need is enough.
    let flags = ["--compile-memory", "256Mi", "--compile-timeout", "10"];
    let host = Host::start_in(with(&["hello"]), &flags).await;
    let breaches = |controller: &str, limit: &str| {
        let labels = format!("{{controller=\"{controller}\",limit=\"{limit}\"}}");
        host.metric(&format!("wheelhouse_limit_breaches_total{labels}"))
    };
    host.until_running("hello.wasm").await;
    fs::write(host.file("fat.wasm"), fat()).unwrap();
    fs::write(host.file("slow.wasm"), slow()).unwrap();
    for (file, limit) in [("fat", "compileMemory"), ("slow", "compileTimeout")] {
        let report =
            host.until(&format!("{file}.wasm"), "failed", |report| report["phase"] == "failed").await;
        assert!(report["error"].as_str().unwrap().contains(&format!("the limit {limit} of")), "{report}");
        // By its file's name: nobody knows what it would have called itself.
        assert_eq!(breaches(file, limit), 1.0, "{file}");
        assert_eq!(breaches("hello", limit), 0.0, "the neighbour has nothing to do with it");
    }
    // By the plugin's name, where it is known, and what runs stays.
    fs::write(host.file("hello.wasm"), fat()).unwrap();
    host.until("hello.wasm", "failed", |report| report["phase"] == "failed").await;
    assert_eq!(breaches("hello", "compileMemory"), 1.0);
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "friend", "namespace": "default", "labels": {"hello": "world"}}}))
        .await;
    let friends = host.api("v1/ConfigMap", "default");
    eventually("hello greets", || async {
        friends.get("friend").await.unwrap().metadata.annotations.map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn hostile_more_code_than_the_limit_is_not_written() {
    let limits = CompileLimits { code_bytes: 100_000, ..CompileLimits::default() };
    let error = why_not(with_limits(limits), component("hello")).await;
    assert_eq!(error, LoadError::CodeTooLarge { limit: 100_000 });
}

#[tokio::test]
async fn the_compiler_says_what_is_wrong_with_a_component() {
    let error = why_not(with_limits(CompileLimits::default()), with_function("i32.add")).await;
    assert!(matches!(&error, LoadError::Compile(text) if text.contains("expected i32")), "{error}");
}

#[tokio::test]
async fn the_compilers_process_has_taken_from_itself_what_it_does_not_need() {
    let limits = CompileLimits { memory: 300 << 20, code_bytes: 12_345, ..CompileLimits::default() };
    let sandbox = Sandbox::new(with_limits(limits)).unwrap();
    let compiling = tokio::spawn(async move { sandbox.compile(slow()).await.map(|_| ()) });
    let us = std::process::id();
    let limits = eventually("a compiler with limits", || async {
        let limits = fs::read_to_string(format!("/proc/{}/limits", children(us).first()?)).ok()?;
        // The last that it sets.
        limits.contains("Max open files            32 ").then_some(limits)
    })
    .await;
    let of = |what: &str| {
        let line = limits.lines().find(|line| line.starts_with(what)).unwrap();
        line[what.len()..].split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(of("Max core file size"), 0);
    assert_eq!(of("Max data size"), 300 << 20);
    assert_eq!(of("Max address space"), (300 << 20) + (1 << 30));
    assert_eq!(of("Max file size"), 12_345);
    assert!(of("Max cpu time") >= 61);
    let pid = children(us)[0];
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert!(read("environ").starts_with("RAYON_NUM_THREADS=") && !read("environ").contains("PATH="));
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    eventually("the lowest priority", || async {
        let stat = read("stat");
        let nice = stat.rsplit_once(") ")?.1.split(' ').nth(16)?.to_owned();
        (nice == "19").then_some(())
    })
    .await;
    // Whoever started the tests may have left files open, but what we have opened ourselves stays with us.
    for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(fd.unwrap().path()).unwrap().display().to_string();
        assert!(!target.starts_with("socket:") && !target.starts_with("anon_inode:"), "{target}");
    }
    compiling.abort();
}

#[tokio::test]
async fn the_compiler_ends_with_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slow.wasm");
    fs::write(&file, slow()).unwrap();
    let mut host = wheelhouse().arg("inspect").arg(&file).spawn().unwrap();
    let compiler = eventually("a compiler", || async { children(host.id()).first().copied() }).await;
    host.kill().unwrap();
    host.wait().unwrap();
    eventually("the compiler's end", || async {
        // Dead, or gone.
        let stat = fs::read_to_string(format!("/proc/{compiler}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')).then_some(())
    })
    .await;
}

#[test]
fn the_compilers_command_is_for_the_host_alone() {
    let help = String::from_utf8(wheelhouse().arg("--help").output().unwrap().stdout).unwrap();
    assert!(!help.contains("__compile"), "{help}");
    let output = wheelhouse().arg("__compile").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(70), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("for the host to call"), "{output:?}");
}

fn inspect(file: &Path, cache: &Path) -> Command {
    let mut command = wheelhouse();
    command.arg("inspect").arg(file).arg("--cache-dir").arg(cache);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn processes_that_compile_the_same_at_once_share_a_cache() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    let running: Vec<_> = (0..4).map(|_| inspect(&plugin("hello"), &cache).spawn().unwrap()).collect();
    for process in running {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    // One entry, whole, and nothing else.
    let [entry] = files(&cache).try_into().unwrap();
    assert_eq!(entry.extension().unwrap(), "code");
    let written = fs::metadata(&entry).unwrap().len();
    assert!(inspect(&plugin("hello"), &cache).output().unwrap().status.success());
    assert_eq!(fs::metadata(&entry).unwrap().len(), written);
}

#[test]
fn hostile_a_cache_folder_that_is_not_private_is_refused_with_the_reason() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o755)).unwrap();
    let text = complaint(&inspect(&plugin("hello"), &cache).output().unwrap());
    assert!(text.contains(cache.to_str().unwrap()) && text.contains("chmod 700"), "{text}");
    fs::set_permissions(&cache, Permissions::from_mode(0o700)).unwrap();
    let link = parent.path().join("link");
    symlink(&cache, &link).unwrap();
    let text = complaint(&inspect(&plugin("hello"), &link).output().unwrap());
    assert!(text.contains("symbolic link"), "{text}");
}

#[test]
fn without_a_home_or_with_one_that_cannot_be_used_nothing_is_kept_and_all_works() {
    let parent = tempfile::tempdir().unwrap();
    let shared = parent.path().join("wheelhouse");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    for home in [None, Some(parent.path())] {
        let mut command = wheelhouse();
        command.arg("inspect").arg(plugin("hello")).env_remove("WHEELHOUSE_CACHE_DIR").env_remove("HOME");
        match home {
            Some(home) => command.env("XDG_CACHE_HOME", home),
            None => command.env_remove("XDG_CACHE_HOME"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(files(&shared).is_empty());
}

#[test]
fn hostile_compiled_code_is_no_plugin_whoever_made_it() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    assert!(inspect(&plugin("hello"), &cache).output().unwrap().status.success());
    let file = parent.path().join("hello.wasm");
    fs::copy(files(&cache).first().unwrap(), &file).unwrap();
    let text = complaint(&inspect(&file, &cache).output().unwrap());
    assert!(text.contains("compiled machine code, which is not taken"), "{text}");
}

/// A host whose program is this file, with a folder and a cache.
fn dev(program: &Path, folder: &Path, cache: &Path) -> Process {
    Process::start(
        Command::new(program)
            .env_remove("KUBECONFIG")
            .args(["dev", "--admin-addr", "127.0.0.1:0", "--cache-dir"])
            .arg(cache)
            .arg("--plugin-dir")
            .arg(folder),
    )
}

#[tokio::test]
async fn a_host_says_whether_a_plugin_was_compiled_or_came_from_the_cache() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, cache) = (parent.path().join("plugins"), parent.path().join("cache"));
    fs::create_dir(&folder).unwrap();
    fs::copy(plugin("hello"), folder.join("hello.wasm")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_wheelhouse"));
    for (how, not) in
        [("compiled in", "from the compile cache"), ("loaded from the compile cache in", "compiled in")]
    {
        let host = dev(program, &folder, &cache);
        host.logged(how).await;
        host.logged("running").await;
        assert!(!host.log().contains(not), "{}", host.log());
    }
    // Damaged: it says so, and compiles again.
    fs::write(files(&cache).first().unwrap(), "garbage").unwrap();
    let host = dev(program, &folder, &cache);
    host.logged("damaged in the compile cache").await;
    host.logged("compiled in").await;
    host.logged("running").await;
}

#[tokio::test]
async fn a_host_whose_program_has_been_replaced_goes_on_compiling_with_the_old_one() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, cache) = (parent.path().join("plugins"), parent.path().join("cache"));
    fs::create_dir(&folder).unwrap();
    let program = parent.path().join("wheelhouse");
    fs::copy(env!("CARGO_BIN_EXE_wheelhouse"), &program).unwrap();
    let host = dev(&program, &folder, &cache);
    host.logged("plugins are loaded from here").await;
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
    fs::copy(plugin("hello"), folder.join("hello.wasm")).unwrap();
    host.logged("compiled in").await;
    host.logged("running").await;
}

#[test]
fn the_compile_cache_of_the_library_is_the_one_of_the_binary() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    assert!(inspect(&plugin("hello"), &cache).output().unwrap().status.success());
    let opened = Some(CompileCache::open(&cache, 1 << 30).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = Sandbox::new(SandboxConfig { cache: opened, ..SandboxConfig::default() }).unwrap();
    // Were the engine of the child another, nothing would be found here.
    assert!(runtime.block_on(sandbox.compile(component("hello"))).unwrap().from_cache());
}
