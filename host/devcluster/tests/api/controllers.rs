//! kube's own `Controller`, unchanged, against the development cluster on a good day and on bad ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use wheelhouse_devcluster::Fault;

use crate::support::{CONFIG_MAPS, CRDS, Server, WIDGETS, start, widget, widget_definition};

const FINALIZER: &str = "example.com/children";
/// kube's controller waits after each watch that fails, each time twice as long and for all watches together: with three
/// of them that is up to 1.6 + 3.2 + 6.4 seconds.
const DEADLINE: Duration = Duration::from_secs(60);

type Failure = kube::runtime::finalizer::Error<kube::Error>;

struct Context {
    client: kube::Client,
    /// Of kube's own client, whose requests name the group as the server knows it.
    resource: ApiResource,
    cleanups: AtomicUsize,
}

impl Context {
    fn widgets(&self) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.client.clone(), &self.resource)
    }
}

/// A Widget gets a ConfigMap and a Secret of its name, and a status that says so.
async fn apply(widget: &DynamicObject, context: &Context) -> Result<Action, kube::Error> {
    let name = widget.name_any();
    let owner = widget.controller_owner_ref(&context.resource).unwrap();
    let metadata = json!({ "name": name, "ownerReferences": [owner] });
    let params = PatchParams::apply("widgets.example.com").force();
    let maps: Api<ConfigMap> = Api::default_namespaced(context.client.clone());
    let size = &widget.data["spec"]["size"];
    let map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "size": size } });
    maps.patch(&name, &params, &Patch::Apply(map)).await?;
    let secrets: Api<Secret> = Api::default_namespaced(context.client.clone());
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata });
    secrets.patch(&name, &params, &Patch::Apply(secret)).await?;
    let ready = json!({ "type": "Ready", "status": "True" });
    let status = json!({ "apiVersion": context.resource.api_version, "kind": "Widget", "metadata": { "name": name },
        "status": { "replicas": widget.metadata.generation, "conditions": [ready] } });
    context.widgets().patch_status(&name, &params, &Patch::Apply(status)).await?;
    Ok(Action::await_change())
}

async fn reconcile(widget: Arc<DynamicObject>, context: Arc<Context>) -> Result<Action, Failure> {
    let api = context.widgets();
    let action = finalizer(&api, FINALIZER, widget, |event| async {
        match event {
            Event::Apply(widget) => apply(&widget, &context).await,
            Event::Cleanup(_) => {
                context.cleanups.fetch_add(1, Ordering::SeqCst);
                Ok(Action::await_change())
            }
        }
    });
    action.await
}

/// Runs until it is aborted.
fn run(server: &Server) -> (Arc<Context>, tokio::task::JoinHandle<()>) {
    let client = server.client.clone();
    let kind = GroupVersionKind::gvk(&server.outward("example.com"), "v1", "Widget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
    let cleanups = AtomicUsize::new(0);
    let context = Arc::new(Context { client: client.clone(), resource: resource.clone(), cleanups });
    let config = watcher::Config::default;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let controller = Controller::new_with(context.widgets(), config(), resource)
        .owns(maps, config())
        .owns(secrets, config().streaming_lists());
    // A conflict with somebody else's write is tried again.
    let again =
        |_: Arc<DynamicObject>, _: &Failure, _: Arc<Context>| Action::requeue(Duration::from_millis(50));
    let running = controller.run(reconcile, again, context.clone()).for_each(|_| async {});
    (context, tokio::spawn(running))
}

async fn follows(server: &Server, size: &str) {
    let path = format!("{CONFIG_MAPS}/w");
    let is_new = |map: &crate::support::Answer| map.body["data"]["size"] == size;
    server.eventually_within(DEADLINE, &path, "the ConfigMap follows", is_new).await;
}

async fn resize(server: &Server, size: &str) -> Value {
    server.merge(&format!("{WIDGETS}/w"), json!({ "spec": { "size": size } })).await.ok()
}

async fn with_controller() -> (Server, Arc<Context>, tokio::task::JoinHandle<()>) {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let (context, running) = run(&server);
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    follows(&server, "s").await;
    (server, context, running)
}

#[tokio::test]
async fn a_controller_owns_children_applies_a_status_and_cleans_up_after_its_finalizer() {
    let (server, context, running) = with_controller().await;
    let path = format!("{WIDGETS}/w");
    let is_ready =
        |answer: &crate::support::Answer| answer.body["status"]["conditions"][0]["status"] == "True";
    let ready = server.eventually(&path, "the status is applied", is_ready).await.body;
    assert_eq!(ready["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(ready["status"]["replicas"], 1);
    // A status alone is no new generation, and does not keep the controller going in a circle.
    assert_eq!(ready["metadata"]["generation"], 1);

    for child in ["configmaps", "secrets"] {
        let path = format!("/api/v1/namespaces/default/{child}/w");
        let uid = server.get(&path).await.ok()["metadata"]["uid"].clone();
        server.delete(&path).await.ok();
        let is_new =
            |answer: &crate::support::Answer| answer.code == 200 && answer.body["metadata"]["uid"] != uid;
        server.eventually(&path, "a child that is deleted is made again", is_new).await;
    }

    server.delete(&path).await.ok();
    server.eventually_gone(&path).await;
    assert_eq!(context.cleanups.load(Ordering::SeqCst), 1);
    server.eventually_gone(&format!("{CONFIG_MAPS}/w")).await;
    server.eventually_gone("/api/v1/namespaces/default/secrets/w").await;
    running.abort();
}

#[tokio::test]
async fn a_controller_survives_dropped_watches_and_a_compaction_of_what_it_missed() {
    let (server, context, running) = with_controller().await;
    let faults = server.cluster.faults();
    faults.inject(Fault::DropWatches);
    resize(&server, "m").await;
    follows(&server, "m").await;

    // What happens now reaches no watch, and is forgotten before any could ask for it.
    faults.inject(Fault::SilentWatches);
    let missed = resize(&server, "s").await;
    server.post("/api/v1/namespaces/default/secrets", json!({ "metadata": { "name": "later" } })).await.ok();
    faults.inject(Fault::Compact);
    let version = missed["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{WIDGETS}?resourceVersion={version}&resourceVersionMatch=Exact");
    server.get(&exact).await.refused(410, "Expired");
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/w")).await.ok()["data"]["size"], "m");
    faults.inject(Fault::DropWatches);
    faults.clear();
    follows(&server, "s").await;

    // What comes after is heard of by its watches again.
    resize(&server, "m").await;
    follows(&server, "m").await;
    server.delete(&format!("{WIDGETS}/w")).await.ok();
    server.eventually_gone(&format!("{WIDGETS}/w")).await;
    assert_eq!(context.cleanups.load(Ordering::SeqCst), 1);
    running.abort();
}
