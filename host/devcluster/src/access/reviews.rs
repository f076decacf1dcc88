//! Kinds that are answered and not stored: reviews of access and of tokens.
//!
//! In an open cluster nobody is authenticated and everything is allowed, and the answers say so. Elsewhere
//! they are what the gate itself would decide.

use serde_json::{Value, json};

use super::attributes::{Attributes, ResourceAttributes};
use super::tokens::ISSUER;
use super::user::{self, User};
use super::{ADMIN, AccessMode};
use crate::cluster::Cluster;
use crate::decoding::{self, Source};
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::write::Write;

/// The answer to a review: the request with its status filled in, and warnings.
pub(crate) fn review(
    cluster: &Cluster,
    write: &Write,
    mut json: Json,
) -> Result<(Json, Vec<String>), ApiError> {
    let warnings = decoding::decode(write, &mut json, Source::Body)?;
    write.check_identity(&mut json)?;
    object::edit_meta(&mut json, |meta| {
        for field in
            ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            meta.remove(field);
        }
        meta.retain(|_, value| !value.is_null());
    });
    let kind = &*write.kind;
    let status = match write.author.as_deref() {
        None => open(kind),
        Some(user) => {
            Review { cluster, user, kind, namespace: &write.key.namespace, json: &json }.status()?
        }
    };
    if kind.kind == "SelfSubjectRulesReview" {
        // It is the one that does not say again what it was asked.
        json.insert("metadata".to_owned(), Value::Object(Json::new()));
        json.insert("spec".to_owned(), Value::Object(Json::new()));
    }
    json.insert("status".to_owned(), status);
    Ok((json, warnings))
}

/// Who sends a request, as reviews show it: the administrator where nobody is asked who they are.
pub(crate) fn requester(author: Option<&User>) -> Json {
    let admin = || json!({ "username": ADMIN, "groups": [user::MASTERS, user::AUTHENTICATED] });
    match author.map_or_else(admin, User::info) {
        Value::Object(info) => info,
        _ => Json::new(),
    }
}

/// What is said where nobody is asked who they are.
fn open(kind: &Kind) -> Value {
    let user = requester(None);
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
            _ => self.access(&self.subject()),
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

    /// The user that a review names.
    fn subject(&self) -> User {
        let extra = self.spec("extra").and_then(Value::as_object).into_iter().flatten();
        User {
            name: self.text("user").to_owned(),
            uid: self.text("uid").to_owned(),
            groups: self.list("groups"),
            extra: extra.map(|(key, values)| (key.to_lowercase(), texts(Some(values)))).collect(),
        }
    }

    /// What is wrong with a review of access.
    fn problems(&self) -> Vec<Cause> {
        let (resource, path) = (self.spec("resourceAttributes"), self.spec("nonResourceAttributes"));
        let invalid = |field: &str, found: Option<&Value>, why: &str| {
            Cause::invalid(field, found.unwrap_or(&Value::Null), why)
        };
        let mut causes = Vec::new();
        match (resource, path) {
            (Some(_), Some(_)) => {
                let why = "cannot be specified in combination with resourceAttributes";
                causes.push(invalid("spec.nonResourceAttributes", path, why));
            }
            (None, None) => {
                let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                causes.push(invalid("spec.resourceAttributes", None, why));
            }
            _ => {}
        }
        let is_of_another = self.kind.kind != "SelfSubjectAccessReview";
        if is_of_another && self.text("user").is_empty() && self.list("groups").is_empty() {
            let why = "at least one of user or group must be specified";
            causes.push(invalid("spec.user", Some(&"".into()), why));
        }
        causes.extend(self.metadata_problem());
        if self.kind.namespaced {
            let namespace = resource.map(|resource| object::field(resource, "namespace"));
            if let Some(other) = namespace.filter(|namespace| *namespace != self.namespace) {
                let why = "must match metadata.namespace";
                causes.push(invalid("spec.resourceAttributes.namespace", Some(&other.into()), why));
            }
            if path.is_some() {
                let why = "disallowed on this kind of request";
                causes.push(invalid("spec.nonResourceAttributes", path, why));
            }
        }
        causes
    }

    /// A review is not stored, and so has nothing to say of itself.
    fn metadata_problem(&self) -> Option<Cause> {
        let mut meta = self.json.get("metadata")?.as_object()?.clone();
        meta.remove("managedFields");
        let why = match self.kind.namespaced {
            true => {
                meta.remove("namespace");
                "must be empty except for namespace"
            }
            false => "must be empty",
        };
        (!meta.is_empty()).then(|| Cause::invalid("metadata", &Value::Object(meta), why))
    }

    /// What a review without problems is about.
    fn attributes(&self) -> Attributes {
        let text = |field: &str, part: &str| object::text(self.json, &["spec", field, part]).to_owned();
        if self.spec("resourceAttributes").is_none() {
            let text = |part: &str| text("nonResourceAttributes", part);
            return Attributes::Path { verb: text("verb"), path: text("path") };
        }
        let text = |part: &str| text("resourceAttributes", part);
        Attributes::Resource(ResourceAttributes {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        })
    }

    fn access(&self, user: &User) -> Result<Value, ApiError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(ApiError::invalid(self.kind, "", &problems));
        }
        let decision = self.cluster.access.decide(&self.cluster.store, user, &self.attributes());
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
            Ok(known) => {
                json!({ "authenticated": true, "user": known.user.info(), "audiences": known.audiences })
            }
            Err(why) => json!({ "user": {}, "error": why }),
        })
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
