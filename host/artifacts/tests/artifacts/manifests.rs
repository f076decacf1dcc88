//! Artifacts as other tools make them, put into a registry by hand.

use serde_json::{Value, json};
use wheelhouse_artifacts::{ComponentDigest, Credentials, Error};

use crate::docker_registry::Registry;
use crate::{at, client, component};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    ComponentDigest::of(bytes).to_string()
}

/// Puts the blobs and the manifest there, and fetches.
async fn fetch(registry: &Registry, manifest: &Value, blobs: &[&[u8]]) -> Result<Vec<u8>, Error> {
    for blob in blobs {
        registry.put_blob("a", &digest(blob), blob);
    }
    let media_type = manifest["mediaType"].as_str().unwrap_or(OCI);
    assert_eq!(registry.put_manifest("a:1", media_type, &manifest.to_string()), 201);
    let fetched = client().fetch(&at(&registry.at("a:1")), &Credentials::none(), None).await?;
    Ok(fetched.bytes.to_vec())
}

#[tokio::test]
async fn what_wkg_pushes_is_fetched() {
    let registry = Registry::start();
    let component = component("wkg", 3000);
    let config = json!({"created": "2025-11-03T09:12:44.017263Z", "author": null, "architecture": "wasm",
        "os": "wasip2", "layerDigests": [digest(&component)],
        "component": {"exports": ["wheelhouse:controller/reconciler@0.1.0"], "imports": [], "target": null}})
    .to_string();
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(config.as_bytes()),
            "size": config.len()},
        "layers": [{"mediaType": "application/wasm", "digest": digest(&component), "size": component.len()}],
        "annotations": {"org.opencontainers.image.version": "1.0.0"}});
    let fetched = fetch(&registry, &manifest, &[&component, config.as_bytes()]).await.unwrap();
    assert!(fetched == component);
}

#[tokio::test]
async fn what_oras_pushes_is_fetched() {
    let registry = Registry::start();
    let component = component("oras", 3000);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2,
            "data": "e30="},
        "layers": [{"mediaType": "application/wasm", "digest": digest(&component), "size": component.len(),
            "annotations": {"org.opencontainers.image.title": "hello.wasm"}}],
        "annotations": {"org.opencontainers.image.created": "2025-11-03T09:12:44Z"}});
    assert!(fetch(&registry, &manifest, &[&component, b"{}"]).await.unwrap() == component);
}

#[tokio::test]
async fn the_older_type_of_layer_is_fetched() {
    let registry = Registry::start();
    let component = component("older", 3000);
    let manifest = json!({"schemaVersion": 2,
        "config": {"mediaType": "application/vnd.wasm.config.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/vnd.wasm.content.layer.v1+wasm", "digest": digest(&component),
            "size": component.len()}]});
    assert!(fetch(&registry, &manifest, &[&component, b"{}"]).await.unwrap() == component);
}

#[tokio::test]
async fn an_image_is_no_component_and_its_layers_are_listed() {
    let registry = Registry::start();
    let layer = |blob: &[u8]| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(blob), "size": blob.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [layer(b"one"), layer(b"two")]});
    let error = fetch(&registry, &manifest, &[b"one", b"two", b"{}"]).await.unwrap_err();
    assert!(matches!(error, Error::NotAComponent { .. }) && !error.is_transient(), "{error:?}");
    assert!(
        error.to_string().contains("there are 2: application/vnd.oci.image.layer.v1.tar+gzip, "),
        "{error}"
    );
}

#[tokio::test]
async fn an_index_of_images_is_said_to_be_one() {
    let registry = Registry::start();
    let component = component("indexed", 100);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": digest(&component), "size": component.len()}]});
    fetch(&registry, &manifest, &[&component, b"{}"]).await.unwrap();
    let manifest = manifest.to_string();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": OCI, "digest": digest(manifest.as_bytes()), "size": manifest.len()}]});
    let error = fetch(&registry, &index, &[]).await.unwrap_err().to_string();
    assert!(error.contains("an image index") && error.contains("by its digest"), "{error}");
}

#[tokio::test]
async fn a_core_module_and_a_text_are_no_components() {
    let registry = Registry::start();
    for (blob, why) in
        [(&b"\0asm\x01\0\0\0"[..], "core WebAssembly module"), (b"text of a file", "does not begin")]
    {
        let manifest = json!({"schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
            "layers": [{"mediaType": "application/wasm", "digest": digest(blob), "size": blob.len()}]});
        let error = fetch(&registry, &manifest, &[blob, b"{}"]).await.unwrap_err();
        assert!(matches!(error, Error::NotAComponent { .. }) && error.to_string().contains(why), "{error:?}");
    }
}
