//! What there is of WASI, and handles of it that nobody gave.

use wheelhouse_core::Outcome;
use wheelhouse_sandbox::LoadError;

use crate::component::{Module, ZEROS};
use crate::support::{Neighbour, limits, sandbox};

/// One import of each interface, by which it is asked for: its name, and its parameters and results.
type Interface = (&'static str, &'static str, &'static str);

/// What a plugin gets: the standard libraries of languages want it.
const LINKED: &[Interface] = &[
    ("wasi:io/error", "[resource-drop]error", "(param i32)"),
    ("wasi:io/poll", "[method]pollable.block", "(param i32)"),
    ("wasi:io/streams", "[resource-drop]input-stream", "(param i32)"),
    ("wasi:clocks/monotonic-clock", "now", "(result i64)"),
    ("wasi:clocks/wall-clock", "now", "(param i32)"),
    ("wasi:random/random", "get-random-u64", "(result i64)"),
    ("wasi:random/insecure", "get-insecure-random-u64", "(result i64)"),
    ("wasi:random/insecure-seed", "insecure-seed", "(param i32)"),
    ("wasi:cli/environment", "get-arguments", "(param i32)"),
    ("wasi:cli/exit", "exit", "(param i32)"),
    ("wasi:cli/stdin", "get-stdin", "(result i32)"),
    ("wasi:cli/stdout", "get-stdout", "(result i32)"),
    ("wasi:cli/stderr", "get-stderr", "(result i32)"),
    ("wasi:cli/terminal-input", "[resource-drop]terminal-input", "(param i32)"),
    ("wasi:cli/terminal-output", "[resource-drop]terminal-output", "(param i32)"),
    ("wasi:cli/terminal-stdin", "get-terminal-stdin", "(param i32)"),
    ("wasi:cli/terminal-stdout", "get-terminal-stdout", "(param i32)"),
    ("wasi:cli/terminal-stderr", "get-terminal-stderr", "(param i32)"),
    // They find nothing.
    ("wasi:filesystem/types", "[resource-drop]descriptor", "(param i32)"),
    ("wasi:filesystem/preopens", "get-directories", "(param i32)"),
];

/// The rest of WASI 0.2.
const NOT_LINKED: &[Interface] = &[
    ("wasi:clocks/timezone", "utc-offset", "(param i64 i32) (result i32)"),
    ("wasi:cli/run", "run", "(result i32)"),
    ("wasi:sockets/network", "[resource-drop]network", "(param i32)"),
    ("wasi:sockets/instance-network", "instance-network", "(result i32)"),
    ("wasi:sockets/ip-name-lookup", "[resource-drop]resolve-address-stream", "(param i32)"),
    ("wasi:sockets/tcp", "[resource-drop]tcp-socket", "(param i32)"),
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket", "(param i32 i32)"),
    ("wasi:sockets/udp", "[resource-drop]udp-socket", "(param i32)"),
    ("wasi:sockets/udp-create-socket", "create-udp-socket", "(param i32 i32)"),
    ("wasi:http/types", "[resource-drop]fields", "(param i32)"),
    ("wasi:http/outgoing-handler", "handle", "(param i32)"),
];

/// What becomes of a plugin that imports it.
async fn compiled((interface, function, signature): Interface) -> Result<(), LoadError> {
    let import = format!("(import \"{interface}@0.2.0\" \"{function}\" (func {signature}))\n");
    let component = Module { wasi: &import, ..Module::default() }.component();
    sandbox().compile(component.into()).await.map(drop)
}

#[tokio::test]
async fn hostile_of_wasi_there_is_what_is_listed_and_nothing_else() {
    let attacking = async {
        for interface in LINKED {
            let result = compiled(*interface).await;
            assert!(result.is_ok(), "{}: {result:?}", interface.0);
        }
        for interface in NOT_LINKED {
            let error = compiled(*interface).await.expect_err(interface.0).to_string();
            // Or one that it takes its types from.
            let named = NOT_LINKED.iter().any(|(name, ..)| error.contains(name));
            assert!(named, "{}: {error}", interface.0);
        }
    };
    Neighbour::start().await.beside(attacking).await;
}

const HANDLES: &str = r#"
    (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $input (result i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream" (func $drop (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]input-stream.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
"#;

#[tokio::test]
async fn hostile_handles_that_were_never_given_are_traps() {
    let module = |body: &str| format!("(local i32) {body} {ZEROS}");
    // What was given is there.
    let given = "(local.set 8 (call $input)) (drop (call $ready (call $subscribe (local.get 8))))";
    let body = module(given);
    let honest = Module { bodies: &[("reconcile", &body)], wasi: HANDLES, ..Module::default() };
    let revision = crate::start(&honest, limits()).await;
    assert_eq!(crate::support::reconcile(&revision, "x").await, Ok(Outcome::Done));
    for attack in [
        "(call $drop (i32.const 7))",
        "(call $drop (i32.const 0))",
        "(call $block (i32.const 12345))",
        "(call $block (i32.const -1))",
        "(drop (call $ready (i32.const 1)))",
        "(drop (call $subscribe (i32.const 0x7fffffff)))",
        // One among those to wait for, which are in memory.
        "(i32.store (i32.const 2048) (i32.const 77)) (call $poll (i32.const 2048) (i32.const 1) (i32.const 4096))",
        // One of another type, one that was given back, and one that is given back twice.
        "(call $write (call $input) (i32.const 0) (i32.const 0) (i32.const 2048))",
        "(call $block (call $input))",
        "(local.set 8 (call $input)) (call $drop (local.get 8)) (drop (call $subscribe (local.get 8)))",
        "(local.set 8 (call $input)) (call $drop (local.get 8)) (call $drop (local.get 8))",
    ] {
        let body = module(attack);
        let bodies = [("reconcile", &*body)];
        let reason = crate::trapped(&Module { bodies: &bodies, wasi: HANDLES, ..Module::default() }).await;
        assert!(reason.contains("handle index"), "{attack}: {reason}");
    }
}
