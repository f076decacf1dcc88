//! `kubectl` with access control: who one is, what one may do, and acting as somebody else.

use wheelhouse_devcluster::{Access, DevClusterConfig, TokenUser};

use crate::support::Kubectl;

async fn start() -> Kubectl {
    let access = Access::rbac().user(TokenUser::new("jane", "jane-token").group("team"));
    Kubectl::start_with(DevClusterConfig { access, ..DevClusterConfig::default() }).await
}

fn jane(kubectl: &Kubectl) -> String {
    kubectl.kubeconfig_of("jane")
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
    kubectl.becomes(&jane(&kubectl));
    assert_eq!(
        kubectl.fails("get pods", "").await,
        "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \
         \"\" in the namespace \"default\"\n"
    );
    let refused = kubectl.fails("get deployments -A", "").await;
    assert!(
        refused.contains("cannot list resource \"deployments\" in API group \"apps\" at the cluster scope"),
        "{refused}"
    );
    assert!(kubectl.run("api-resources").await.contains("deployments"));
    kubectl.done().await;
}

#[tokio::test]
async fn a_wrong_token_is_not_logged_in() {
    let kubectl = start().await;
    kubectl.becomes(&jane(&kubectl).replace("jane-token", "joan-token"));
    let refused = kubectl.fails("get pods", "").await;
    assert!(refused.contains("You must be logged in to the server"), "{refused}");
    kubectl.done().await;
}

#[tokio::test]
async fn roles_and_bindings_are_made_and_then_give_what_they_say() {
    let kubectl = start().await;
    kubectl.run("create role reader --verb=get,list --resource=pods").await;
    kubectl.run("create rolebinding reader --role=reader --group=team").await;
    assert!(kubectl.run("get rolebindings").await.contains("Role/reader"));
    kubectl.becomes(&jane(&kubectl));
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
    kubectl.run("create clusterrolebinding viewers --clusterrole=view --group=team").await;
    kubectl.run("get configmaps -A --as=jane --as-group=team").await;
    let no = kubectl.run_with("auth can-i get secrets --as=jane --as-group=team", "").await;
    assert!(no.code == Some(1) && no.stdout == "no\n", "{}{}", no.stdout, no.stderr);
    kubectl.becomes(&jane(&kubectl));
    let refused = kubectl.fails("get pods --as=wheelhouse-dev --as-group=system:masters", "").await;
    assert!(refused.contains("User \"jane\" cannot impersonate resource \"users\""), "{refused}");
    kubectl.done().await;
}

#[tokio::test]
async fn a_service_account_has_a_token_and_a_kubeconfig() {
    let kubectl = start().await;
    kubectl.run("create serviceaccount robot").await;
    kubectl.run("create rolebinding robot --clusterrole=edit --serviceaccount=default:robot").await;
    let token = kubectl.run("create token robot --duration=20m --audience=vault").await;
    assert_eq!(token.trim().split('.').count(), 3);
    let bound = "create token robot --bound-object-kind=Secret --bound-object-name=s";
    assert!(kubectl.fails(bound, "").await.contains("secrets \"s\" not found"));
    let token = kubectl.run("create token robot").await;
    let of_jane = jane(&kubectl);
    kubectl.becomes(&of_jane.replace("jane-token", token.trim()));
    let who = kubectl.run("auth whoami").await;
    assert!(who.contains("system:serviceaccount:default:robot"), "{who}");
    kubectl.run("create deployment web --image=nginx:1").await;
    assert!(
        kubectl.fails("get nodes", "").await.contains("\"system:serviceaccount:default:robot\" cannot list")
    );

    let robot = "system:serviceaccount:default:robot";
    kubectl.becomes(&kubectl.kubeconfig_of(robot));
    assert_eq!(kubectl.run("get deployments -o name").await, "deployment.apps/web\n");
    kubectl.becomes(&of_jane);
    assert!(kubectl.fails("create token robot", "").await.contains("serviceaccounts/token"));
    kubectl.done().await;
}

#[tokio::test]
async fn cluster_roles_are_made_from_others_and_reconciled() {
    let kubectl = start().await;
    let all = kubectl.run("get clusterroles -o name").await;
    for role in ["admin", "cluster-admin", "edit", "view", "system:discovery"] {
        assert!(all.contains(&format!("clusterrole.rbac.authorization.k8s.io/{role}\n")), "{all}");
    }
    kubectl.run("create clusterrole all --aggregation-rule=part=yes").await;
    let part = "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: part, labels: {part: \"yes\"}}, \
                rules: [{verbs: [get], apiGroups: [\"\"], resources: [nodes]}]}";
    // It tells on stderr what it does.
    let reconciled = kubectl.run_with("auth reconcile -f -", part).await;
    assert!(
        reconciled.code == Some(0) && reconciled.stderr.contains("reconciliation required create"),
        "{}",
        reconciled.stderr
    );
    kubectl.run("wait --for=jsonpath={.rules[0].resources[0]}=nodes clusterrole/all --timeout=10s").await;
    let more = part.replace("[nodes]", "[pods]");
    let reconciled = kubectl.run_with("auth reconcile -f -", &more).await;
    assert!(
        reconciled.code == Some(0) && reconciled.stderr.contains("missing rules added"),
        "{}",
        reconciled.stderr
    );
    let rules = kubectl.run("get clusterrole part -o jsonpath={.rules[*].resources}").await;
    assert!(rules.contains("nodes") && rules.contains("pods"), "{rules}");
    assert!(kubectl.run("describe clusterrole part").await.contains("pods"));
    kubectl.done().await;
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let kubectl = start().await;
    kubectl.run("create rolebinding jane --clusterrole=admin --user=jane").await;
    kubectl.becomes(&jane(&kubectl));
    kubectl.run("create rolebinding friend --clusterrole=view --user=joe").await;
    let refused = kubectl.fails("create rolebinding more --clusterrole=cluster-admin --user=joe", "").await;
    assert!(
        refused.contains("is attempting to grant RBAC permissions not currently held")
            && refused.contains("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"),
        "{refused}"
    );
    let refused = kubectl.fails("create role more --verb=get --resource=nodes", "").await;
    assert!(refused.contains("{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"), "{refused}");
    kubectl.done().await;
}
