//! Apply and diff, from the client and from the server.

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn apply_creates_then_says_unchanged_then_configures_without_a_warning() {
    let kubectl = Kubectl::start().await;
    let created = kubectl.with("apply -f -", WEB).await;
    assert_eq!(created, "deployment.apps/web created\nservice/web created\n");
    let unchanged = kubectl.with("apply -f -", WEB).await;
    assert_eq!(unchanged, "deployment.apps/web unchanged\nservice/web unchanged\n");
    let configured = kubectl.with("apply -f -", &WEB.replace("replicas: 2", "replicas: 3")).await;
    assert_eq!(configured, "deployment.apps/web configured\nservice/web unchanged\n");
    kubectl.done().await;
}

#[tokio::test]
async fn server_side_apply_reports_conflicts_and_can_be_forced() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply --server-side -f -", WEB).await;
    kubectl.run("scale deploy web --replicas=5").await;
    let conflict = kubectl.fails("apply --server-side -f -", WEB).await;
    assert!(
        conflict.contains("conflict with \"kubectl\"") && conflict.contains(".spec.replicas"),
        "{conflict}"
    );
    kubectl.with("apply --server-side --force-conflicts -f -", WEB).await;
    assert_eq!(kubectl.run("get deploy web -o jsonpath={.spec.replicas}").await, "2");
    kubectl.done().await;
}

#[tokio::test]
async fn diff_is_silent_without_a_difference_and_shows_one() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    // Controllers write to a Deployment meanwhile, and not to a Service.
    let (_, service) = WEB.split_once("---\n").unwrap();
    assert_eq!(kubectl.with("diff -f -", service).await, "");
    let output = kubectl.run_with("diff -f -", &WEB.replace("replicas: 2", "replicas: 9")).await;
    assert!(output.stdout.contains("+  replicas: 9"), "{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let output = kubectl.run_with("diff --server-side -f -", &SETTINGS.replace("red", "blue")).await;
    assert!(output.stdout.contains("+  colour: blue"), "{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    kubectl.done().await;
}

#[tokio::test]
async fn apply_moves_from_the_client_to_the_server_and_takes_its_fields_along() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let managers = "get deploy web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}";
    assert!(kubectl.run(managers).await.contains("kubectl-client-side-apply"));
    kubectl.with("apply --server-side -f -", WEB).await;
    let after = kubectl.run(managers).await;
    assert!(!after.contains("kubectl-client-side-apply") && after.contains("kubectl"), "{after}");
    let without_label = WEB.replace("metadata: {name: web, labels: {app: web}}", "metadata: {name: web}");
    kubectl.with("apply --server-side -f -", &without_label).await;
    assert_eq!(kubectl.run("get deploy web -o jsonpath={.metadata.labels.app}").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn apply_prunes_what_is_no_longer_named() {
    let kubectl = Kubectl::start().await;
    let other = SETTINGS.replace("name: settings", "name: other");
    kubectl.with("apply -f -", &format!("{SETTINGS}---{other}")).await;
    let kept = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, labels: {app: web}}}";
    kubectl.with("create -f -", kept).await;
    let prune = "apply --prune -l app=web --prune-allowlist=core/v1/ConfigMap -f -";
    let pruned = kubectl.run_with(prune, SETTINGS).await;
    assert_eq!(
        (pruned.code, pruned.stdout.as_str()),
        (Some(0), "configmap/settings unchanged\nconfigmap/other pruned\n"),
        "{}",
        pruned.stderr
    );
    assert_eq!(kubectl.run("get cm -l app=web -o name").await, "configmap/kept\nconfigmap/settings\n");
    kubectl.done().await;
}

#[tokio::test]
async fn the_last_applied_state_can_be_seen_and_a_dry_run_leaves_nothing() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", SETTINGS).await;
    let last = kubectl.run("apply view-last-applied cm/settings").await;
    assert!(last.contains("colour: red"), "{last}");
    let other = SETTINGS.replace("name: settings", "name: other");
    assert_eq!(
        kubectl.with("apply --dry-run=server -f -", &other).await,
        "configmap/other created (server dry run)\n"
    );
    assert!(kubectl.fails("get cm other", "").await.contains("configmaps \"other\" not found"));
    kubectl.done().await;
}

#[tokio::test]
async fn a_job_and_a_service_move_to_server_side_apply_and_stay_there() {
    let kubectl = Kubectl::start().await;
    let both = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: once, image: "busybox:1"}]}}
---
apiVersion: v1
kind: Service
metadata: {name: once}
spec: {selector: {app: once}, ports: [{port: 80}]}
"#;
    kubectl.with("apply -f -", both).await;
    for _ in 0..2 {
        kubectl.with("apply --server-side -f -", both).await;
    }
    kubectl.done().await;
}

#[tokio::test]
async fn what_get_prints_of_several_objects_can_be_created_and_applied_again() {
    let kubectl = Kubectl::start().await;
    for name in ["a", "b"] {
        kubectl.run(&format!("create configmap {name} --from-literal=k=v")).await;
    }
    let list = kubectl.run("get configmaps a b -o yaml").await;
    assert!(list.contains("kind: List"), "{list}");
    kubectl.run("delete configmaps a b").await;
    assert_eq!(
        kubectl.with("create --save-config -f -", &list).await,
        "configmap/a created\nconfigmap/b created\n"
    );
    let map = |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": "w" } });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [map("b"), map("c")] }).to_string();
    let text = kubectl.with("apply -f -", &list).await;
    assert!(text.contains("configmap/b configured\nconfigmap/c created\n"), "{text}");
    assert_eq!(kubectl.run("get configmap b -o jsonpath={.data.k}").await, "w");
    kubectl.done().await;
}
