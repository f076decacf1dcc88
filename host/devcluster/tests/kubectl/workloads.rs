//! Workloads that run, as far as the stand-ins run them.

use crate::support::*;

#[tokio::test]
async fn workloads_run_roll_out_roll_back_complete_and_go() {
    let kubectl = Kubectl::start().await;
    kubectl.run("create deployment web --image=nginx:1 --replicas=2").await;
    let status = kubectl.run("rollout status deployment/web --timeout=20s").await;
    assert!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
    let pods = kubectl.run("get pods --no-headers").await;
    assert_eq!(
        pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count(),
        2,
        "{pods}"
    );
    assert!(kubectl.run("get nodes").await.contains("Ready"));

    kubectl.run("set image deployment/web nginx=nginx:2").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let history = kubectl.run("rollout history deployment/web").await;
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    kubectl.run("rollout undo deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=20s").await;
    let image = "{.spec.containers[0].image}";
    let images = kubectl.run(&format!("get pods -o jsonpath={{range.items[*]}}{image};{{end}}")).await;
    assert_eq!(images, "nginx:1;nginx:1;");
    kubectl.run("scale deployment web --replicas=4").await;
    kubectl.run("wait --for=jsonpath={.status.readyReplicas}=4 deployment/web --timeout=20s").await;

    kubectl.run("create job once --image=busybox:1 -- true").await;
    kubectl.run("wait --for=condition=complete job/once --timeout=20s").await;
    let phase = kubectl.run("get pods -l job-name=once -o jsonpath={.items[*].status.phase}").await;
    assert_eq!(phase, "Succeeded");

    kubectl.run("delete deployment web --cascade=foreground").await;
    assert_eq!(kubectl.run("get deploy,rs -o name").await, "");
    assert_eq!(kubectl.run("get pods -l app=web -o name").await, "");
    kubectl.done().await;
}
