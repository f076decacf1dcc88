//! What the server itself makes of a new state once its defaults are filled in: phases, finalizers, selectors, addresses
//! and ports. Whoever wrote the object does not own that, so that somebody else may apply it later on.

mod service;
mod signing_request;

use serde_json::{Value, json};

use crate::access::User;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::Store;
use crate::{emptying, qos};

/// Sets what the real server's strategy of this kind does; `old` is the live object of an update.
pub(crate) fn prepare(kind: &Kind, json: &mut Json, old: Option<&Json>, author: Option<&User>) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => service::prepare(json, old),
        ("certificates.k8s.io", "CertificateSigningRequest") => match old {
            Some(old) => signing_request::update(json, old),
            None => signing_request::create(json, author),
        },
        _ if old.is_some() => {}
        ("", "Namespace") => {
            let given = object::at(json, &["spec", "finalizers"]).and_then(Value::as_array).cloned();
            let mut finalizers = given.unwrap_or_default();
            if !finalizers.contains(&json!(emptying::FINALIZER)) {
                finalizers.push(emptying::FINALIZER.into());
            }
            object::set(json, &["spec", "finalizers"], finalizers.into());
            json.insert("status".to_owned(), json!({ "phase": "Active" }));
        }
        ("", "Pod") => {
            json.insert("status".to_owned(), json!({ "phase": "Pending", "qosClass": qos::class(json) }));
        }
        ("", "PersistentVolumeClaim") => {
            json.insert("status".to_owned(), json!({ "phase": "Pending" }));
        }
        ("", "PersistentVolume") => {
            let status = json!({ "phase": "Pending", "lastPhaseTransitionTime": object::now() });
            json.insert("status".to_owned(), status);
        }
        ("batch", "Job") => select_own_pods(json),
        _ => {}
    }
}

/// Gives a valid object what it shares with no other one of its kind.
pub(crate) fn allocate(
    store: &Store,
    kind: &Kind,
    json: &mut Json,
    old: Option<&Json>,
    is_dry: bool,
) -> Result<(), ApiError> {
    match kind.is("", "services") {
        true => service::allocate(store, kind, json, old, is_dry),
        false => Ok(()),
    }
}

/// A Job selects the Pods that carry its uid, unless it says itself what it selects.
fn select_own_pods(json: &mut Json) {
    if object::at(json, &["spec", "manualSelector"]) == Some(&Value::Bool(true)) {
        return;
    }
    // Those that it has from its template it shares with it.
    let template = &["spec", "template", "metadata", "labels"];
    let own = object::at(json, &["metadata", "labels"]);
    let shares = own == object::at(json, template) || own.is_none();
    let (uid, name) = (object::uid(json).to_owned(), object::name(json).to_owned());
    let label = "batch.kubernetes.io/controller-uid";
    object::set(json, &["spec", "selector", "matchLabels", label], uid.clone().into());
    for (label, value) in [
        (label, &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        object::set(json, &["spec", "template", "metadata", "labels", label], value.clone().into());
    }
    if let Some(labels) = object::at(json, template).filter(|_| shares).cloned() {
        object::set(json, &["metadata", "labels"], labels);
    }
}
