//! The verbs that change an object.

use crate::support::*;

#[tokio::test]
async fn label_annotate_patch_and_scale_change_the_object() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl.run("label deploy web tier=front").await;
    kubectl.run("annotate deploy web note=hello").await;
    assert_eq!(kubectl.run("get deploy -l tier=front -o name").await, "deployment.apps/web\n");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}}}"#;
    kubectl.run(&format!("patch deploy web -p {patch}")).await;
    kubectl.run("scale deploy web --replicas=5").await;
    let path = "{.spec.replicas},{.spec.template.spec.containers[0].image}";
    assert_eq!(kubectl.run(&format!("get deploy web -o jsonpath={path}")).await, "5,nginx:2");
    kubectl.done().await;
}

#[tokio::test]
async fn what_is_patched_and_scaled_is_rolled_out() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}}}"#;
    kubectl.run(&format!("patch deploy web -p {patch}")).await;
    kubectl.run("scale deploy web --replicas=5").await;
    kubectl.run("rollout status deploy web --timeout=10s").await;
    assert_eq!(kubectl.at("deploy web", ".status.updatedReplicas").await, "5");
    kubectl.done().await;
}

#[tokio::test]
async fn each_type_of_patch_changes_what_it_names() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl
        .run(r#"patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":4}]"#)
        .await;
    assert_eq!(kubectl.at("deploy web", ".spec.replicas").await, "4");
    kubectl
        .run(r#"patch deploy web --type=merge -p {"metadata":{"labels":{"app":null,"tier":"front"}}}"#)
        .await;
    assert_eq!(kubectl.at("deploy web", ".metadata.labels").await, r#"{"tier":"front"}"#);
    let side = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox:1"}]}}}}"#;
    kubectl.run(&format!("patch deploy web --type=strategic -p {side}")).await;
    assert_eq!(kubectl.at("deploy web", ".spec.template.spec.containers[*].name").await, "side web");
    kubectl.run(&format!("patch deploy web --type=merge -p {side}")).await;
    assert_eq!(kubectl.at("deploy web", ".spec.template.spec.containers[*].name").await, "side");
    let scale = r#"patch deploy web --subresource=scale --type=merge -p {"spec":{"replicas":1}}"#;
    kubectl.run(scale).await;
    assert_eq!(kubectl.at("deploy web", ".spec.replicas").await, "1");
    let same = kubectl.run(r#"patch deploy web -p {"spec":{"replicas":1}}"#).await;
    assert_eq!(same, "deployment.apps/web patched (no change)\n");
    let refused =
        kubectl.fails(r#"patch deploy web --type=json -p [{"op":"test","path":"/kind","value":"x"}]"#, "");
    assert!(refused.await.contains("invalid"), "a failed test refuses the patch");
    kubectl.done().await;
}

#[tokio::test]
async fn labels_and_annotations_come_change_and_go() {
    let kubectl = Kubectl::start().await;
    kubectl.with("create -f -", SETTINGS).await;
    assert_eq!(kubectl.run("label cm settings tier=front").await, "configmap/settings labeled\n");
    assert_eq!(kubectl.run("label cm settings tier=front").await, "configmap/settings not labeled\n");
    let taken = kubectl.fails("label cm settings tier=back", "").await;
    assert!(taken.contains("already has a value (front)"), "{taken}");
    kubectl.run("label cm settings tier=back --overwrite").await;
    assert_eq!(
        kubectl.run("get cm -l tier=back,app -L tier --no-headers -o name").await,
        "configmap/settings\n"
    );
    assert_eq!(kubectl.run("label cm -l app=web tier-").await, "configmap/settings unlabeled\n");
    assert_eq!(kubectl.at("cm settings", ".metadata.labels").await, r#"{"app":"web"}"#);
    let wrong = kubectl.fails("label cm settings tier=-wrong-", "").await;
    assert!(wrong.contains("a valid label must be"), "{wrong}");
    assert_eq!(kubectl.run("annotate cm settings note=hello").await, "configmap/settings annotated\n");
    assert_eq!(kubectl.at("cm settings", ".metadata.annotations.note").await, "hello");
    kubectl.run("annotate cm settings note-").await;
    assert_eq!(kubectl.at("cm settings", ".metadata.annotations").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn scale_checks_what_there_is() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let refused = kubectl.fails("scale deploy web --current-replicas=7 --replicas=1", "").await;
    assert!(refused.contains("Expected replicas to be 7, was 2"), "{refused}");
    assert_eq!(
        kubectl.run("scale deploy web --current-replicas=2 --replicas=0").await,
        "deployment.apps/web scaled\n"
    );
    assert_eq!(kubectl.at("deploy web", ".spec.replicas").await, "0");
    assert!(
        kubectl
            .fails("scale svc web --replicas=1", "")
            .await
            .contains("could not find the requested resource")
    );
    kubectl.done().await;
}

#[tokio::test]
async fn set_expose_and_autoscale_make_what_they_say() {
    let kubectl = Kubectl::start().await;
    kubectl.run("create deployment front --image=nginx:1 --port=80").await;
    assert_eq!(
        kubectl.run("set image deploy/front nginx=nginx:9").await,
        "deployment.apps/front image updated\n"
    );
    assert_eq!(kubectl.at("deploy front", ".spec.template.spec.containers[0].image").await, "nginx:9");
    kubectl.run("set env deploy/front MODE=fast").await;
    kubectl.run("set resources deploy/front --limits=cpu=200m --requests=cpu=100m").await;
    assert_eq!(kubectl.at("deploy front", "..env[0].value").await, "fast");
    assert_eq!(kubectl.at("deploy front", "..resources.requests.cpu").await, "100m");
    kubectl.run("expose deploy front --name=exposed --port=8080 --target-port=80").await;
    let exposed = kubectl.at("svc exposed", ".spec.selector.app}:{.spec.ports[0].targetPort").await;
    assert_eq!(exposed, "front:80");
    kubectl.run("autoscale deploy front --min=2 --max=5 --cpu-percent=80").await;
    assert_eq!(kubectl.at("hpa front", ".spec.scaleTargetRef.name}:{.spec.maxReplicas").await, "front:5");
    kubectl.run("set serviceaccount deploy/front robot").await;
    assert_eq!(kubectl.at("deploy front", ".spec.template.spec.serviceAccountName").await, "robot");
    kubectl.done().await;
}
