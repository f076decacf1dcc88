//! What the WIT says, as Rust: the only `bindgen!` of the host.

#![allow(missing_docs, unreachable_pub, reason = "generated; the WIT has the documentation")]

wasmtime::component::bindgen!({
    world: "plugin",
    path: "../../wit",
    imports: {
        "wheelhouse:controller/logging": trappable,
        "wheelhouse:controller/config": trappable,
        "wheelhouse:controller/metrics": trappable,
        "wheelhouse:controller/objects.synced": trappable,
        default: async | trappable,
    },
    exports: { default: async },
});
