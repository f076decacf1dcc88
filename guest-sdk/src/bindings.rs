//! What wit-bindgen makes of `wit/`. The rest of the SDK says it in Rust's words; a plugin's author
//! meets only the plain records and enums that the SDK re-exports from here.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // Generated: the calls across the component's border are unsafe by nature.

wit_bindgen::generate!({
    path: "../wit",
    world: "wheelhouse:controller/plugin",
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "wheelhouse_sdk::bindings",
    additional_derives: [PartialEq, Eq, Hash, PartialOrd, Ord],
});
