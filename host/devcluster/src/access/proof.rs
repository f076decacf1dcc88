//! Reads the tokens of ServiceAccounts: each is good until it expires, or its ServiceAccount (or the Pod, Secret or
//! Node that it is bound to) is gone or another one.

use serde_json::Value;

use super::authenticate::Authenticated;
use super::jwt::Signer;
use super::rule::quoted;
use super::tokens::{ISSUER, NODES, SERVICE_ACCOUNTS};
use super::user::{AUTHENTICATED, User, service_account_groups, service_account_name, service_account_of};
use crate::clock;
use crate::object::{self, Json};
use crate::store::{Key, Store};

/// What is said of a token of which nothing is known.
pub(super) const UNKNOWN: &str = "invalid bearer token";
const INVALIDATED: &str = "service account token has been invalidated";
/// By how much the clocks of who issues and of who checks may differ, as the real server allows.
const LEEWAY: i64 = 60;

/// The ServiceAccount whose token this is, if it is good for one of these audiences now; or why it is not.
pub(super) fn authenticate(
    signer: &Signer,
    store: &Store,
    token: &str,
    audiences: &[String],
) -> Result<Authenticated, String> {
    let unknown = || UNKNOWN.to_owned();
    let claims = signer.verify(token).ok_or_else(unknown)?;
    let text = |path: &[&str]| object::text(&claims, path);
    if text(&["iss"]) != ISSUER {
        return Err(unknown());
    }
    let audiences = common_audiences(&claims, audiences)?;
    check_time(&claims)?;
    let (namespace, name) = service_account_of(text(&["sub"])).ok_or_else(unknown)?;
    let account = store
        .get(SERVICE_ACCOUNTS, &Key::new(namespace, name))
        .ok_or_else(|| format!("{SERVICE_ACCOUNTS} {name:?} not found"))?;
    if has_ended(&account.json) {
        return Err(format!("service account {namespace}/{name} has been deleted"));
    }
    let (uid, claimed) = (object::uid(&account.json), text(&["kubernetes.io", "serviceaccount", "uid"]));
    if uid != claimed {
        return Err(format!("service account UID ({uid}) does not match claim ({claimed})"));
    }
    let mut user = User {
        name: service_account_name(namespace, name),
        uid: uid.to_owned(),
        groups: service_account_groups(namespace),
        ..User::default()
    };
    user.join(AUTHENTICATED);
    let id = format!("JTI={}", text(&["jti"]));
    add_extra(&mut user, "credential-id", id);
    add_bound(&mut user, store, &claims, namespace)?;
    Ok(Authenticated { user, audiences })
}

fn common_audiences(claims: &Json, asked: &[String]) -> Result<Vec<String>, String> {
    let given = object::items(claims, &["aud"]).iter().filter_map(Value::as_str);
    let given: Vec<String> = given.map(str::to_owned).collect();
    let common: Vec<String> = asked.iter().filter(|audience| given.contains(audience)).cloned().collect();
    match common.is_empty() {
        false => Ok(common),
        true => Err(format!(
            "token audiences {} is invalid for the target audiences {}",
            quoted(&given),
            quoted(asked)
        )),
    }
}

fn check_time(claims: &Json) -> Result<(), String> {
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let now = clock::timestamp().as_second();
    if number("nbf").is_none_or(|start| now < start.saturating_sub(LEEWAY)) {
        return Err("service account token is not valid yet".to_owned());
    }
    match number("exp").is_none_or(|end| now > end.saturating_add(LEEWAY)) {
        true => Err("service account token has expired".to_owned()),
        false => Ok(()),
    }
}

/// Checks what a token is bound to, and says of its user what that is.
fn add_bound(user: &mut User, store: &Store, claims: &Json, namespace: &str) -> Result<(), String> {
    let bound = |kind: &str| object::at(claims, &["kubernetes.io", kind]).and_then(Value::as_object);
    let uses = [("secret", "secrets", namespace), ("pod", "pods", namespace), ("node", NODES, "")];
    for (kind, storage, namespace) in uses {
        let Some(claim) = bound(kind) else { continue };
        let (name, uid) = (object::text(claim, &["name"]), object::text(claim, &["uid"]));
        // A Pod says where it runs; it is the Pod alone that the token ends with.
        if kind != "node" || bound("pod").is_none() {
            let found = store.get(storage, &Key::new(namespace, name));
            let found = found.filter(|found| !has_ended(&found.json)).ok_or(INVALIDATED)?;
            let found_uid = object::uid(&found.json);
            if found_uid != uid {
                return Err(format!(
                    "{kind} UID ({found_uid}) does not match service account {kind} ref claim ({uid})"
                ));
            }
        }
        if kind != "secret" {
            add_extra(user, &format!("{kind}-name"), name.to_owned());
            add_extra(user, &format!("{kind}-uid"), uid.to_owned());
        }
    }
    Ok(())
}

fn add_extra(user: &mut User, name: &str, value: String) {
    if !value.is_empty() {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value]);
    }
}

/// Whether an object should have been gone for a while: one that only its finalizers hold is good for nothing.
fn has_ended(json: &Json) -> bool {
    let due = object::meta_text(json, "deletionTimestamp").parse::<jiff::Timestamp>();
    due.is_ok_and(|due| due.as_second().saturating_add(LEEWAY) < clock::timestamp().as_second())
}
