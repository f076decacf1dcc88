//! The tokens of ServiceAccounts: `TokenRequest` makes one, and it is good until it expires, or its
//! ServiceAccount (or the Pod or Secret that it is bound to) is gone or another one.
//!
//! Follows the API reference of `TokenRequest` and the claims of KEP-1205.

use serde_json::{Value, json};

use super::authenticate::Authenticated;
use super::jwt::Signer;
use super::user::{AUTHENTICATED, User, service_account_groups, service_account_name, service_account_of};
use crate::clock;
use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::{Key, Store};

/// Who issues the tokens, and whom they are for unless they say otherwise.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub(super) const SERVICE_ACCOUNTS: &str = "serviceaccounts";
const GROUP: &str = "authentication.k8s.io";
const HOUR: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
/// By how much the clocks of who issues and of who checks may differ, as the real server allows.
const LEEWAY: i64 = 60;

/// What a token is asked to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) audiences: Vec<String>,
    pub(super) seconds: i64,
    /// The kind, name and uid of what it is bound to.
    bound: Option<(String, String, String)>,
}

impl Wanted {
    /// For the server itself, for so many seconds.
    pub(super) fn plain(seconds: i64) -> Self {
        Self { audiences: vec![ISSUER.to_owned()], seconds, bound: None }
    }
}

/// Answers a `TokenRequest` for a ServiceAccount.
pub(crate) fn request(
    cluster: &Cluster,
    kind: &Kind,
    key: &Key,
    mut request: Json,
) -> Result<Json, ApiError> {
    let account =
        cluster.store.get(SERVICE_ACCOUNTS, key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
    let seconds =
        object::at(&request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(HOUR);
    check_duration(seconds)?;
    let listed = object::at(&request, &["spec", "audiences"]).and_then(Value::as_array).into_iter().flatten();
    let mut audiences: Vec<String> = listed.filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let bound = bound_object(cluster, key, &request)?;
    let wanted = Wanted { audiences, seconds, bound };
    let token = mint(&cluster.access.signer, &account.json, &wanted)
        .map_err(|_| ApiError::internal("the system has no randomness to give"))?;

    request.insert("kind".to_owned(), "TokenRequest".into());
    request.insert("apiVersion".to_owned(), format!("{GROUP}/v1").into());
    object::set(&mut request, &["metadata", "name"], key.name.clone().into());
    object::set(&mut request, &["metadata", "namespace"], key.namespace.clone().into());
    object::set(&mut request, &["metadata", "creationTimestamp"], object::now().into());
    object::set(&mut request, &["spec", "audiences"], json!(wanted.audiences));
    object::set(&mut request, &["spec", "expirationSeconds"], seconds.into());
    let expires = object::seconds_from_now(seconds);
    request.insert("status".to_owned(), json!({ "token": token, "expirationTimestamp": expires }));
    Ok(request)
}

fn check_duration(seconds: i64) -> Result<(), ApiError> {
    let why = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Err(ApiError::invalid_body(
        GROUP,
        "TokenRequest",
        &[Cause::invalid("spec.expirationSeconds", &json!(seconds), why)],
    ))
}

/// What a token is to be bound to: it is there, it is the one that is meant, and a Pod runs as the account.
fn bound_object(
    cluster: &Cluster,
    account: &Key,
    request: &Json,
) -> Result<Option<(String, String, String)>, ApiError> {
    let reference = |field: &str| object::text(request, &["spec", "boundObjectRef", field]);
    let (kind, name, uid) = (reference("kind"), reference("name"), reference("uid"));
    if object::at(request, &["spec", "boundObjectRef"]).is_none_or(Value::is_null) {
        return Ok(None);
    }
    let storage = match (reference("apiVersion"), kind) {
        ("v1", "Pod") => "pods",
        ("v1", "Secret") => "secrets",
        (version, kind) => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(why));
        }
    };
    let key = Key::new(&account.namespace, name);
    let kind_of = cluster.kind_of(storage).ok_or_else(ApiError::no_such_path)?;
    let found = cluster.store.get(storage, &key).ok_or_else(|| ApiError::not_found(&kind_of, name))?;
    let found_uid = object::uid(&found.json);
    if storage == "pods" {
        let runs_as = match object::text(&found.json, &["spec", "serviceAccountName"]) {
            "" => super::controllers::DEFAULT,
            name => name,
        };
        if runs_as != account.name {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                account.name
            )));
        }
    }
    if !uid.is_empty() && uid != found_uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(ApiError::conflict(&kind_of, name, &why));
    }
    Ok(Some((kind.to_lowercase(), name.to_owned(), found_uid.to_owned())))
}

