//! `kubectl` with access control: who one is, what one may do, and acting as somebody else.

use serde_json::json;
use wheelhouse_devcluster::{Access, DevClusterConfig, TokenUser};

use crate::support::Kubectl;

/// With the user `jane` of the group `team`: see `becomes_jane`.
async fn start() -> Kubectl {
    let access = Access::rbac().user(TokenUser::new("jane", "jane-token").group("team"));
    Kubectl::start_or(DevClusterConfig { access, ..DevClusterConfig::default() }).await
}

/// In the embedded server she has a token; in another one, the administrator acts as her. The administrator's kubeconfig
/// is returned.
async fn becomes_jane(kubectl: &Kubectl) -> String {
    let is_embedded = kubectl.is_embedded();
    kubectl
        .has_credentials(|user| match is_embedded {
            true => *user = json!({ "token": "jane-token" }),
            false => {
                user["as"] = json!("jane");
                user["as-groups"] = json!(["team"]);
            }
        })
        .await
}

#[tokio::test]
async fn the_kubeconfig_is_the_administrators() {
    let kubectl = start().await;
    let who = kubectl.run("auth whoami").await;
    assert!(who.contains("wheelhouse-dev") && who.contains("[system:masters system:authenticated]"), "{who}");
    assert_eq!(kubectl.run("auth can-i * *").await, "yes\n");
    kubectl.run("create configmap a --from-literal=a=1").await;
    assert!(kubectl.run("get serviceaccounts").await.contains("default"));
    let info = kubectl.run("cluster-info").await;
    assert!(info.contains("https://127.0.0.1:"), "{info}");
    kubectl.done().await;
}

#[tokio::test]
async fn what_is_forbidden_is_said_as_by_any_cluster() {
    let kubectl = start().await;
    let admin = becomes_jane(&kubectl).await;
    assert_eq!(
        kubectl.fails("get pods", "").await,
        format!(
            "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \
             \"\" in the namespace \"{}\"\n",
            kubectl.namespace()
        )
    );
    let refused = kubectl.fails("get deployments -A", "").await;
    assert!(
        refused.contains("cannot list resource \"deployments\" in API group \"apps\" at the cluster scope"),
        "{refused}"
    );
    assert!(kubectl.run("api-resources").await.contains("deployments"));
    kubectl.becomes(&admin);
    kubectl.done().await;
}

#[tokio::test]
async fn a_wrong_token_is_not_logged_in() {
    let kubectl = start().await;
    let admin = kubectl.has_credentials(|user| *user = json!({ "token": "joan-token" })).await;
    let refused = kubectl.fails("get pods", "").await;
    assert!(refused.contains("You must be logged in to the server"), "{refused}");
    kubectl.becomes(&admin);
    kubectl.done().await;
}

#[tokio::test]
async fn roles_and_bindings_are_made_and_then_give_what_they_say() {
    let kubectl = start().await;
    kubectl.run("create role reader --verb=get,list --resource=pods").await;
    kubectl.run("create rolebinding reader --role=reader --group=team").await;
    assert!(kubectl.run("get rolebindings").await.contains("Role/reader"));
    let admin = becomes_jane(&kubectl).await;
    // A cluster's authorizer hears of a binding a little later.
    kubectl.eventually("auth can-i list pods").await;
    assert_eq!(kubectl.run("auth can-i list pods").await, "yes\n");
    let no = kubectl.run_with("auth can-i delete pods", "").await;
    assert!(no.code == Some(1) && no.stdout == "no\n", "{}{}", no.stdout, no.stderr);
    assert_eq!(kubectl.run("get pods -o name").await, "");
    let list = kubectl.run("auth can-i --list").await;
    let line = list.lines().find(|line| line.starts_with("pods ")).unwrap_or_else(|| panic!("{list}"));
    assert!(line.contains("[get list]"), "{list}");
    assert!(
        list.contains("selfsubjectreviews.authentication.k8s.io") && list.contains("[/healthz]"),
        "{list}"
    );
    kubectl.becomes(&admin);
    kubectl.done().await;
}

#[tokio::test]
async fn the_administrator_acts_as_others() {
    let kubectl = start().await;
    let who = kubectl.run("auth whoami --as=jane --as-group=team --as-uid=7").await;
    assert!(
        who.contains("jane") && who.contains("[team system:authenticated]") && who.contains('7'),
        "{who}"
    );
    let refused = kubectl.fails("get secrets --as=jane", "").await;
    assert!(refused.contains("User \"jane\" cannot list resource \"secrets\""), "{refused}");
    // Of the whole cluster, and so with names that no other test gives.
    kubectl
        .run("create clusterrolebinding viewers.example.com --clusterrole=view --group=all.example.com")
        .await;
    kubectl.eventually("get configmaps -A --as=jane --as-group=all.example.com").await;
    let no = kubectl.run_with("auth can-i get secrets --as=jane --as-group=all.example.com", "").await;
    assert!(no.code == Some(1) && no.stdout == "no\n", "{}{}", no.stdout, no.stderr);
    kubectl.run("delete clusterrolebinding viewers.example.com").await;
    kubectl.done().await;
}

