//! Deletion, and what goes with it.

use crate::support::*;

#[tokio::test]
async fn create_and_delete_of_a_namespace_with_content() {
    let mut kubectl = Kubectl::start().await;
    kubectl.has_own(&["team"]);
    kubectl.run("create namespace team").await;
    kubectl.run("-n team create configmap settings --from-literal=a=1").await;
    kubectl.run("-n team create secret generic keys --from-literal=k=v").await;
    kubectl.run("-n team create deployment web --image=nginx:1 --replicas=2").await;
    kubectl.run("-n team expose deployment web --port=80").await;
    // A cluster admits Pods once it has made the ServiceAccount that they need.
    kubectl.eventually("-n team run once --image=nginx:1").await;
    assert_eq!(kubectl.run("-n team get cm settings -o jsonpath={.data.a}").await, "1");
    assert_eq!(kubectl.run("-n team get secret keys -o jsonpath={.data.k}").await, "dg==");
    kubectl.run("delete namespace team --wait=false").await;
    kubectl.eventually("wait --for=delete namespace/team --timeout=20s").await;
    assert!(kubectl.fails("get namespace team", "").await.contains("not found"));
    kubectl.done().await;
}

#[tokio::test]
async fn delete_waits_for_what_it_deletes_and_cascades() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let deleted = kubectl.with("delete --cascade=foreground -f -", WEB).await;
    assert!(deleted.contains("deployment.apps \"web\" deleted"), "{deleted}");
    assert_eq!(kubectl.run("get deploy,svc -o name").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn what_the_cluster_needs_is_not_deleted() {
    let kubectl = Kubectl::start().await;
    let refused = kubectl.fails("delete namespace default", "").await;
    assert!(
        refused.contains("namespaces \"default\" is forbidden: this namespace may not be deleted"),
        "{refused}"
    );
    kubectl.done().await;
}

#[tokio::test]
async fn orphans_stay_and_the_background_takes_dependents_along() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    // Whether they run or not, the Pods are there.
    kubectl.eventually("wait --for=jsonpath={.status.replicas}=2 deploy/web --timeout=20s").await;
    kubectl.run("delete deploy web --cascade=orphan").await;
    let sets = kubectl.run("get rs -l app=web -o name").await;
    assert_eq!(sets.lines().count(), 1, "{sets}");
    kubectl.run("wait --for=jsonpath={.status.replicas}=2 rs -l app=web --timeout=10s").await;
    assert_eq!(kubectl.at("rs -l app=web", ".items[*].metadata.ownerReferences").await, "");
    kubectl.run("delete rs -l app=web --cascade=background").await;
    kubectl.eventually("wait --for=delete pod -l app=web --timeout=20s").await;
    assert_eq!(kubectl.run("get rs,pods -l app=web -o name").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn delete_takes_files_labels_everything_and_what_is_not_there() {
    let kubectl = Kubectl::start().await;
    let other = SETTINGS.replace("name: settings", "name: other").replace("app: web", "app: api");
    kubectl.with("create -f -", &format!("{SETTINGS}---{other}")).await;
    assert_eq!(kubectl.run("delete cm -l app=api").await, "configmap \"other\" deleted\n");
    let gone = kubectl.fails("delete cm other", "").await;
    assert!(gone.contains("configmaps \"other\" not found"), "{gone}");
    assert_eq!(kubectl.run("delete cm other --ignore-not-found").await, "");
    kubectl.run("delete cm settings --dry-run=server").await;
    kubectl.run("get cm settings -o name").await;
    let file = kubectl.file("settings.yaml", SETTINGS);
    assert_eq!(kubectl.run(&format!("delete -f {file} --now")).await, "configmap \"settings\" deleted\n");
    kubectl.run("run once --image=nginx:1 --restart=Never").await;
    let forced = kubectl.run_with("delete pod once --force --grace-period=0", "").await;
    assert_eq!(forced.stdout, "pod \"once\" force deleted\n", "{}", forced.stderr);
    // No controller makes roles of itself.
    kubectl.run("create role one --verb=get --resource=pods").await;
    kubectl.run("create role two --verb=get --resource=pods").await;
    kubectl.run("delete roles --all").await;
    assert_eq!(kubectl.run("get roles -o name").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn a_finalizer_holds_a_deletion_up_until_it_goes() {
    let kubectl = Kubectl::start().await;
    kubectl
        .with("create -f -", &SETTINGS.replace("labels:", "finalizers: [example.com/hold], labels:"))
        .await;
    assert_eq!(kubectl.run("delete cm settings --wait=false").await, "configmap \"settings\" deleted\n");
    let late = kubectl.fails("wait --for=delete cm/settings --timeout=1s", "").await;
    assert!(late.contains("timed out waiting"), "{late}");
    kubectl.run(r#"patch cm settings --type=merge -p {"metadata":{"finalizers":null}}"#).await;
    kubectl.run("wait --for=delete cm/settings --timeout=10s").await;
    kubectl.done().await;
}
