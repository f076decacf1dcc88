//! Kinds that are answered and not stored: reviews of access and of tokens.
//!
//! In an open cluster nobody is authenticated and everything is allowed, and the answers say so. Elsewhere
//! they are what the gate itself would decide.

use serde_json::{Value, json};

use super::attributes::{Attributes, ResourceAttributes};
use super::tokens::ISSUER;
use super::user::User;
use super::{ADMIN, AccessMode};
use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};

/// The answer to a review in a namespace (or "") by a user: the request with its status filled in.
pub(crate) fn review(
    cluster: &Cluster,
    user: Option<&User>,
    kind: &Kind,
    namespace: &str,
    mut json: Json,
) -> Result<Json, ApiError> {
    let status = match user {
        None => open(kind),
        Some(user) => Review { cluster, user, kind, namespace, json: &json }.status()?,
    };
    json.insert("kind".to_owned(), kind.kind.clone().into());
    json.insert("apiVersion".to_owned(), kind.api_version().into());
    json.entry("metadata").or_insert_with(|| Value::Object(Json::new()));
    json.insert("status".to_owned(), status);
    Ok(json)
}

/// What is said where nobody is asked who they are.
fn open(kind: &Kind) -> Value {
    let user = json!({ "username": ADMIN, "groups": ["system:masters", "system:authenticated"] });
    match kind.kind.as_str() {
        "SelfSubjectRulesReview" => everything(),
        "SelfSubjectReview" => json!({ "userInfo": user }),
        "TokenReview" => json!({ "authenticated": true, "user": user }),
        _ => json!({ "allowed": true, "reason": "the development cluster allows everything" }),
    }
}

fn everything() -> Value {
    json!({
        "incomplete": false,
        "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
    })
}

struct Review<'a> {
    cluster: &'a Cluster,
    /// Who asks.
    user: &'a User,
    kind: &'a Kind,
    namespace: &'a str,
    json: &'a Json,
}

impl Review<'_> {
    fn status(&self) -> Result<Value, ApiError> {
        match self.kind.kind.as_str() {
            "SelfSubjectReview" => Ok(json!({ "userInfo": self.user.info() })),
            "SelfSubjectRulesReview" => self.rules(),
            "TokenReview" => self.token(),
            "SelfSubjectAccessReview" => self.access(self.user),
            _ => self.access(&self.subject()?),
        }
    }

    fn spec(&self, field: &str) -> Option<&Value> {
        object::at(self.json, &["spec", field]).filter(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> &str {
        object::text(self.json, &["spec", field])
    }

    fn list(&self, field: &str) -> Vec<String> {
        texts(self.spec(field))
    }

    fn invalid(&self, cause: Cause) -> ApiError {
        ApiError::invalid(self.kind, "", &[cause])
    }

    /// The user that a review names.
    fn subject(&self) -> Result<User, ApiError> {
        let extra = self.spec("extra").and_then(Value::as_object).into_iter().flatten();
        let user = User {
            name: self.text("user").to_owned(),
            uid: self.text("uid").to_owned(),
            groups: self.list("groups"),
            extra: extra.map(|(key, values)| (key.to_lowercase(), texts(Some(values)))).collect(),
        };
        if user.name.is_empty() && user.groups.is_empty() {
            let why = "at least one of user or group must be specified";
            return Err(self.invalid(Cause::invalid("spec.user", &"".into(), why)));
        }
        Ok(user)
    }

    fn access(&self, user: &User) -> Result<Value, ApiError> {
        let resource = self.spec("resourceAttributes").and_then(Value::as_object);
        let path = self.spec("nonResourceAttributes").and_then(Value::as_object);
        let attributes = match (resource, path) {
            (Some(resource), None) => {
                let text = |field: &str| object::text(resource, &[field]).to_owned();
                if self.kind.namespaced && text("namespace") != self.namespace {
                    let why = "must match metadata.namespace";
                    let found = text("namespace").into();
                    return Err(self.invalid(Cause::invalid(
                        "spec.resourceAttributes.namespace",
                        &found,
                        why,
                    )));
                }
                Attributes::Resource(ResourceAttributes {
                    verb: text("verb"),
                    group: text("group"),
                    resource: text("resource"),
                    subresource: text("subresource"),
                    namespace: text("namespace"),
                    name: text("name"),
                })
            }
            (None, Some(_)) if self.kind.namespaced => {
                let why = "disallowed on this kind of request";
                return Err(self.invalid(Cause::invalid("spec.nonResourceAttributes", &Value::Null, why)));
            }
            (None, Some(path)) => Attributes::Path {
                verb: object::text(path, &["verb"]).to_owned(),
                path: object::text(path, &["path"]).to_owned(),
            },
            (found, _) => {
                let why = match found {
                    Some(_) => "cannot be specified in combination with resourceAttributes",
                    None => "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                };
                let (field, found) = match found {
                    Some(_) => ("spec.nonResourceAttributes", self.spec("nonResourceAttributes")),
                    None => ("spec.resourceAttributes", None),
                };
                return Err(self.invalid(Cause::invalid(field, found.unwrap_or(&Value::Null), why)));
            }
        };
        let decision = self.cluster.access.decide(&self.cluster.store, user, &attributes);
        let mut status = json!({ "allowed": decision.allowed });
        if let (false, Some(status)) = (decision.reason.is_empty(), status.as_object_mut()) {
            status.insert("reason".to_owned(), decision.reason.into());
        }
        Ok(status)
    }

    fn rules(&self) -> Result<Value, ApiError> {
        let namespace = self.text("namespace");
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        if self.cluster.access.mode != AccessMode::Rbac {
            return Ok(everything());
        }
        let (rules, error) = self.cluster.access.rules_for(&self.cluster.store, self.user, namespace);
        let (paths, resources): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.resources.is_empty());
        let shown = |rules: Vec<&super::rule::Rule>| rules.iter().map(|rule| rule.json()).collect::<Vec<_>>();
        let mut status = json!({ "incomplete": false, "resourceRules": shown(resources),
            "nonResourceRules": shown(paths) });
        if let (Some(error), Some(status)) = (error, status.as_object_mut()) {
            status.insert("evaluationError".to_owned(), error.into());
        }
        Ok(status)
    }

    fn token(&self) -> Result<Value, ApiError> {
        let token = self.text("token");
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let mut audiences = self.list("audiences");
        if audiences.is_empty() {
            audiences.push(ISSUER.to_owned());
        }
        let cluster = self.cluster;
        Ok(match cluster.access.authenticate_token(&cluster.store, token, &audiences) {
            Some(known) => {
                json!({ "authenticated": true, "user": known.user.info(), "audiences": known.audiences })
            }
            None => json!({ "user": {}, "error": "[invalid bearer token]" }),
        })
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