/// A token of a ServiceAccount.
pub(super) fn mint(
    signer: &Signer,
    account: &Json,
    wanted: &Wanted,
) -> Result<String, ring::error::Unspecified> {
    let (namespace, name) = (object::namespace(account), object::name(account));
    let now = clock::timestamp().as_second();
    let mut kubernetes = json!({ "namespace": namespace,
        "serviceaccount": { "name": name, "uid": object::uid(account) } });
    if let (Some((kind, name, uid)), Some(claims)) = (&wanted.bound, kubernetes.as_object_mut()) {
        claims.insert(kind.clone(), json!({ "name": name, "uid": uid }));
    }
    signer.sign(&json!({
        "iss": ISSUER, "sub": service_account_name(namespace, name), "aud": wanted.audiences,
        "iat": now, "nbf": now, "exp": now.saturating_add(wanted.seconds),
        "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": kubernetes,
    }))
}

/// The ServiceAccount whose token this is, if it is good for one of these audiences now.
pub(super) fn authenticate(
    signer: &Signer,
    store: &Store,
    token: &str,
    audiences: &[String],
) -> Option<Authenticated> {
    let claims = signer.verify(token)?;
    let text = |path: &[&str]| object::text(&claims, path);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let now = clock::timestamp().as_second();
    let is_now = now <= number("exp")?.saturating_add(LEEWAY) && now >= number("nbf")?.saturating_sub(LEEWAY);
    if text(&["iss"]) != ISSUER || !is_now {
        return None;
    }
    let given = claims.get("aud").and_then(Value::as_array)?;
    let audiences: Vec<String> =
        audiences.iter().filter(|wanted| given.contains(&Value::from(wanted.as_str()))).cloned().collect();
    let (namespace, name) = service_account_of(text(&["sub"]))?;
    let key = Key::new(namespace, name);
    let account = store.get(SERVICE_ACCOUNTS, &key)?;
    let is_same = object::uid(&account.json) == text(&["kubernetes.io", "serviceaccount", "uid"])
        && text(&["kubernetes.io", "namespace"]) == namespace;
    if audiences.is_empty() || !is_same || has_ended(&account.json) {
        return None;
    }
    let mut user = User {
        name: service_account_name(namespace, name),
        uid: object::uid(&account.json).to_owned(),
        groups: service_account_groups(namespace),
        ..User::default()
    };
    user.join(AUTHENTICATED);
    let mut extra = |name: &str, value: String| {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value]);
    };
    extra("credential-id", format!("JTI={}", text(&["jti"])));
    for (kind, storage) in [("pod", "pods"), ("secret", "secrets")] {
        let Some(bound) = object::at(&claims, &["kubernetes.io", kind]).and_then(Value::as_object) else {
            continue;
        };
        let (name, uid) = (object::text(bound, &["name"]), object::text(bound, &["uid"]));
        let found = store.get(storage, &Key::new(namespace, name))?;
        if object::uid(&found.json) != uid || has_ended(&found.json) {
            return None;
        }
        if kind == "pod" {
            extra("pod-name", name.to_owned());
            extra("pod-uid", uid.to_owned());
        }
    }
    Some(Authenticated { user, audiences })
}

/// Whether an object should have been gone for a while: one that only its finalizers hold is good for nothing.
fn has_ended(json: &Json) -> bool {
    let due = object::meta_text(json, "deletionTimestamp").parse::<jiff::Timestamp>();
    due.is_ok_and(|due| due.as_second().saturating_add(LEEWAY) < clock::timestamp().as_second())
}
