//! Files that are no plugin: each is refused with one line that says what is wrong and what to do.
#![cfg(test)]

use std::sync::Arc;

use wheelhouse_sandbox::{LoadError, Sandbox, SandboxConfig, inspect};

fn component(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

/// A component that exports an empty reconciler of this version.
fn plugin_of(version: &str) -> Vec<u8> {
    component(&format!(
        r#"(component (instance $i) (export "wheelhouse:controller/reconciler@{version}" (instance $i)))"#
    ))
}

#[test]
fn what_is_no_webassembly_is_refused() {
    for bytes in [&b""[..], b"\0as", b"#!/bin/sh\n"] {
        assert_eq!(inspect(bytes).unwrap_err(), LoadError::NotWasm);
    }
}

#[test]
fn hostile_compiled_code_is_refused_with_the_way_out() {
    let error = inspect(b"\x7fELF and so on").unwrap_err();
    assert_eq!(error, LoadError::Precompiled);
    assert!(error.to_string().contains("hand over the component"), "{error}");
}

#[test]
fn a_core_module_is_refused_with_the_way_out() {
    let error = inspect(&component("(module (func (export \"reconcile\")))")).unwrap_err();
    assert_eq!(error, LoadError::CoreModule);
    assert!(error.to_string().contains("wasm32-wasip2"), "{error}");
}

#[test]
fn a_truncated_component_is_refused_wherever_it_is_cut() {
    let whole = component(
        r#"(component
             (core module $m (func (export "f") (result i32) i32.const 7))
             (core instance $i (instantiate $m))
             (func $f (result u32) (canon lift (core func $i "f")))
             (export "f" (func $f)))"#,
    );
    for cut in 8..whole.len() {
        let error = inspect(&whole[..cut]).unwrap_err();
        // Cut between two sections it is a smaller whole, which exports no reconciler.
        assert!(matches!(error, LoadError::Damaged(_) | LoadError::NoPlugin { .. }), "at {cut}: {error}");
    }
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_exports() {
    let other =
        component(r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#);
    let error = inspect(&other).unwrap_err();
    assert!(
        matches!(&error, LoadError::NoPlugin { exports } if exports == "wasi:http/incoming-handler@0.2.0")
    );
    let error = inspect(&component("(component)")).unwrap_err();
    assert!(error.to_string().contains("it exports nothing"), "{error}");
}

#[test]
fn an_unknown_api_version_is_refused_with_both_versions() {
    for version in ["0.2.0", "9.0.0"] {
        let error = inspect(&plugin_of(version)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(version) && text.contains("0.1.0"), "{text}");
    }
    assert_eq!(inspect(&plugin_of("0.1.0")).unwrap().api_version, "0.1.0");
}

#[test]
fn an_import_that_plugins_do_not_get_is_refused_by_name() {
    let sockets = component(
        r#"(component
             (import "wasi:sockets/tcp@0.2.3" (instance))
             (instance $i)
             (export "wheelhouse:controller/reconciler@0.1.0" (instance $i)))"#,
    );
    assert_eq!(inspect(&sockets).unwrap_err(), LoadError::Import("wasi:sockets/tcp@0.2.3".to_owned()));
}

#[tokio::test]
async fn a_reconciler_that_lacks_its_functions_does_not_compile() {
    let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
    let error = sandbox.compile(Arc::from(plugin_of("0.1.0"))).await.err().unwrap();
    assert!(matches!(&error, LoadError::Compile(text) if text.contains("describe")), "{error}");
}

#[tokio::test]
async fn a_component_above_the_limit_is_refused_before_it_is_read() {
    let sandbox = Sandbox::new(SandboxConfig { component_bytes: 10, ..Default::default() }).unwrap();
    let error = sandbox.compile(Arc::from(plugin_of("0.1.0"))).await.err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit: 10, .. }), "{error}");
}
