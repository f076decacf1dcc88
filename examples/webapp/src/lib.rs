//! The operator that everyone has to write once: a `WebApp` becomes a ConfigMap, a Deployment and a
//! Service, and its status says how they are.
//!
//! The children are owned by it, so the cluster would collect them by itself, in any order. The
//! finalizer makes an orderly end of it: the Service goes first, so that nothing more arrives, and
//! then the Deployment with its Pods, and only then the `WebApp`.

mod children;
mod crd;

use kube::Resource;
use serde::Serialize;
use wheelhouse_sdk::prelude::*;

use crate::crd::{WebApp, WebAppStatus};

/// What the Deployments are annotated with as `examples.wheelhouse.dev/built-by`. Change it and build
/// the plugin anew while the host runs: every Deployment will follow.
const BANNER: &str = match option_env!("WEBAPP_BANNER") {
    Some(banner) => banner,
    None => "webapp",
};

const WEB_APP: &str = "examples.wheelhouse.dev/v1alpha1/WebApp";
const CONFIG_MAP: &str = "v1/ConfigMap";
const DEPLOYMENT: &str = "apps/v1/Deployment";
const SERVICE: &str = "v1/Service";

const FINALIZER: &str = "examples.wheelhouse.dev/orderly-end";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {}

impl Reconciler for Operator {
    fn describe(&self) -> Spec {
        let child = |kind| Permission::to([Verb::Create, Verb::Patch, Verb::Delete], kind);
        Spec::new("webapp", env!("CARGO_PKG_VERSION"))
            // Its own writes of the status are no reason to look again.
            .reconciles(Source::of(WEB_APP).when(Predicate::generation_changed()))
            .owns(CONFIG_MAP)
            .owns(DEPLOYMENT)
            .owns(SERVICE)
            .needs(Permission::to([Verb::Patch], WEB_APP))
            .needs(Permission::to([Verb::Patch], WEB_APP).subresource("status"))
            .needs(child(CONFIG_MAP))
            .needs(child(DEPLOYMENT))
            .needs(child(SERVICE))
            .needs(Permission::events())
            .concurrency(4)
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let Some(object) = objects::get(WEB_APP, &request.key)? else {
            return Ok(Outcome::Done);
        };
        match ensure_finalizer(WEB_APP, &object, FINALIZER)? {
            Stage::Live => self.keep(request, &object),
            Stage::CleanUp => self.end(&object),
            Stage::Released => Ok(Outcome::Done),
        }
    }
}

wheelhouse_sdk::export!(Operator);

impl Operator {
    /// Makes the children, and writes down what has become of them.
    fn keep(&self, request: &Request, object: &Object) -> Result<Outcome> {
        let app: WebApp = object.to()?;
        let applied = apply_children(&app, object);
        let (ready, deployment) = match &applied {
            Ok(deployment) => (readiness(deployment), Some(deployment.clone())),
            // A failure that the next try may mend is not for the user to see.
            Err(error) if !error.is_terminal() && request.attempt < 3 => {
                return applied.map(|_| Outcome::Done);
            }
            Err(error) => {
                let reason = if error.is_terminal() { "Invalid" } else { "Failed" };
                events::warning(WEB_APP, &request.key, reason, "ApplyChildren")
                    .note(error.to_string())
                    .record();
                let ready = Condition::new("Ready", false, reason, error.to_string());
                (ready, objects::get(DEPLOYMENT, &request.key)?)
            }
        };
        let told = format!("{}: {}", ready.reason, ready.message);
        if write_status(WEB_APP, object, &status(&app, ready, deployment.as_ref()))? {
            info!("{told}");
        }
        applied.map(|_| Outcome::Done)
    }

    /// Takes down the Service, then the Deployment, and then lets the object go.
    fn end(&self, object: &Object) -> Result<Outcome> {
        let key = object.key();
        for kind in [SERVICE, DEPLOYMENT] {
            let Some(child) = objects::get(kind, &key)?.filter(|child| child.is_controlled_by(object)) else {
                continue;
            };
            if !child.is_being_deleted() {
                info!(kind = kind, "taking down {key}");
                client::delete(kind, &key)
                    .uid(child.uid())
                    .propagation(client::Propagation::Foreground)
                    .send()
                    .optional()?;
            }
            // The event of its end is the next request; this is in case that it is missed.
            return Ok(Outcome::RequeueAfter(Duration::from_secs(10)));
        }
        info!("everything of {key} is taken down");
        remove_finalizer(WEB_APP, object, FINALIZER)?;
        Ok(Outcome::Done)
    }
}

