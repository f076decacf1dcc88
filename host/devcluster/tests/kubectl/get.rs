//! What is printed: tables, documents, paths, watches, and what the server can do.

use crate::support::*;

#[tokio::test]
async fn get_prints_tables_and_yaml() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let table = kubectl.run("get deploy").await;
    let (columns, row) = table.split_once('\n').unwrap();
    assert_eq!(columns, "NAME   READY   UP-TO-DATE   AVAILABLE   AGE");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert!(cells.len() == 5 && cells[0] == "web" && cells[1].ends_with("/2"), "{table}");
    let all = kubectl.run("get all").await;
    assert!(all.contains("service/web") && all.contains("deployment.apps/web"), "{all}");
    assert!(kubectl.run("get deploy web -o yaml").await.contains("image: nginx:1"));
    assert_eq!(kubectl.run("get deploy -l app=web -o name").await, "deployment.apps/web\n");
    assert!(kubectl.fails("get deploy nothing", "").await.contains("deployments.apps \"nothing\" not found"));
    kubectl.done().await;
}

#[tokio::test]
async fn describe_tells_of_pods_that_run() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl.run("wait --for=condition=Available deploy/web --timeout=10s").await;
    let table = kubectl.run("get deploy").await;
    assert!(
        table.starts_with("NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    2/2     2            2"),
        "{table}"
    );
    let described = kubectl.run("describe deploy web").await;
    assert!(described.contains("2 desired | 2 updated | 2 total | 2 available"), "{described}");
    kubectl.done().await;
}

#[tokio::test]
async fn get_w_prints_each_change() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let mut child = kubectl.spawn("get deploy -w");
    let mut lines = lines(&mut child);
    line_with(&mut lines, "web").await;
    kubectl.run("scale deploy web --replicas=7").await;
    // Of which are ready as many as there are nodes for.
    line_with(&mut lines, "/7").await;
    child.kill().await.unwrap();
    kubectl.done().await;
}

#[tokio::test]
async fn api_resources_and_can_i_answer() {
    let kubectl = Kubectl::start().await;
    let resources = kubectl.run("api-resources").await;
    assert!(
        resources.lines().any(|line| line.starts_with("deployments") && line.contains("deploy")),
        "{resources}"
    );
    assert_eq!(kubectl.run("auth can-i create pods").await, "yes\n");
    // An older kubectl warns of the difference.
    let version = kubectl.run_with("version", "").await;
    assert!(version.code == Some(0) && version.stdout.contains("Server Version: v1."), "{}", version.stdout);
    kubectl.done().await;
}

#[tokio::test]
async fn get_prints_events_and_wide_tables_as_people_know_them() {
    let kubectl = Kubectl::start().await;
    let event = format!(
        "---\n{{apiVersion: v1, kind: Event, metadata: {{name: e}}, type: Normal, reason: Tested, message: hello, \
         involvedObject: {{kind: Pod, name: p, namespace: {}}}}}",
        kubectl.namespace()
    );
    kubectl.with("create -f -", &event).await;
    let table = kubectl.run("get events").await;
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[..6], ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], "{table}");
    assert_eq!(words[7..], ["Normal", "Tested", "pod/p", "hello"], "{table}");
    kubectl.with("apply -f -", WEB).await;
    let wide = kubectl.run("get deploy web -o wide").await;
    assert!(wide.contains("CONTAINERS   IMAGES    SELECTOR"), "{wide}");
    assert!(wide.contains("web          nginx:1   app=web"), "{wide}");
    kubectl.done().await;
}

#[tokio::test]
async fn columns_paths_templates_and_subresources_are_printed() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let columns = "get deploy,svc -o custom-columns=KIND:.kind,NAME:.metadata.name,PORT:.spec.ports[0].port";
    let table = kubectl.run(columns).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[..2], [["KIND", "NAME", "PORT"], ["Deployment", "web", "<none>"]], "{table}");
    assert!(rows.contains(&vec!["Service", "web", "80"]), "{table}");
    let scale = kubectl.run("get deploy web --subresource=scale -o jsonpath={.kind}/{.spec.replicas}").await;
    assert_eq!(scale, "Scale/2");
    let status = kubectl.run("get deploy web --subresource=status -o jsonpath={.kind}").await;
    assert_eq!(status, "Deployment");
    let template = kubectl.run("get svc web -o go-template={{.spec.type}}").await;
    assert_eq!(template, "ClusterIP");
    let labels = kubectl.run("get deploy --show-labels").await;
    assert!(labels.contains("app=web"), "{labels}");
    assert_eq!(kubectl.run("get deploy --field-selector metadata.name=other -o name").await, "");
    let raw = kubectl.run("get --raw /healthz").await;
    assert_eq!(raw, "ok");
    kubectl.done().await;
}

#[tokio::test]
async fn lists_come_in_chunks_and_sorted() {
    let kubectl = Kubectl::start().await;
    for (name, colour) in [("a", "3"), ("b", "1"), ("c", "2")] {
        kubectl.run(&format!("create configmap sorted-{name} --from-literal=colour={colour}")).await;
    }
    let names = kubectl.run("get cm -o name --chunk-size=1 --sort-by=.data.colour").await;
    let sorted: Vec<&str> = names.lines().filter(|line| line.contains("sorted-")).collect();
    assert_eq!(sorted, ["configmap/sorted-b", "configmap/sorted-c", "configmap/sorted-a"]);
    kubectl.done().await;
}

#[tokio::test]
async fn events_are_told_of_an_object() {
    let kubectl = Kubectl::start().await;
    kubectl.with("create -f -", SETTINGS).await;
    let uid = kubectl.at("cm settings", ".metadata.uid").await;
    let event = |name: &str, of: &str, uid: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Event, metadata: {{name: {name}}}, type: Warning, reason: Tested, message: \
             hello, involvedObject: {{apiVersion: v1, kind: ConfigMap, name: {of}, uid: '{uid}', namespace: {}}}}}",
            kubectl.namespace()
        )
    };
    kubectl.with("create -f -", &event("one", "settings", &uid)).await;
    kubectl.with("create -f -", &event("two", "other", "1")).await;
    let all = kubectl.run("events").await;
    assert!(all.contains("ConfigMap/settings") && all.contains("ConfigMap/other"), "{all}");
    let of_it = kubectl.run("events --for configmap/settings --types=Warning").await;
    assert!(of_it.contains("ConfigMap/settings") && !of_it.contains("ConfigMap/other"), "{of_it}");
    let described = kubectl.run("describe cm settings").await;
    assert!(described.contains("Tested"), "{described}");
    kubectl.done().await;
}
