//! One plugin's grant as an operator writes it: a document of a file, or the same in a resource.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::grant::{Grant, Rule};
use crate::limits::{BadLimits, Limits};
use crate::spec::is_dns_label;

/// Which plugin is granted what. Unknown keys are errors: a typing mistake must not widen or narrow a grant
/// in silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginGrant {
    /// What the plugin must call itself. The name is its field manager, so none may take another's.
    pub plugin: String,
    /// The file that this is for; the plugin's name with `.wasm` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Only for this very content of the file: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What is granted; nothing without any.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What the plugin may use instead of the host's limits.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// Whether another plugin may reconcile the same kind in the same namespaces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_shared_kind: bool,
}

/// A grant that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGrant {
    /// No plugin can be called so.
    #[error("plugin: {0:?} is no DNS label, and no plugin can call itself that")]
    Plugin(String),
    /// It would lead out of the folder, or never to a plugin.
    #[error("component: {0:?} is no file of the plugin folder: write its bare name, which ends in .wasm")]
    Component(String),
    /// Nothing has it.
    #[error(
        "digest: {0:?} is none: write sha256: and 64 hexadecimal digits, as `wheelhouse inspect` prints it"
    )]
    Digest(String),
    /// See [`Limits::overridden`].
    #[error("limits: {0}")]
    Limits(#[from] BadLimits),
}

/// Whether a text is the digest of a component: `sha256:` and 64 hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl PluginGrant {
    /// The file that it is for.
    pub fn component(&self) -> String {
        self.component.clone().unwrap_or_else(|| format!("{}.wasm", self.plugin))
    }

    /// What is granted.
    pub fn grant(&self) -> Grant {
        Grant::new(self.rules.clone())
    }

    /// The plugin's limits.
    ///
    /// # Errors
    /// Those that make no sense.
    pub fn limits(&self, host: &Limits) -> Result<Limits, BadLimits> {
        host.overridden(&self.limits)
    }

    /// Checks what its types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadGrant> {
        let short = |text: &str| text.chars().take(100).collect();
        if !is_dns_label(&self.plugin) {
            return Err(BadGrant::Plugin(short(&self.plugin)));
        }
        if let Some(component) = &self.component
            && (!component.ends_with(".wasm")
                || component.starts_with('.')
                || component.contains(['/', '\\']))
        {
            return Err(BadGrant::Component(short(component)));
        }
        if let Some(digest) = self.digest.as_ref().filter(|digest| !is_digest(digest)) {
            return Err(BadGrant::Digest(short(digest)));
        }
        self.limits(&Limits::default())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mut value: Value) -> Result<PluginGrant, String> {
        if value.get("plugin").is_none() {
            value["plugin"] = json!("p");
        }
        let grant: PluginGrant = serde_json::from_value(value).map_err(|error| error.to_string())?;
        grant.check().map_err(|error| error.to_string())?;
        Ok(grant)
    }

    fn rule(extra: Value) -> Value {
        let mut rule = json!({"verbs": ["get"], "kinds": ["v1/Pod"], "namespaces": ["a"]});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"rules": [rule]})
    }

    #[test]
    fn a_grant_reads_back_as_it_is_written() {
        let text = json!({
            "plugin": "webapp", "component": "other.wasm", "digest": format!("sha256:{}", "0".repeat(64)),
            "rules": [
                {"verbs": ["*"], "kinds": ["v1/ConfigMap", "apps/v1/*", "*"], "namespaces": ["*"]},
                {"verbs": ["get", "patch"], "kinds": ["v1/Pod"], "subresources": ["", "status", "*"],
                 "namespaces": ["a", "b"], "names": ["x", "system:y"]},
            ],
            "limits": {"memory": "128Mi"}, "allowSharedKind": true,
        });
        let grant = read(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&grant).unwrap(), text);
        assert_eq!(grant.component(), "other.wasm");
        assert_eq!(grant.limits(&Limits::default()).unwrap().memory, 128 << 20);
        assert_eq!(read(json!({})).unwrap().component(), "p.wasm");
    }

    #[test]
    fn a_grant_with_a_mistake_is_refused_with_what_is_wrong() {
        for (text, problem) in [
            (json!({"rulez": []}), "unknown field `rulez`, expected one of `plugin`, `component`"),
            (rule(json!({"namespace": ["a"]})), "unknown field `namespace`"),
            (rule(json!({"verbs": ["delete-collection"]})), "\"delete-collection\" is no verb"),
            (rule(json!({"verbs": []})), "the list is empty"),
            (rule(json!({"kinds": ["Pod"]})), "\"Pod\" names no kinds"),
            (rule(json!({"kinds": ["apps/*/Deployment"]})), "names no kinds"),
            (rule(json!({"kinds": ["*/*"]})), "names no kinds"),
            (rule(json!({"namespaces": []})), "the list is empty"),
            (rule(json!({"namespaces": [""]})), "\"\" is no name"),
            (rule(json!({"namespaces": ["team-*"]})), "\"team-*\" is no name"),
            (rule(json!({"names": ["*"]})), "\"*\" is no name"),
            (rule(json!({"names": [""]})), "\"\" is no name"),
            (rule(json!({"names": []})), "the list is empty"),
            (rule(json!({"subresources": ["status/../x"]})), "is no subresource"),
            (rule(json!({"subresources": ["Status"]})), "is no subresource"),
            (json!({"rules": [{"verbs": ["get"], "kinds": ["v1/Pod"]}]}), "missing field `namespaces`"),
            (json!({"plugin": "Web App"}), "\"Web App\" is no DNS label"),
            (json!({"component": "../x.wasm"}), "\"../x.wasm\" is no file of the plugin folder"),
            (json!({"component": "x"}), "is no file of the plugin folder"),
            (json!({"digest": "sha256:0"}), "digest: \"sha256:0\" is none"),
            (json!({"limits": {"memroy": "1Mi"}}), "memroy"),
        ] {
            let error = read(text.clone()).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
