//! The rules of ConfigMaps and Secrets: which keys they may have, which they must have, and how much they hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::unchanged;
use crate::error::Cause;
use crate::kind::Kind;
use crate::object::{self, Json};

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                   or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
/// How many bytes the values may have together.
const MOST: u64 = 1024 * 1024;
const ACCOUNT: &str = "kubernetes.io/service-account.name";

pub(super) fn validate(kind: &Kind, json: &Json, old: Option<&Json>, causes: &mut Vec<Cause>) {
    let is_secret = kind.kind == "Secret";
    for field in ["binaryData", "data"] {
        for key in map(json, field).into_iter().flat_map(Json::keys) {
            if !is_key(key) {
                causes.push(Cause::invalid(format!("{field}[{key}]"), &Value::from(key.as_str()), KEY));
            }
        }
    }
    let binary = map(json, "binaryData");
    for key in map(json, "data").into_iter().flat_map(Json::keys) {
        if binary.is_some_and(|binary| binary.contains_key(key)) {
            let why = "duplicate of key present in binaryData";
            causes.push(Cause::invalid(format!("data[{key}]"), &Value::from(key.as_str()), why));
        }
    }
    if size(json, is_secret) > MOST {
        causes.push(Cause::too_long(if is_secret { "data" } else { "[]" }, MOST));
    }
    if old.is_some_and(|old| old.get("immutable") == Some(&Value::Bool(true))) {
        for field in ["data", "binaryData", "immutable"] {
            if old.and_then(|old| old.get(field)) != json.get(field) {
                causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    if is_secret {
        unchanged(json, old, &["type"], causes);
        of_type(json, causes);
    }
}

fn map<'a>(json: &'a Json, field: &str) -> Option<&'a Json> {
    json.get(field).and_then(Value::as_object)
}

/// The keys become files.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key != "."
        && !key.starts_with("..")
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// How many bytes the values have. Those of a Secret are encoded, all of them.
fn size(json: &Json, is_secret: bool) -> u64 {
    let values =
        |field: &'static str| map(json, field).into_iter().flat_map(Json::values).filter_map(Value::as_str);
    let decoded = |text: &str| {
        let padding = text.len().saturating_sub(text.trim_end_matches('=').len());
        (text.len() / 4).saturating_mul(3).saturating_sub(padding)
    };
    let plain = values("data").map(|text| if is_secret { decoded(text) } else { text.len() });
    let sizes = plain.chain(values("binaryData").map(decoded));
    u64::try_from(sizes.fold(0_usize, usize::saturating_add)).unwrap_or(u64::MAX)
}

/// What a Secret of a type must have.
fn of_type(json: &Json, causes: &mut Vec<Cause>) {
    let has = |key: &str| map(json, "data").is_some_and(|data| data.contains_key(key));
    let mut require = |keys: &[&str], is_there: bool| {
        for key in keys.iter().filter(|key| !is_there || !has(key)) {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    };
    match object::text(json, &["type"]) {
        "kubernetes.io/ssh-auth" => {
            let key = "ssh-privatekey";
            require(&[key], !object::text(json, &["data", key]).is_empty());
        }
        // One of them is enough.
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            require(&["username", "password"], false);
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"], true),
        "kubernetes.io/dockercfg" => registry(json, ".dockercfg", causes),
        "kubernetes.io/dockerconfigjson" => registry(json, ".dockerconfigjson", causes),
        "kubernetes.io/service-account-token"
            if object::text(json, &["metadata", "annotations", ACCOUNT]).is_empty() =>
        {
            causes.push(Cause::required(format!("metadata.annotations[{ACCOUNT}]"), ""));
        }
        _ => {}
    }
}

/// The credentials of registries of images are JSON.
fn registry(json: &Json, key: &str, causes: &mut Vec<Cause>) {
    let field = format!("data[{key}]");
    let Some(text) = object::at(json, &["data", key]).and_then(Value::as_str) else {
        causes.push(Cause::required(field, ""));
        return;
    };
    let decoded = STANDARD.decode(text).unwrap_or_default();
    if serde_json::from_slice::<Value>(&decoded).is_err() {
        let first = String::from_utf8_lossy(&decoded).trim_start().chars().next();
        let why = match first
            .filter(|first| !matches!(first, '{' | '[' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n'))
        {
            Some(first) => format!("invalid character '{first}' looking for beginning of value"),
            None => "unexpected end of JSON input".to_owned(),
        };
        causes.push(Cause::invalid(field, &Value::from("<secret contents redacted>"), &why));
    }
}
