//! Children that misbehave: shells instead of compilers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wheelhouse_sandbox::{CompileCache, CompileLimits, Compiler, LoadError, Sandbox, SandboxConfig};

use crate::{Attacked, compile, plugin, refused, small};

/// A child that runs this script.
fn shell(script: &str) -> SandboxConfig {
    let compiler =
        Compiler::Child { program: "/bin/sh".into(), args: vec!["-c".into(), script.into(), "sh".into()] };
    SandboxConfig { compiler, ..small() }
}

/// What becomes of a plugin whose compiler is this child, beside a neighbour in the same sandbox.
async fn attacked(config: SandboxConfig) -> LoadError {
    // The neighbour is of the cache: of these compilers it would not come.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("neighbour");
    let cache = Some(CompileCache::open(&folder, 1 << 30).unwrap());
    compile(SandboxConfig { cache: cache.clone(), ..small() }, &plugin("hostile")).await.unwrap();
    Attacked::new(SandboxConfig { cache, ..config }).await.refused(&plugin("hello")).await
}

/// Process numbers of our children, dead ones that nobody has waited for among them.
fn children() -> Vec<u32> {
    let us = std::process::id().to_string();
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned);
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            parent(&stat) == Some(us.clone())
        })
        .collect()
}

async fn until_there_are_no_children() {
    let begun = Instant::now();
    while !children().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", children());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn hostile_a_compilation_that_does_not_end_is_ended() {
    let timeout = Duration::from_millis(300);
    // A number that no other has.
    let seconds = 100_000_000 + std::process::id();
    let begun_by_it = || {
        let commands = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
        commands.filter(|command| command.contains(&format!("sleep\0{seconds}"))).count()
    };
    // The second has started a process of its own.
    for script in [format!("exec sleep {seconds}"), format!("sleep {seconds} & wait")] {
        let compile = CompileLimits { timeout, ..CompileLimits::default() };
        let begun = Instant::now();
        let error = attacked(SandboxConfig { compile, ..shell(&script) }).await;
        assert_eq!(error, LoadError::CompileTimeout { limit: timeout });
        assert!(error.to_string().contains("compileTimeout of 300ms"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10));
        until_there_are_no_children().await;
        while begun_by_it() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{script}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_compilation_that_nobody_wants_any_more_is_ended() {
    let sandbox = Sandbox::new(shell("exec sleep 1000")).unwrap();
    let compiling = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.compile(plugin("hello")).await.map(|_| ()) }
    });
    let begun = Instant::now();
    while children().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    compiling.abort();
    until_there_are_no_children().await;
}

#[tokio::test]
async fn hostile_a_compiler_that_crashes_costs_an_error() {
    for (script, said) in [
        ("kill -SEGV $$", "SIGSEGV"),
        ("kill -KILL $$", "memory runs out"),
        ("echo it is broken >&2; exit 3", "it is broken"),
        ("exit 3", "said nothing"),
    ] {
        let error = attacked(shell(script)).await;
        assert!(matches!(&error, LoadError::Compiler(text) if text.contains(said)), "{script}: {error}");
    }
}

#[tokio::test]
async fn hostile_a_compiler_that_says_no_end_of_things_is_heard_out_and_cut_short() {
    let script = "i=0; while [ $i -lt 20000 ]; do echo 'as long a line as it takes to fill a pipe soon'; \
                  i=$((i+1)); done >&2; exit 65";
    let error = attacked(shell(script)).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
    let text = error.to_string();
    assert!(text.len() < 1200 && !text.contains('\n'), "{}: {text}", text.len());
}

#[tokio::test]
async fn output_that_is_no_code_is_refused() {
    for script in ["exit 0", "echo something else", "head -c 100000 /dev/zero"] {
        let error = refused(shell(script), &plugin("hello")).await;
        assert!(matches!(error, LoadError::Compile(_)), "{script}: {error}");
    }
}

#[tokio::test]
async fn hostile_code_above_the_limit_is_not_loaded() {
    let compile = CompileLimits { code_bytes: 1000, ..CompileLimits::default() };
    let config = SandboxConfig { compile, ..shell("head -c 1001 /dev/zero") };
    let error = attacked(config).await;
    assert_eq!(error, LoadError::CodeTooLarge { limit: 1000 });
    assert!(error.to_string().contains("compiledBytes of 1000"), "{error}");
}

#[tokio::test]
async fn a_compiler_that_is_not_there_is_named() {
    let compiler = Compiler::Child { program: PathBuf::from("/none/such"), args: Vec::new() };
    let error = refused(SandboxConfig { compiler, ..small() }, &plugin("hello")).await;
    assert!(error.to_string().contains("/none/such"), "{error}");
}

#[tokio::test]
async fn the_compiler_gets_the_component_and_nothing_of_the_host() {
    let size = plugin("hello").len();
    // The sixth argument is the size; the environment holds what the shell itself sets.
    let script = format!(
        r#"[ "$2" = {size} ] && [ "$(head -c {size} | wc -c)" -eq {size} ] || exit 3
           echo "environment: $(env | cut -d= -f1 | sort | tr '\n' ' ') folder: $(pwd)" >&2
           exit 65"#
    );
    assert!(std::env::vars_os().count() > 3);
    let error = refused(shell(&script), &plugin("hello")).await;
    let LoadError::Compile(said) = &error else { panic!("{error}") };
    assert_eq!(said, "environment: PWD RAYON_NUM_THREADS folder: /");
}

#[tokio::test]
async fn no_more_compile_at_once_than_there_are_places_and_waiting_costs_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let busy = folder.path().join("busy");
    let script = format!("mkdir {0} || exit 3; sleep 0.4; rmdir {0}; exit 65", busy.display());
    let compile = CompileLimits { jobs: 1, timeout: Duration::from_secs(2), ..CompileLimits::default() };
    let sandbox = Sandbox::new(SandboxConfig { compile, ..shell(&script) }).unwrap();
    let compiling = (0..6).map(|_| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { sandbox.compile(plugin("hello")).await.err() })
    });
    for ended in compiling.collect::<Vec<_>>() {
        assert_eq!(ended.await.unwrap(), Some(LoadError::Compile(String::new())));
    }
}
