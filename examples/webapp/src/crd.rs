//! The `WebApp` resource. `manifests/crd.yaml` is made from it, and a test keeps it so:
//! `UPDATE_MANIFESTS=1 cargo test -p webapp` writes it anew.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wheelhouse_sdk::Condition;

/// A web application: an image to run, and what it takes to reach it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "examples.wheelhouse.dev",
    version = "v1alpha1",
    kind = "WebApp",
    doc = "A web application: an image to run, and what it takes to reach it.",
    namespaced,
    status = "WebAppStatus",
    derive = "Default",
    shortname = "wa",
    printcolumn = r#"{"name": "Image", "type": "string", "jsonPath": ".spec.image"}"#,
    printcolumn = r#"{"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebAppSpec {
    /// The image to run.
    pub(crate) image: String,
    /// How many instances of it.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub(crate) replicas: i32,
    /// The port that it listens on, from 1 to 65535; the Service has the same.
    #[serde(default = "http")]
    pub(crate) port: i32,
    /// Its environment.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub(crate) env: Vec<Variable>,
    /// Files that it finds in /etc/webapp, by name. A change restarts it, one instance after another.
    #[serde(default)]
    pub(crate) config_files: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

fn http() -> i32 {
    8080
}

/// An environment variable.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    #[serde(default)]
    pub(crate) value: String,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WebAppStatus {
    /// The generation of the spec that this status is of.
    pub(crate) observed_generation: i64,
    /// How many instances can be used.
    pub(crate) ready_replicas: i64,
    /// Ready: whether all of them can.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub(crate) conditions: Vec<Condition>,
}

impl WebAppSpec {
    /// What the schema does not say, for the sake of showing how a plugin says it.
    ///
    /// # Errors
    /// What is wrong, for the `Ready` condition.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.image.trim().is_empty() {
            return Err("spec.image: must not be empty".to_owned());
        }
        if !(1..=65535).contains(&self.port) {
            return Err(format!("spec.port: {} is no port: use 1 to 65535", self.port));
        }
        let is_file_name = |name: &str| {
            (1..=253).contains(&name.len())
                && name != "."
                && !name.starts_with("..")
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match self.config_files.keys().find(|name| !is_file_name(name)) {
            Some(name) => Err(format!(
                "spec.configFiles: {name:?} is no file name: use letters, digits, '-', '_' and '.'"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kube::CustomResourceExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifest_is_what_the_types_say() {
        let crd = serde_saphyr::to_string(&WebApp::crd()).unwrap();
        let crd = format!("# Made from examples/webapp/src/crd.rs: change that, and see there.\n{crd}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crd.yaml");
        if std::env::var_os("UPDATE_MANIFESTS").is_some() {
            std::fs::write(&path, &crd).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == crd, "stale: UPDATE_MANIFESTS=1 cargo test -p webapp writes {}", path.display());
    }

    #[test]
    fn the_sample_is_a_web_app_that_can_be_run() {
        let sample: WebApp = serde_saphyr::from_str(include_str!("../manifests/webapp.yaml")).unwrap();
        assert_eq!(sample.spec.check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_field() {
        for (spec, field) in [
            (json!({"image": "nginx"}), ""),
            (json!({"image": " "}), "spec.image"),
            (json!({"image": "nginx", "port": 0}), "spec.port"),
            (json!({"image": "nginx", "port": 65536}), "spec.port"),
            (json!({"image": "nginx", "configFiles": {"a/b": ""}}), "spec.configFiles"),
            (json!({"image": "nginx", "configFiles": {"..": ""}}), "spec.configFiles"),
            (json!({"image": "nginx", "configFiles": {".profile": ""}}), ""),
        ] {
            let checked = serde_json::from_value::<WebAppSpec>(spec.clone()).unwrap().check();
            let refused = checked.err().unwrap_or_default();
            assert_eq!(refused.split(':').next(), Some(field), "{spec}");
        }
    }
}