#[tokio::test]
async fn who_may_not_act_as_others_is_told_so() {
    let kubectl = start().await;
    // What it has learnt of the server it asks for no more.
    kubectl.run("get pods -o name").await;
    becomes_jane(&kubectl).await;
    let refused = kubectl.fails("get pods --as=wheelhouse-dev --as-group=system:masters", "").await;
    assert!(refused.contains("User \"jane\" cannot impersonate resource \"users\""), "{refused}");
    kubectl.done().await;
}

#[tokio::test]
async fn a_service_account_has_a_token() {
    let kubectl = start().await;
    let namespace = kubectl.namespace();
    let robot = format!("system:serviceaccount:{namespace}:robot");
    kubectl.run("create serviceaccount robot").await;
    let binding = "create rolebinding robot --clusterrole=edit --serviceaccount";
    kubectl.run(&format!("{binding}={namespace}:robot")).await;
    let token = kubectl.run("create token robot --duration=20m --audience=vault").await;
    assert_eq!(token.trim().split('.').count(), 3);
    let bound = "create token robot --bound-object-kind=Secret --bound-object-name=s";
    assert!(kubectl.fails(bound, "").await.contains("secrets \"s\" not found"));
    let token = kubectl.run("create token robot").await;
    let admin = kubectl.has_credentials(|user| *user = json!({ "token": token.trim() })).await;
    let who = kubectl.run("auth whoami").await;
    assert!(who.contains(&robot), "{who}");
    kubectl.eventually("auth can-i create deployments").await;
    kubectl.run("create deployment web --image=nginx:1").await;
    assert!(kubectl.fails("get nodes", "").await.contains(&format!("\"{robot}\" cannot list")));
    kubectl.becomes(&admin);
    let of_jane = becomes_jane(&kubectl).await;
    assert!(kubectl.fails("create token robot", "").await.contains("serviceaccounts/token"));
    kubectl.becomes(&of_jane);
    kubectl.done().await;
}

#[tokio::test]
async fn a_service_account_has_a_kubeconfig() {
    let kubectl = start().await;
    kubectl.run("create serviceaccount robot").await;
    kubectl.run("create rolebinding robot --clusterrole=edit --serviceaccount=default:robot").await;
    kubectl.becomes(&kubectl.kubeconfig_of("system:serviceaccount:default:robot"));
    assert_eq!(kubectl.run("get deployments -o name").await, "");
    kubectl.done().await;
}

#[tokio::test]
async fn cluster_roles_are_made_from_others_and_reconciled() {
    let kubectl = start().await;
    let all = kubectl.run("get clusterroles -o name").await;
    for role in ["admin", "cluster-admin", "edit", "view", "system:discovery"] {
        assert!(all.contains(&format!("clusterrole.rbac.authorization.k8s.io/{role}\n")), "{all}");
    }
    // Of the whole cluster, and so with names that no other test gives.
    kubectl.run("create clusterrole all.example.com --aggregation-rule=example.com/part=yes").await;
    let part = "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, \
                metadata: {name: part.example.com, labels: {example.com/part: \"yes\"}}, \
                rules: [{verbs: [get], apiGroups: [\"\"], resources: [nodes]}]}";
    // It tells on stderr what it does.
    let reconciled = kubectl.run_with("auth reconcile -f -", part).await;
    assert!(
        reconciled.code == Some(0) && reconciled.stderr.contains("reconciliation required create"),
        "{}",
        reconciled.stderr
    );
    let wait = "wait --for=jsonpath={.rules[0].resources[0]}=nodes clusterrole/all.example.com --timeout=10s";
    kubectl.run(wait).await;
    let more = part.replace("[nodes]", "[pods]");
    let reconciled = kubectl.run_with("auth reconcile -f -", &more).await;
    assert!(
        reconciled.code == Some(0) && reconciled.stderr.contains("missing rules added"),
        "{}",
        reconciled.stderr
    );
    let rules = kubectl.run("get clusterrole part.example.com -o jsonpath={.rules[*].resources}").await;
    assert!(rules.contains("nodes") && rules.contains("pods"), "{rules}");
    assert!(kubectl.run("describe clusterrole part.example.com").await.contains("pods"));
    kubectl.run("delete clusterrole all.example.com part.example.com").await;
    kubectl.done().await;
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let kubectl = start().await;
    kubectl.run("create rolebinding jane --clusterrole=admin --user=jane").await;
    let admin = becomes_jane(&kubectl).await;
    kubectl.eventually("auth can-i create rolebindings").await;
    kubectl.run("create rolebinding friend --clusterrole=view --user=joe").await;
    let refused = kubectl.fails("create rolebinding more --clusterrole=cluster-admin --user=joe", "").await;
    assert!(
        refused.contains("is attempting to grant RBAC permissions not currently held")
            && refused.contains("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"),
        "{refused}"
    );
    let refused = kubectl.fails("create role more --verb=get --resource=nodes", "").await;
    assert!(refused.contains("{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"), "{refused}");
    kubectl.becomes(&admin);
    kubectl.done().await;
}
