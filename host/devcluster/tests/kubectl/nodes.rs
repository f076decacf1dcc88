//! What is done to nodes.

use crate::support::*;

#[tokio::test]
async fn nodes_are_tainted_cordoned_and_drained() {
    let kubectl = Kubectl::start().await;
    kubectl.run("wait --for=condition=Ready node/dev --timeout=10s").await;
    assert_eq!(kubectl.run("taint nodes dev team=a:NoSchedule").await, "node/dev tainted\n");
    assert_eq!(
        kubectl.at("node dev", ".spec.taints[0].key}:{.spec.taints[0].effect").await,
        "team:NoSchedule"
    );
    let taken = kubectl.fails("taint nodes dev team=b:NoSchedule", "").await;
    assert!(taken.contains("already has team taint(s) with same effect(s)"), "{taken}");
    assert_eq!(kubectl.run("taint nodes dev team:NoSchedule-").await, "node/dev untainted\n");
    assert_eq!(kubectl.at("node dev", ".spec.taints").await, "");

    assert_eq!(kubectl.run("cordon dev").await, "node/dev cordoned\n");
    assert!(kubectl.run("get nodes").await.contains("Ready,SchedulingDisabled"));
    assert_eq!(kubectl.run("uncordon dev").await, "node/dev uncordoned\n");
    assert_eq!(kubectl.at("node dev", ".spec.unschedulable").await, "");

    kubectl.with("apply -f -", WEB).await;
    kubectl.run("rollout status deploy/web --timeout=20s").await;
    let dry = kubectl.run_with("drain dev --dry-run=server --ignore-daemonsets", "").await;
    assert_eq!(dry.code, Some(0), "{}{}", dry.stdout, dry.stderr);
    assert!(dry.stdout.contains("node/dev drained (server dry run)"), "{}", dry.stdout);
    assert_eq!(kubectl.at("node dev", ".spec.unschedulable").await, "");
    let before = kubectl.at("pods -l app=web", ".items[*].metadata.name").await;
    let drained = kubectl.run_with("drain dev --ignore-daemonsets --timeout=20s", "").await;
    assert_eq!(drained.code, Some(0), "{}{}", drained.stdout, drained.stderr);
    let after = kubectl.at("pods -l app=web", ".items[*].metadata.name").await;
    assert!(before.split(' ').all(|pod| !after.contains(pod)), "{before} {after}");
    kubectl.done().await;
}

#[tokio::test]
async fn a_node_can_be_described() {
    let kubectl = Kubectl::start().await;
    kubectl.run("wait --for=condition=Ready node/dev --timeout=10s").await;
    let described = kubectl.run("describe node dev").await;
    assert!(described.contains("Name:               dev") && described.contains("Ready"), "{described}");
    kubectl.done().await;
}
