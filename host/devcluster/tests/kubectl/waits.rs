//! Waiting for what is to come.

use crate::support::*;

#[tokio::test]
async fn wait_ends_with_what_it_waits_for_and_no_later() {
    let kubectl = Kubectl::start().await;
    let created = kubectl.spawn("wait --for=create deploy/web --timeout=20s");
    kubectl.with("apply -f -", WEB).await;
    assert!(created.wait_with_output().await.unwrap().status.success());
    let scaled = kubectl.spawn("wait --for=jsonpath={.status.replicas}=5 deploy/web --timeout=20s");
    kubectl.run("scale deploy web --replicas=5").await;
    assert!(scaled.wait_with_output().await.unwrap().status.success());
    let deleted = kubectl.spawn("wait --for=delete deploy/web --timeout=20s");
    kubectl.run("delete deploy web").await;
    assert!(deleted.wait_with_output().await.unwrap().status.success());
    let late = kubectl.fails("wait --for=condition=Available svc/web --timeout=1s", "").await;
    assert!(late.contains("timed out waiting for the condition on services/web"), "{late}");
    kubectl.done().await;
}

#[tokio::test]
async fn wait_ends_when_all_pods_are_ready() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let available = kubectl.run("wait --for=condition=Available deploy/web --timeout=20s").await;
    assert_eq!(available, "deployment.apps/web condition met\n");
    let scaled = kubectl.spawn("wait --for=jsonpath={.status.readyReplicas}=5 deploy/web --timeout=20s");
    kubectl.run("scale deploy web --replicas=5").await;
    assert!(scaled.wait_with_output().await.unwrap().status.success());
    kubectl.done().await;
}

#[tokio::test]
async fn rollouts_of_stateful_sets_and_daemon_sets_are_followed() {
    let kubectl = Kubectl::start().await;
    let set = WEB
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("spec:\n  replicas: 2", "spec:\n  serviceName: web\n  replicas: 2");
    kubectl.with("apply -f -", &set).await;
    let status = kubectl.run("rollout status statefulset/web --timeout=20s").await;
    assert!(
        status.contains("partitioned roll out complete") || status.contains("complete 2 pods"),
        "{status}"
    );
    assert_eq!(kubectl.at("pods -l app=web", ".items[*].metadata.name").await, "web-0 web-1");
    kubectl.run("rollout restart statefulset/web").await;
    kubectl.run("rollout status statefulset/web --timeout=20s").await;
    let restarted = kubectl.at("pod web-0", ".metadata.annotations").await;
    assert!(restarted.contains("kubectl.kubernetes.io/restartedAt"), "{restarted}");
    kubectl.run("set image statefulset/web web=nginx:2").await;
    kubectl.run("rollout status statefulset/web --timeout=20s").await;
    assert_eq!(kubectl.at("pods -l app=web", ".items[*].spec.containers[0].image").await, "nginx:2 nginx:2");

    let daemons = WEB.replace("kind: Deployment", "kind: DaemonSet").replace("  replicas: 2\n", "");
    let daemons = daemons.replace("web", "agent");
    kubectl.with("apply -f -", &daemons).await;
    let status = kubectl.run("rollout status daemonset/agent --timeout=20s").await;
    assert!(status.contains("daemon set \"agent\" successfully rolled out"), "{status}");
    kubectl.run("set image daemonset/agent agent=nginx:2").await;
    kubectl.run("rollout status daemonset/agent --timeout=20s").await;
    assert_eq!(kubectl.at("pods -l app=agent", ".items[*].spec.containers[0].image").await, "nginx:2");
    kubectl.done().await;
}

#[tokio::test]
async fn a_rollout_that_is_paused_stands_still_until_it_is_resumed() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl.run("rollout status deploy/web --timeout=20s").await;
    kubectl.run("rollout pause deploy/web").await;
    kubectl.run("set image deploy/web web=nginx:2").await;
    kubectl.run("rollout resume deploy/web").await;
    kubectl.run("rollout status deploy/web --timeout=20s").await;
    assert_eq!(kubectl.at("pods -l app=web", ".items[*].spec.containers[0].image").await, "nginx:2 nginx:2");
    kubectl.done().await;
}
