//! Manifests of components: read as they are found, written as the CNCF's guide to Wasm artifacts has it.
//!
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};
use wheelhouse_core::printable::excerpt;

use crate::digest::{Blob, ComponentDigest, Digest, ManifestDigest};

/// As an OCI registry has it.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What is asked for. Lists are, too: they have an error of their own.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
/// What it was called before.
const OLDER_WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// As many layers are named in an error.
const NAMED: usize = 8;
/// Registries take no larger ones.
pub(crate) const LONGEST: u64 = 4 << 20;

/// Where a manifest says that its component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: ComponentDigest,
    pub(crate) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    schema_version: u64,
    #[serde(default)]
    layers: Option<Vec<ReadLayer>>,
    #[serde(default)]
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadLayer {
    media_type: String,
    digest: String,
    size: u64,
}

/// The layer with the component: the only one of its type. Else, what the manifest is instead.
pub(crate) fn layer(manifest: &[u8]) -> Result<Layer, String> {
    let read: Read = serde_json::from_slice(manifest)
        .map_err(|error| format!("its manifest cannot be read: {}", excerpt(&error.to_string())))?;
    if let Some(manifests) = read.manifests {
        return Err(format!(
            "this is an image index, with {} manifests, and no artifact: name one of them by its digest",
            manifests.len()
        ));
    }
    if read.schema_version != 2 {
        return Err(format!(
            "its manifest has the schema version {}, and only 2 is known",
            read.schema_version
        ));
    }
    let layers = read.layers.unwrap_or_default();
    let is_wasm = |layer: &&ReadLayer| [WASM, OLDER_WASM].contains(&layer.media_type.as_str());
    let mut wasm = layers.iter().filter(is_wasm);
    let (Some(layer), None) = (wasm.next(), wasm.next()) else {
        return Err(format!("exactly one layer of type {WASM} is expected, and {}", listed(&layers)));
    };
    let digest = layer.digest.parse().map_err(|error| format!("its layer cannot be named: {error}"))?;
    Ok(Layer { digest, size: layer.size })
}

fn listed(layers: &[ReadLayer]) -> String {
    if layers.is_empty() {
        return "there is none".to_owned();
    }
    let types: Vec<_> = layers.iter().take(NAMED).map(|layer| excerpt(&layer.media_type)).collect();
    let more = if layers.len() > NAMED { ", …" } else { "" };
    format!("there are {}: {}{more}", layers.len(), types.join(", "))
}

