//! Components that are made to be trouble for whoever reads, compiles or loads them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_sandbox::{LoadError, inspect};

use crate::support::Neighbour;
use crate::{Attacked, claims_to_be_a_plugin, small};

/// Far more than any of these takes, and far less than one takes that does not end.
const SOON: Duration = Duration::from_secs(60);

async fn attacked() -> Attacked {
    Attacked::new(small()).await
}

/// It is refused soon, in one line that is not long, which comes back; and the neighbour has not noticed.
async fn why_not(attacked: &Attacked, component: &Arc<[u8]>) -> String {
    let begun = Instant::now();
    let error = attacked.refused(component).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!matches!(error, LoadError::Compiler(_)), "{error}");
    let text = error.to_string();
    assert!(text.len() < 1200 && !text.contains(char::is_control), "{text}");
    text
}

#[tokio::test]
async fn hostile_what_no_plugin_needs_is_refused_by_its_name() {
    let attacked = attacked().await;
    let relaxed =
        "(core module (func (param v128) (result v128) local.get 0 local.get 0 i8x16.relaxed_swizzle))";
    let spawn = "(core type $f (shared (func (param i32)))) (core func (canon thread.spawn-ref $f))";
    for (content, said) in [
        ("(core module (memory 1 1 shared))", "threads must be enabled for shared memories"),
        ("(core module (memory i64 1))", "memory64 must be enabled"),
        ("(core module (memory 1) (memory 1))", "multiple memories"),
        ("(core module (type (struct (field i32))))", "struct types when gc types are disabled"),
        ("(core module (type (array i32)))", "array types when gc types are disabled"),
        ("(core module (func (param externref)))", "gc types are disallowed"),
        (relaxed, "relaxed SIMD support is not enabled"),
        ("(core module (tag))", "exceptions proposal not enabled"),
        (spawn, "shared-everything-threads"),
        ("(core func (canon thread.index))", "component model threading feature"),
        ("(core func (canon backpressure.inc))", "component model async feature"),
        ("(core func (canon waitable-set.new))", "component model async feature"),
        ("(type (future u8))", "component model async feature"),
        ("(type (stream u8))", "component model async feature"),
        ("(type (func async))", "component model async feature"),
    ] {
        let text = why_not(&attacked, &claims_to_be_a_plugin(content)).await;
        assert!(text.contains("does not compile") && text.contains(said), "{content}: {text}");
    }
}

#[tokio::test]
async fn hostile_imports_without_number_are_refused() {
    let attacked = attacked().await;
    for (number, said) in [(900, "x0@0.1.0"), (5000, "exceeds limit of 1000")] {
        let mut imports = String::new();
        for i in 0..number {
            let _ = write!(
                imports,
                r#"(import "wheelhouse:controller/x{i}@0.1.0" (instance (export "f" (func))))"#
            );
        }
        let text = why_not(&attacked, &claims_to_be_a_plugin(&imports)).await;
        assert!(text.contains(said), "{number}: {text}");
    }
}

#[tokio::test]
async fn hostile_core_instances_without_number_are_refused() {
    let attacked = attacked().await;
    for (number, said) in [(900, "64"), (100_000, "exceeds limit of 1000")] {
        let instances = "(core instance (instantiate $m))".repeat(number);
        let module = "(core module $m (memory 1) (table 1 funcref) (func nop))";
        let text = why_not(&attacked, &claims_to_be_a_plugin(&format!("{module} {instances}"))).await;
        assert!(text.contains(said), "{number}: {text}");
    }
}

#[tokio::test]
async fn hostile_more_memories_and_tables_than_a_slot_has_are_refused() {
    let attacked = attacked().await;
    for (content, said) in [
        (format!("(core module (memory {}))", 5 << 12), "memory"),
        ("(core module (table 1000000 funcref))".to_owned(), "table"),
    ] {
        // A module counts once it is instantiated.
        let content = format!("{content} (core instance (instantiate 0))");
        let text = why_not(&attacked, &claims_to_be_a_plugin(&content)).await;
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn hostile_a_huge_data_segment_is_nothing_special() {
    let attacked = attacked().await;
    let data = format!(r#"(core module (memory 1000) (data (i32.const 0) "{}"))"#, "x".repeat(60 << 20));
    let component = claims_to_be_a_plugin(&data);
    assert!(component.len() > 60 << 20);
    // It is no plugin, but that is said last.
    assert!(why_not(&attacked, &component).await.contains("describe"));
}

#[tokio::test]
async fn hostile_types_that_grow_exponentially_are_refused() {
    let attacked = attacked().await;
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for i in 1..60 {
        let _ = write!(types, "(type $t{i} (tuple $t{0} $t{0}))", i - 1);
    }
    assert!(why_not(&attacked, &claims_to_be_a_plugin(&types)).await.contains("effective type size"));
}

#[tokio::test]
async fn hostile_components_within_components_are_refused_at_a_depth() {
    let attacked = attacked().await;
    for (depth, refused) in [(90, "describe"), (101, "limit of 100"), (200_000, "limit of 100")] {
        let text = why_not(&attacked, &nested(depth)).await;
        assert!(text.contains(refused), "{depth}: {text}");
    }
}

/// A component that has one that has one, and so on.
fn nested(depth: usize) -> Arc<[u8]> {
    // From the inside, and backwards, since each is what its parent's length counts.
    let mut reversed: Vec<u8> = Vec::new();
    let mut levels = 0;
    while levels < depth {
        reversed.extend(b"\0asm\x0d\0\x01\0".iter().rev());
        let mut size = reversed.len();
        let mut length = Vec::new();
        loop {
            let byte = u8::try_from(size & 0x7f).unwrap();
            size >>= 7;
            length.push(if size > 0 { byte | 0x80 } else { byte });
            if size == 0 {
                break;
            }
        }
        reversed.extend(length.iter().rev());
        // The section of a component.
        reversed.push(4);
        levels += 1;
    }
    let mut component = claims_to_be_a_plugin("").to_vec();
    component.extend(reversed.iter().rev());
    Arc::from(component)
}

#[tokio::test]
async fn hostile_names_cannot_write_to_the_terminal_or_fill_the_log() {
    let neighbour = Neighbour::start().await;
    let long = "x".repeat(50_000);
    for name in ["a\u{1b}[2J\nwheelhouse: all is well", &long] {
        // The parser of texts does not check them.
        for text in [
            format!(r#"(component (instance $i) (export "{long}" (instance $i)))"#),
            format!(
                r#"(component (import "{long}" (instance)) (instance $i)
                         (export "wheelhouse:controller/reconciler@0.1.0" (instance $i)))"#
            ),
        ] {
            let mut bytes = wat::parse_str(text).unwrap();
            let at = bytes.windows(long.len()).position(|window| window == long.as_bytes()).unwrap();
            bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
            let error = neighbour.beside(async { inspect(&bytes).unwrap_err() }).await;
            assert!(matches!(error, LoadError::NoPlugin { .. } | LoadError::Import(_)), "{error}");
            let text = error.to_string();
            assert!(text.len() < 1200 && !text.contains(char::is_control), "{text:?}");
        }
    }
}
