//! What a component says of itself without being compiled or run.

use wasmparser::{Encoding, Parser, Payload};

use crate::error::{LoadError, one_line};

/// The API version that this host offers.
pub const SUPPORTED_API: &str = "0.1.0";

/// The interface that makes a component a plugin.
const RECONCILER: &str = "wheelhouse:controller/reconciler@";
/// The host's own interfaces.
const HOST: &str = "wheelhouse:controller/";
/// Interfaces of WASI that a plugin gets: prefixes, up to the version.
const WASI: &[&str] = &["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/"];

/// How deep components may be within components. Those that compilers make are 2 or 3 deep; what the engine's
/// compiler needs, in time and memory, grows with the square.
const NESTED: usize = 100;

/// What can be read from a component's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The version of `wheelhouse:controller` that it was built for.
    pub api_version: String,
    /// The interfaces that it imports, in its order.
    pub imports: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: usize,
}

/// Reads a component's imports and exports.
///
/// # Errors
/// What keeps it from being a plugin of this host: see [`LoadError`].
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let mut inspection = Inspection {
        api_version: String::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        size: bytes.len(),
    };
    if bytes.starts_with(b"\x7fELF") {
        return Err(LoadError::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm);
    }
    let damaged = |error: wasmparser::BinaryReaderError| LoadError::Damaged(one_line(&error.to_string()));
    // Components nest: what counts is said at depth 0.
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(LoadError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > NESTED {
                    return Err(LoadError::Nested { limit: NESTED });
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    inspection.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    inspection.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let version = inspection.exports.iter().find_map(|export| export.strip_prefix(RECONCILER));
    let Some(version) = version else {
        let exports = if inspection.exports.is_empty() {
            "nothing".to_owned()
        } else {
            one_line(&inspection.exports.join(", "))
        };
        return Err(LoadError::NoPlugin { exports });
    };
    if version != SUPPORTED_API {
        return Err(LoadError::ApiVersion { found: one_line(version), supported: SUPPORTED_API });
    }
    version.clone_into(&mut inspection.api_version);
    let allowed =
        |import: &&String| import.starts_with(HOST) || WASI.iter().any(|wasi| import.starts_with(wasi));
    if let Some(import) = inspection.imports.iter().find(|import| !allowed(import)) {
        return Err(LoadError::Import(one_line(import)));
    }
    Ok(inspection)
}