/// What bytes are that are no component, if they are none.
pub(crate) fn not_a_component(bytes: &[u8]) -> Option<String> {
    let head = bytes.first_chunk::<8>();
    Some(match head {
        Some(b"\0asm\x0d\0\x01\0") => return None,
        Some(b"\0asm\x01\0\0\0") => {
            "a core WebAssembly module, not a component: build it for wasm32-wasip2".to_owned()
        }
        Some([b'\0', b'a', b's', b'm', version @ ..]) => {
            format!("WebAssembly of a version that is not known: {version:x?}")
        }
        _ => "not a WebAssembly component: it does not begin as one".to_owned(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u64,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: World,
}

/// What a component imports and exports, by which registries may index it.
#[derive(Default, Serialize)]
struct World {
    exports: Vec<String>,
    imports: Vec<String>,
}

/// All of an artifact but its component.
pub(crate) struct Artifact {
    pub(crate) component: ComponentDigest,
    pub(crate) config: Bytes,
    pub(crate) config_digest: Digest<Blob>,
    pub(crate) manifest: Bytes,
    pub(crate) manifest_digest: ManifestDigest,
}

impl Artifact {
    /// Of a component: the same of the same bytes, whenever it is made.
    pub(crate) fn of(component: &[u8]) -> Result<Self, String> {
        let digest = ComponentDigest::of(component);
        let config = Config {
            // Tools want one, and the true one would have every push make another artifact.
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [digest.to_string()],
            component: world(component)?,
        };
        let config = json(&config)?;
        let config_digest = Digest::<Blob>::of(&config);
        let descriptor = |media_type, digest: String, bytes: &[u8]| Descriptor {
            media_type,
            digest,
            size: bytes.len() as u64,
        };
        let manifest = json(&Written {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            config: descriptor(WASM_CONFIG, config_digest.to_string(), &config),
            layers: [descriptor(WASM, digest.to_string(), component)],
        })?;
        let manifest_digest = ManifestDigest::of(&manifest);
        Ok(Self { component: digest, config, config_digest, manifest, manifest_digest })
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, String> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| format!("its manifest cannot be written: {error}"))
}

fn world(component: &[u8]) -> Result<World, String> {
    if let Some(what) = not_a_component(component) {
        return Err(what);
    }
    let mut world = World::default();
    let damaged = |error: wasmparser::BinaryReaderError| {
        format!("a damaged or truncated component: {}", excerpt(&error.to_string()))
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("a core WebAssembly module, not a component".to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    world.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    world.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(world)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn of(layers: &[&str]) -> Result<Layer, String> {
        let layers: Vec<_> = layers
            .iter()
            .map(|media_type| json!({"mediaType": media_type, "digest": DIGEST, "size": 7}))
            .collect();
        layer(json!({"schemaVersion": 2, "layers": layers}).to_string().as_bytes())
    }

    #[test]
    fn the_one_wasm_layer_is_found_among_others() {
        let layer = Ok(Layer { digest: DIGEST.parse().unwrap(), size: 7 });
        assert_eq!(of(&[WASM]), layer);
        assert_eq!(of(&["text/markdown", OLDER_WASM, "application/json"]), layer);
    }

    #[test]
    fn what_is_there_instead_is_listed() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        for (layers, found) in [
            (&[][..], "there is none"),
            (&[tar, tar], "there are 2: application/vnd.oci.image.layer.v1.tar+gzip, application/"),
            (&[WASM, OLDER_WASM], "there are 2: application/wasm, application/vnd.wasm"),
            (&["a\n\u{1b}[31mb"], "there are 1: a [31mb"),
        ] {
            let error = of(layers).unwrap_err();
            assert!(error.contains(found) && error.contains("exactly one"), "{error}");
        }
        assert!(of(&["x".repeat(10_000).as_str(); 1000]).unwrap_err().len() < 1200);
    }

    #[test]
    fn what_is_no_manifest_of_an_artifact_is_told() {
        let layer_of = |digest: &str, size: i64| json!({"mediaType": WASM, "digest": digest, "size": size});
        for (manifest, why) in [
            (json!("text"), "cannot be read"),
            (json!({"schemaVersion": 2, "manifests": [{}, {}]}), "an image index, with 2 manifests"),
            (json!({"schemaVersion": 1, "fsLayers": []}), "schema version 1"),
            (json!({"schemaVersion": 2, "layers": [layer_of("sha512:00", 1)]}), "64 hexadecimal"),
            (json!({"schemaVersion": 2, "layers": [layer_of(DIGEST, -1)]}), "cannot be read"),
            (json!({"schemaVersion": 2}), "there is none"),
        ] {
            let error = layer(manifest.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(why), "{manifest}: {error}");
        }
        assert!(layer(b"{\"schemaVersion\": 2").unwrap_err().contains("cannot be read"));
        assert!(layer(&vec![b'['; 1 << 20]).unwrap_err().len() < 300);
    }

    #[test]
    fn an_artifact_is_what_the_guide_says_and_always_the_same() {
        let component =
            wat::parse_str("(component (import \"a:b/c\" (instance)) (export \"d:e/f@1.0.0\" (instance 0)))")
                .unwrap();
        let artifact = Artifact::of(&component).unwrap();
        let config: Value = serde_json::from_slice(&artifact.config).unwrap();
        assert_eq!(
            config,
            json!({"created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
                "layerDigests": [artifact.component.to_string()],
                "component": {"imports": ["a:b/c"], "exports": ["d:e/f@1.0.0"]}})
        );
        let manifest: Value = serde_json::from_slice(&artifact.manifest).unwrap();
        assert_eq!(
            manifest,
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": WASM_CONFIG, "digest": artifact.config_digest.to_string(),
                    "size": artifact.config.len()},
                "layers": [{"mediaType": WASM, "digest": artifact.component.to_string(),
                    "size": component.len()}]})
        );
        let layer = layer(&artifact.manifest).unwrap();
        assert_eq!((layer.digest, layer.size), (artifact.component, component.len() as u64));
        assert_eq!(Artifact::of(&component).unwrap().manifest_digest, artifact.manifest_digest);
    }

    #[test]
    fn what_is_no_component_is_told() {
        for (bytes, why) in [
            (&b""[..], "does not begin"),
            (b"\0asm", "does not begin"),
            (b"<!doctype html>", "does not begin"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b"\0asm\x0c\0\x01\0", "version that is not known"),
            (b"\0asm\x0d\0\x01\0\xff", "damaged"),
        ] {
            let Err(error) = Artifact::of(bytes) else { panic!("{bytes:?}") };
            assert!(error.contains(why), "{error}");
        }
    }
}
