//! The objects that a `WebApp` becomes. Nothing here asks the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, PodSpec, PodTemplateSpec, Service,
    ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use sha2::{Digest, Sha256};

use crate::crd::WebApp;

const CONFIG_DIR: &str = "/etc/webapp";
const CONFIG_HASH: &str = "examples.wheelhouse.dev/config-hash";
const BUILT_BY: &str = "examples.wheelhouse.dev/built-by";

type Texts = BTreeMap<String, String>;

fn labels(app: &WebApp) -> Texts {
    let name = app.metadata.name.clone().unwrap_or_default();
    Texts::from([
        ("app.kubernetes.io/name".to_owned(), name),
        ("app.kubernetes.io/managed-by".to_owned(), "webapp".to_owned()),
    ])
}

fn meta(app: &WebApp, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: app.metadata.namespace.clone(),
        labels: Some(labels(app)),
        owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn name(app: &WebApp) -> String {
    app.metadata.name.clone().unwrap_or_default()
}

/// What the ConfigMap of a `WebApp` of this name is called.
pub(crate) fn config_name(app: &str) -> String {
    format!("{app}-config")
}

/// The config files, if there are any.
pub(crate) fn config_map(app: &WebApp) -> Option<ConfigMap> {
    let files = &app.spec.config_files;
    (!files.is_empty()).then(|| ConfigMap {
        metadata: meta(app, config_name(&name(app))),
        data: Some(files.clone()),
        ..ConfigMap::default()
    })
}

/// The Pods. `built_by` is what it is annotated with.
pub(crate) fn deployment(app: &WebApp, built_by: &str) -> Deployment {
    let spec = &app.spec;
    let env = spec.env.iter().map(|variable| EnvVar {
        name: variable.name.clone(),
        value: Some(variable.value.clone()),
        ..EnvVar::default()
    });
    let mut container = Container {
        name: "web".to_owned(),
        image: Some(spec.image.clone()),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: spec.port,
            ..ContainerPort::default()
        }]),
        env: (!spec.env.is_empty()).then(|| env.collect()),
        ..Container::default()
    };
    let mut pods = PodSpec::default();
    let mut annotations = None;
    if !spec.config_files.is_empty() {
        // A running Pod does not notice that a file has changed; that its template has changed
        // makes the Deployment replace it.
        annotations = Some(Texts::from([(CONFIG_HASH.to_owned(), hash(&spec.config_files))]));
        container.volume_mounts = Some(vec![VolumeMount {
            name: "config".to_owned(),
            mount_path: CONFIG_DIR.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]);
        pods.volumes = Some(vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: config_name(&name(app)),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]);
    }
    pods.containers = vec![container];

    let mut metadata = meta(app, name(app));
    metadata.annotations = Some(Texts::from([(BUILT_BY.to_owned(), built_by.to_owned())]));
    Deployment {
        metadata,
        spec: DeploymentSpec {
            replicas: Some(spec.replicas),
            selector: LabelSelector { match_labels: Some(labels(app)), ..LabelSelector::default() },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(app)),
                    annotations,
                    ..ObjectMeta::default()
                }),
                spec: Some(pods),
            },
            ..DeploymentSpec::default()
        },
        status: None,
    }
}

/// The way to the Pods.
pub(crate) fn service(app: &WebApp) -> Service {
    Service {
        metadata: meta(app, name(app)),
        spec: Some(ServiceSpec {
            selector: Some(labels(app)),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: app.spec.port,
                target_port: Some(IntOrString::String("http".to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The same for the same files, whatever built the plugin.
fn hash(files: &Texts) -> String {
    let mut hash = Sha256::new();
    for text in files.iter().flat_map(|(name, text)| [name, text]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn app(spec: Value) -> WebApp {
        let metadata = json!({"name": "shop", "namespace": "prod", "uid": "u-1"});
        let object = json!({
            "apiVersion": "examples.wheelhouse.dev/v1alpha1", "kind": "WebApp",
            "metadata": metadata, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn template(app: &WebApp) -> Value {
        json!(deployment(app, "test"))["spec"]["template"].clone()
    }

    #[test]
    fn every_child_is_in_the_namespace_and_has_its_owner() {
        let app = app(json!({"image": "nginx", "configFiles": {"a": "b"}}));
        for child in [json!(config_map(&app)), json!(deployment(&app, "test")), json!(service(&app))] {
            let meta = &child["metadata"];
            let owner = json!([{
                "apiVersion": "examples.wheelhouse.dev/v1alpha1", "kind": "WebApp", "name": "shop",
                "uid": "u-1", "controller": true,
            }]);
            assert_eq!((&meta["namespace"], &meta["ownerReferences"]), (&json!("prod"), &owner), "{child}");
        }
    }

    #[test]
    fn the_service_leads_to_the_pods() {
        let app = app(json!({"image": "nginx", "port": 80}));
        let (service, template) = (json!(service(&app)), template(&app));
        assert_eq!(service["spec"]["selector"], template["metadata"]["labels"]);
        assert_eq!(service["spec"]["ports"][0]["port"], 80);
        let port = &template["spec"]["containers"][0]["ports"][0];
        assert_eq!((&port["name"], &port["containerPort"]), (&json!("http"), &json!(80)));
    }

    #[test]
    fn the_spec_is_carried_out_with_its_defaults() {
        let spec = json!({"image": "nginx", "env": [{"name": "A", "value": "1"}]});
        let deployment = json!(deployment(&app(spec), "me"));
        assert_eq!(deployment["spec"]["replicas"], 1);
        assert_eq!(deployment["metadata"]["annotations"][BUILT_BY], "me");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"], json!([{"name": "A", "value": "1"}]));
        assert_eq!(container["ports"][0]["containerPort"], 8080);
    }

    #[test]
    fn without_config_files_there_is_no_config_map() {
        let app = app(json!({"image": "nginx"}));
        assert!(config_map(&app).is_none());
        let template = template(&app);
        assert!(template["spec"].get("volumes").is_none());
        assert!(template["metadata"].get("annotations").is_none());
    }

    #[test]
    fn a_change_of_the_config_and_nothing_else_changes_the_template() {
        let with = |files: Value| template(&app(json!({"image": "nginx", "configFiles": files})));
        let one = with(json!({"a": "1", "b": "2"}));
        assert_eq!(one["spec"]["volumes"][0]["configMap"]["name"], "shop-config");
        assert_eq!(one, with(json!({"b": "2", "a": "1"})));
        for other in [json!({"a": "1", "b": "3"}), json!({"a": "1b", "": "2"}), json!({"a": "1"})] {
            assert_ne!(one, with(other));
        }
    }
}
