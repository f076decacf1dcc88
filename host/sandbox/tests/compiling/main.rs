//! From a component's bytes to code: what is compiled where, what is kept, and what hostile bytes can do.
#![cfg(test)]

mod cache;
mod child;
mod hostile;
mod mutated;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use wheelhouse_sandbox::{Compiled, LoadError, Sandbox, SandboxConfig};

use crate::support::Neighbour;

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

/// A sandbox, and a plugin that works in it, whatever else is to be compiled there.
struct Attacked {
    sandbox: Sandbox,
    neighbour: Neighbour,
}

impl Attacked {
    async fn new(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::new(config).unwrap();
        let neighbour = Neighbour::of(&sandbox.compile(plugin("hostile")).await.unwrap()).await;
        Self { sandbox, neighbour }
    }

    /// What becomes of a component, beside the neighbour.
    async fn compile(&self, component: &Arc<[u8]>) -> Result<Compiled, LoadError> {
        self.neighbour.beside(self.sandbox.compile(Arc::clone(component))).await
    }

    /// Likewise, where it has to go wrong.
    async fn refused(&self, component: &Arc<[u8]>) -> LoadError {
        self.compile(component).await.err().expect("it was taken")
    }
}
