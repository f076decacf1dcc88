//! Custom resources.

use crate::support::*;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Size, type: string, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: string, enum: [s, m], description: How big it is.}
              replicas: {type: integer, default: 1}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

// Not all versions of kubectl read YAML that starts as JSON does.
const WIDGET: &str = "---\n{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: s}}";

/// With a group, a kind and a short name of its own, if others use the cluster as well.
async fn start() -> Kubectl {
    let mut kubectl = Kubectl::start().await;
    kubectl.has_own(&["widget", "Widget", "wd"]);
    kubectl
}

/// Makes the definition, and waits until its kind can be used and explained: a cluster takes a moment for each.
async fn define(kubectl: &Kubectl) {
    kubectl.with("apply -f -", DEFINITION).await;
    kubectl.run("wait --for=condition=Established crd/widgets.example.com --timeout=10s").await;
    kubectl.eventually("explain widgets").await;
    kubectl.eventually("get widgets").await;
}

#[tokio::test]
async fn custom_resources_behave_like_built_in_ones() {
    let kubectl = start().await;
    define(&kubectl).await;
    assert!(kubectl.run("api-resources --api-group=example.com").await.contains("Widget"));
    kubectl.with("apply -f -", WIDGET).await;
    assert_eq!(kubectl.run("get wd").await, "NAME   SIZE\nw      s\n");
    kubectl.run("scale widget w --replicas=3").await;
    kubectl.run("patch widget w --type=merge -p {\"spec\":{\"size\":\"m\"}}").await;
    let described = kubectl.run("describe widget w").await;
    assert!(described.contains("Size:      m") && described.contains("Replicas:  3"), "{described}");
    assert!(kubectl.run("explain widget.spec.size").await.contains("How big it is."));
    let unknown = WIDGET.replace("size: s", "size: s, colour: red");
    let refused = kubectl.fails("apply -f -", &unknown).await;
    assert!(refused.contains("unknown field \"spec.colour\""), "{refused}");
    kubectl.run("delete crd widgets.example.com").await;
    assert!(!kubectl.fails("get widgets", "").await.is_empty());
    kubectl.done().await;
}

#[tokio::test]
async fn explain_tells_the_schema_down_to_its_leaves() {
    let kubectl = start().await;
    define(&kubectl).await;
    let explained = kubectl.run("explain widgets --recursive").await;
    for word in ["GROUP:      example.com", "KIND:       Widget", "size\t<string>", "replicas\t<integer>"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }
    let finalizers = kubectl.run("explain widgets.metadata.finalizers").await;
    assert!(finalizers.contains("FIELD: finalizers <[]string>"), "{finalizers}");
    let size = kubectl.run("explain widgets.spec.size").await;
    assert!(size.contains("How big it is.") && size.contains("ENUM:\n    s\n    m"), "{size}");
    assert!(
        kubectl.fails("explain widgets.spec.colour", "").await.contains("field \"colour\" does not exist")
    );
    kubectl.done().await;
}

#[tokio::test]
async fn the_status_of_a_custom_resource_is_edited_patched_and_waited_for() {
    let mut kubectl = start().await;
    define(&kubectl).await;
    kubectl.with("apply -f -", WIDGET).await;
    let waiting = kubectl.spawn("wait --for=condition=Ready widget/w --timeout=20s");
    let ready = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}],"note":"old"}}"#;
    kubectl.run(&format!("patch widget w --subresource=status --type=merge -p {ready}")).await;
    let output = waiting.wait_with_output().await.unwrap();
    assert_eq!(kubectl.inward(&output.stdout), "widget.example.com/w condition met\n");
    kubectl.program("KUBE_EDITOR", "sed -i -e 's/note: old/note: new/' -e 's/size: s/size: m/' \"$1\"");
    assert_eq!(kubectl.run("edit widget w --subresource=status").await, "widget.example.com/w edited\n");
    assert_eq!(kubectl.at("widget w", ".spec.size}:{.status.note").await, "s:new");
    kubectl.done().await;
}
