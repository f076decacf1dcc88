//! The real `kubectl` (1.32 or newer) against the development cluster, as a person would use it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

const DEADLINE: Duration = Duration::from_secs(30);

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

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

const WIDGET: &str = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: s}}";

struct Kubectl {
    home: TempDir,
    cluster: DevCluster,
}

struct Output {
    ok: bool,
    stdout: String,
    stderr: String,
}

impl Kubectl {
    async fn start() -> Self {
        let config = DevClusterConfig { workloads: true, ..DevClusterConfig::default() };
        let cluster = DevCluster::start(config).await.unwrap();
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("kubeconfig"), cluster.kubeconfig()).unwrap();
        Self { home, cluster }
    }

    fn command(&self, line: &str) -> Command {
        let home: &Path = self.home.path();
        let mut command = Command::new("kubectl");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("KUBECONFIG", home.join("kubeconfig"))
            .arg(format!("--cache-dir={}", home.join("cache").display()))
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn spawn(&self, line: &str) -> Child {
        match self.command(line).spawn() {
            Ok(child) => child,
            Err(error) => panic!(
                "cannot run kubectl ({error}): these tests need kubectl 1.32 or newer on the PATH, see \
                 https://kubernetes.io/docs/tasks/tools/#kubectl"
            ),
        }
    }

    async fn run_with(&self, line: &str, input: &str) -> Output {
        let mut child = self.spawn(line);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output =
            tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("kubectl in time").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Output { ok: output.status.success(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs what must succeed without a word on stderr.
    async fn with(&self, line: &str, input: &str) -> String {
        let output = self.run_with(line, input).await;
        assert!(output.ok, "kubectl {line}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stderr, "", "kubectl {line}");
        output.stdout
    }

    async fn run(&self, line: &str) -> String {
        self.with(line, "").await
    }

    async fn fails(&self, line: &str, input: &str) -> String {
        let output = self.run_with(line, input).await;
        assert!(!output.ok, "kubectl {line} should fail: {}", output.stdout);
        output.stderr
    }

    async fn done(self) {
        self.cluster.shutdown().await;
    }
}

async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) -> String {
    loop {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("a line in time").unwrap();
        let line = line.unwrap_or_else(|| panic!("the output ended before {wanted:?}"));
        if line.contains(wanted) {
            return line;
        }
    }
}

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
async fn get_prints_tables_and_yaml_and_describe_tells_the_details() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl.run("wait --for=condition=Available deploy/web --timeout=10s").await;
    let table = kubectl.run("get deploy").await;
    assert!(
        table.starts_with("NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    2/2     2            2"),
        "{table}"
    );
    let all = kubectl.run("get all").await;
    assert!(all.contains("service/web") && all.contains("deployment.apps/web"), "{all}");
    assert!(kubectl.run("get deploy web -o yaml").await.contains("image: nginx:1"));
    assert_eq!(kubectl.run("get deploy -l app=web -o name").await, "deployment.apps/web\n");
    let described = kubectl.run("describe deploy web").await;
    assert!(described.contains("2 desired | 2 updated | 2 total | 2 available"), "{described}");
    assert!(kubectl.fails("get deploy nothing", "").await.contains("deployments.apps \"nothing\" not found"));
    kubectl.done().await;
}

#[tokio::test]
async fn get_w_prints_each_change() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let mut child = kubectl.spawn("get deploy -w");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    line_with(&mut lines, "web").await;
    kubectl.run("scale deploy web --replicas=7").await;
    line_with(&mut lines, "7/7").await;
    child.kill().await.unwrap();
    kubectl.done().await;
}

#[tokio::test]
async fn label_annotate_patch_scale_and_rollout_change_the_object() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    kubectl.run("label deploy web tier=front").await;
    kubectl.run("annotate deploy web note=hello").await;
    assert_eq!(kubectl.run("get deploy -l tier=front -o name").await, "deployment.apps/web\n");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}}}"#;
    kubectl.run(&format!("patch deploy web -p {patch}")).await;
    kubectl.run("scale deploy web --replicas=5").await;
    kubectl.run("rollout status deploy web --timeout=10s").await;
    let path = "{.spec.replicas},{.spec.template.spec.containers[0].image}";
    assert_eq!(kubectl.run(&format!("get deploy web -o jsonpath={path}")).await, "5,nginx:2");
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
    assert_eq!(kubectl.with("diff -f -", WEB).await, "");
    let output = kubectl.run_with("diff -f -", &WEB.replace("replicas: 2", "replicas: 9")).await;
    assert!(output.stdout.contains("+  replicas: 9"), "{}{}", output.stdout, output.stderr);
    kubectl.done().await;
}

#[tokio::test]
async fn custom_resources_behave_like_built_in_ones() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", DEFINITION).await;
    kubectl.run("wait --for=condition=Established crd/widgets.example.com --timeout=10s").await;
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
async fn create_and_delete_of_a_namespace_with_content() {
    let kubectl = Kubectl::start().await;
    kubectl.run("create namespace team").await;
    kubectl.run("-n team create configmap settings --from-literal=a=1").await;
    kubectl.run("-n team create secret generic keys --from-literal=k=v").await;
    kubectl.run("-n team create deployment web --image=nginx:1 --replicas=2").await;
    kubectl.run("-n team expose deployment web --port=80").await;
    kubectl.run("-n team run once --image=nginx:1").await;
    assert_eq!(kubectl.run("-n team get cm settings -o jsonpath={.data.a}").await, "1");
    assert_eq!(kubectl.run("-n team get secret keys -o jsonpath={.data.k}").await, "dg==");
    kubectl.run("delete namespace team --timeout=20s").await;
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
async fn api_resources_and_can_i_answer() {
    let kubectl = Kubectl::start().await;
    let resources = kubectl.run("api-resources").await;
    assert!(
        resources.lines().any(|line| line.starts_with("deployments") && line.contains("deploy")),
        "{resources}"
    );
    assert_eq!(kubectl.run("auth can-i create pods").await, "yes\n");
    assert!(kubectl.run("version").await.contains("wheelhouse"));
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
async fn get_prints_events_and_wide_tables_as_people_know_them() {
    let kubectl = Kubectl::start().await;
    let event = "{apiVersion: v1, kind: Event, metadata: {name: e}, type: Normal, reason: Tested, message: hello, \
                 involvedObject: {kind: Pod, name: p, namespace: default}}";
    kubectl.with("create -f -", event).await;
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