/// Applies the children and returns the Deployment as it is now.
fn apply_children(app: &WebApp, object: &Object) -> Result<Object> {
    app.spec.check().map_err(Error::terminal)?;
    let config_map = children::config_map(app);
    if let Some(config_map) = &config_map {
        apply(config_map, object)?;
    }
    let deployment = apply(&children::deployment(app, BANNER), object)?;
    apply(&children::service(app), object)?;
    if config_map.is_none() {
        remove_config_map(object)?;
    }
    Ok(deployment)
}

/// Applies a child. That it was not there before is worth telling.
fn apply<K: Resource<DynamicType = ()> + Serialize>(child: &K, owner: &Object) -> Result<Object> {
    let (kind, key, short) = (typed::kind::<K>(), typed::key(child), K::kind(&()));
    let is_new = objects::get(&kind, &key)?.is_none();
    let applied = typed::apply(child).force().send().context(format_args!("the {short}"))?;
    if is_new {
        events::normal(WEB_APP, &owner.key(), "Created", format!("Create{short}"))
            .note(format!("{short} {} was created", key.name))
            .related_to(kind, &key)
            .record();
        metrics::counter("children_created")
            .help("Children that were created, for the first time or again")
            .label("kind", short)
            .add(1.0);
    }
    Ok(applied)
}

/// There may have been config files before; now that the Deployment does not name them, they can go.
fn remove_config_map(object: &Object) -> Result<()> {
    let key = ObjectKey::new(object.namespace(), children::config_name(object.name()));
    if let Some(left) = objects::get(CONFIG_MAP, &key)?.filter(|left| left.is_controlled_by(object)) {
        client::delete(CONFIG_MAP, &key).uid(left.uid()).send().optional()?;
    }
    Ok(())
}

/// Whether a Deployment has rolled out: what `kubectl rollout status` asks.
fn readiness(deployment: &Object) -> Condition {
    let number = |fields: &[&str]| deployment.int(fields).unwrap_or_default();
    let wanted = number(&["spec", "replicas"]);
    let updated = number(&["status", "updatedReplicas"]);
    let available = number(&["status", "availableReplicas"]);
    if number(&["status", "observedGeneration"]) < deployment.generation() || updated < wanted {
        let message = format!("{updated} of {wanted} instances are of the current version");
        Condition::new("Ready", false, "RollingOut", message)
    } else if available < wanted {
        Condition::new("Ready", false, "Starting", format!("{available} of {wanted} instances can be used"))
    } else {
        Condition::new("Ready", true, "Available", format!("{available} of {wanted} instances can be used"))
    }
}

fn status(app: &WebApp, ready: Condition, deployment: Option<&Object>) -> WebAppStatus {
    let generation = app.metadata.generation.unwrap_or_default();
    let mut conditions = app.status.clone().unwrap_or_default().conditions;
    set_condition(&mut conditions, ready.observed(generation));
    let ready_replicas = deployment.and_then(|deployment| deployment.int(&["status", "readyReplicas"]));
    WebAppStatus {
        observed_generation: generation,
        ready_replicas: ready_replicas.unwrap_or_default(),
        conditions,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_ready_once_it_has_rolled_out() {
        for (generation, observed, updated, available, reason) in [
            (1, 0, 0, 0, "RollingOut"),
            (1, 1, 0, 0, "RollingOut"),
            (1, 1, 2, 1, "Starting"),
            (1, 1, 2, 2, "Available"),
            (2, 1, 2, 2, "RollingOut"),
        ] {
            let deployment = json!({
                "metadata": {"generation": generation},
                "spec": {"replicas": 2},
                "status": {
                    "observedGeneration": observed, "updatedReplicas": updated,
                    "availableReplicas": available,
                },
            });
            let ready = readiness(&Object::from_json(&deployment).unwrap());
            assert_eq!(ready.reason, reason, "{deployment}");
            assert_eq!(ready.status == true.into(), reason == "Available");
        }
    }

    #[test]
    fn the_status_is_of_the_generation_that_was_read() {
        let mut app = WebApp::new("shop", Default::default());
        app.metadata.generation = Some(3);
        let first = status(&app, Condition::new("Ready", false, "Starting", ""), None);
        assert_eq!((first.observed_generation, first.conditions[0].observed_generation), (3, 3));
        app.status = Some(first.clone());
        let second = status(&app, Condition::new("Ready", false, "Invalid", ""), None);
        assert_eq!(second.conditions.len(), 1);
        assert_eq!(second.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
    }
}
