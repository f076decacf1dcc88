//! From a component's bytes to code: what is compiled where, what is kept, and what hostile bytes can do.
#![cfg(test)]

mod cache;
mod child;
mod hostile;
mod mutated;

use std::path::Path;
use std::sync::Arc;

use wheelhouse_sandbox::{Compiled, LoadError, Sandbox, SandboxConfig};

/// A built plugin.
fn plugin(name: &str) -> Arc<[u8]> {
    let folder = std::env::var_os("WHEELHOUSE_PLUGINS_DIR")
        .expect("WHEELHOUSE_PLUGINS_DIR names the built plugins: run `cargo xtask test`");
    Arc::from(std::fs::read(Path::new(&folder).join(name).with_extension("wasm")).unwrap())
}

/// A component with this in it, which claims to be a plugin, and so comes as far as the compiler.
fn claims_to_be_a_plugin(content: &str) -> Arc<[u8]> {
    let text = format!(
        r#"(component {content}
             (instance $claim) (export "wheelhouse:controller/reconciler@0.1.0" (instance $claim)))"#
    );
    Arc::from(wat::parse_str(text).unwrap())
}

fn small() -> SandboxConfig {
    SandboxConfig { instances: 2, ..SandboxConfig::default() }
}

async fn compile(config: SandboxConfig, component: &Arc<[u8]>) -> Result<Compiled, LoadError> {
    Sandbox::new(config).unwrap().compile(Arc::clone(component)).await
}

/// Likewise, where it has to go wrong.
async fn refused(config: SandboxConfig, component: &Arc<[u8]>) -> LoadError {
    compile(config, component).await.err().expect("it was taken")
}
