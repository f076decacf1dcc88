//! Kinds that are answered and not stored: reviews of access and of tokens.
//!
//! Nobody is authenticated and everything is allowed, and the answers say so.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::Json;

/// The answer to a review: the request with its status filled in.
pub(crate) fn review(kind: &Kind, mut json: Json) -> Json {
    let user = json!({ "username": "wheelhouse-dev", "groups": ["system:masters", "system:authenticated"] });
    let status = match kind.kind.as_str() {
        "SelfSubjectRulesReview" => json!({
            "incomplete": false,
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        }),
        "SelfSubjectReview" => json!({ "userInfo": user }),
        "TokenReview" => json!({ "authenticated": true, "user": user }),
        _ => json!({ "allowed": true, "reason": "the development cluster allows everything" }),
    };
    json.insert("kind".to_owned(), kind.kind.clone().into());
    json.insert("apiVersion".to_owned(), kind.api_version().into());
    json.entry("metadata").or_insert_with(|| Value::Object(Json::new()));
    json.insert("status".to_owned(), status);
    json
}
