//! Makes the tokens of ServiceAccounts: what a `TokenRequest` may ask for, and what is then in the token.
//!
//! Follows the API reference of `TokenRequest` and the claims of KEP-1205 and KEP-4193.

use serde_json::{Value, json};

use super::jwt::Signer;
use super::user::service_account_name;
use crate::clock;
use crate::cluster::Cluster;
use crate::decoding::{self, Source};
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::Key;
use crate::write::Write;

/// Who issues the tokens, and whom they are for unless they say otherwise.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub(super) const SERVICE_ACCOUNTS: &str = "serviceaccounts";
pub(super) const NODES: &str = "nodes";
const KIND: &str = "TokenRequest";
const GROUP: &str = "authentication.k8s.io";
const HOUR: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// What a token is asked to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) audiences: Vec<String>,
    pub(super) seconds: i64,
    /// The claims of what it is bound to: a name and a uid by each kind, in lower case.
    bound: Json,
}

impl Wanted {
    /// For the server itself, for so many seconds.
    pub(super) fn plain(seconds: i64) -> Self {
        Self { audiences: vec![ISSUER.to_owned()], seconds, bound: Json::new() }
    }
}

/// Answers a `TokenRequest` for a ServiceAccount; with warnings.
pub(crate) fn request(
    cluster: &Cluster,
    write: &Write,
    mut request: Json,
) -> Result<(Json, Vec<String>), ApiError> {
    let key = &write.key;
    let kind = Kind {
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        kind: KIND.to_owned(),
        // As errors name it, which is not stored.
        storage: format!("{KIND}.{GROUP}").into(),
        ..(*write.kind).clone()
    };
    let place = Write { kind: kind.clone().into(), key: Key::new(&key.namespace, ""), ..write.clone() };
    let warnings = decoding::decode(&place, &mut request, Source::Body)?;
    place.check_identity(&mut request)?;
    let account = meant_account(cluster, write, &kind, &request)?;
    let seconds =
        object::at(&request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(HOUR);
    check_duration(seconds)?;
    let mut audiences: Vec<String> = object::items(&request, &["spec", "audiences"])
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let bound = bound_object(cluster, key, &request)?;
    let wanted = Wanted { audiences, seconds, bound };
    let token = mint(&cluster.access.signer, &account, &wanted)
        .map_err(|_| ApiError::internal("the system has no randomness to give"))?;

    object::set(&mut request, &["metadata", "name"], key.name.clone().into());
    object::set(&mut request, &["metadata", "uid"], object::uid(&account).into());
    object::set(&mut request, &["metadata", "creationTimestamp"], object::now().into());
    object::set(&mut request, &["spec", "audiences"], json!(wanted.audiences));
    object::set(&mut request, &["spec", "expirationSeconds"], seconds.into());
    if object::at(&request, &["spec", "boundObjectRef"]).is_none() {
        object::set(&mut request, &["spec", "boundObjectRef"], Value::Null);
    }
    let expires = object::seconds_from_now(seconds);
    request.insert("status".to_owned(), json!({ "token": token, "expirationTimestamp": expires }));
    Ok((request, warnings))
}

/// The account that a request is for, if it says nothing else of it.
fn meant_account(cluster: &Cluster, write: &Write, kind: &Kind, request: &Json) -> Result<Json, ApiError> {
    let name = &write.key.name;
    let asked = object::name(request);
    if !asked.is_empty() && asked != name {
        let why = "must match the service account name if specified";
        return Err(ApiError::invalid(kind, name, &[Cause::invalid("metadata.name", &asked.into(), why)]));
    }
    let found = cluster.store.get(SERVICE_ACCOUNTS, &write.key);
    let account = found.ok_or_else(|| ApiError::not_found(&write.kind, name))?;
    let (asked, uid) = (object::uid(request), object::uid(&account.json));
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
        );
        return Err(ApiError::conflict(kind, name, &why));
    }
    Ok(account.json.clone())
}

fn check_duration(seconds: i64) -> Result<(), ApiError> {
    let why = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    Err(ApiError::invalid_body(
        GROUP,
        KIND,
        &[Cause::invalid("spec.expirationSeconds", &json!(seconds), why)],
    ))
}

/// What a token is to be bound to, as its claims: it is there, it is the one that is meant, and a Pod runs as
/// the account.
fn bound_object(cluster: &Cluster, account: &Key, request: &Json) -> Result<Json, ApiError> {
    let reference = |field: &str| object::text(request, &["spec", "boundObjectRef", field]);
    let (kind, name, uid) = (reference("kind"), reference("name"), reference("uid"));
    let mut claims = Json::new();
    if object::at(request, &["spec", "boundObjectRef"]).is_none_or(Value::is_null) {
        return Ok(claims);
    }
    let (group, version) = reference("apiVersion").split_once('/').unwrap_or(("", reference("apiVersion")));
    let (storage, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", account.namespace.as_str()),
        ("", "Secret") => ("secrets", account.namespace.as_str()),
        ("", "Node") => (NODES, ""),
        _ => {
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(why));
        }
    };
    let kind_of = cluster.kind_of(storage).ok_or_else(ApiError::no_such_path)?;
    let found = cluster.store.get(storage, &Key::new(namespace, name));
    let found = found.ok_or_else(|| ApiError::not_found(&kind_of, name))?;
    if kind == "Pod" {
        check_runs_as(&found.json, &account.name)?;
        let node = object::text(&found.json, &["spec", "nodeName"]);
        if !node.is_empty() {
            claims.insert("node".to_owned(), node_claim(cluster, node));
        }
    }
    let found_uid = object::uid(&found.json);
    if !uid.is_empty() && uid != found_uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        // It is named as the reference names it, by its kind.
        let meant = Kind { plural: kind.to_owned(), ..(*kind_of).clone() };
        return Err(ApiError::conflict(&meant, name, &why));
    }
    claims.insert(kind.to_lowercase(), json!({ "name": name, "uid": found_uid }));
    Ok(claims)
}

fn check_runs_as(pod: &Json, account: &str) -> Result<(), ApiError> {
    let runs_as = match object::text(pod, &["spec", "serviceAccountName"]) {
        "" => super::controllers::DEFAULT,
        name => name,
    };
    match runs_as == account {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        ))),
    }
}

/// The Node of a Pod, which need not be there.
fn node_claim(cluster: &Cluster, name: &str) -> Value {
    match cluster.store.get(NODES, &Key::new("", name)) {
        Some(node) => json!({ "name": name, "uid": object::uid(&node.json) }),
        None => json!({ "name": name }),
    }
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
    if let Some(claims) = kubernetes.as_object_mut() {
        claims.extend(wanted.bound.clone());
    }
    signer.sign(&json!({
        "iss": ISSUER, "sub": service_account_name(namespace, name), "aud": wanted.audiences,
        "iat": now, "nbf": now, "exp": now.saturating_add(wanted.seconds),
        "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": kubernetes,
    }))
}
