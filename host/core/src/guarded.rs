//! What no wildcard grants, and no default: with it, a plugin could give itself, or take, everything else.

use crate::Kind;

/// All kinds of these groups.
const GROUPS: [&str; 6] = [
    "rbac.authorization.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "certificates.k8s.io",
    "wheelhouse.dev",
];

/// Subresources of kinds of the core group, which lead into a process, past the API server, or to a token.
const SUBRESOURCES: [(&str, &[&str]); 4] = [
    ("Pod", &["exec", "attach", "portforward", "proxy", "ephemeralcontainers"]),
    ("Node", &["proxy"]),
    ("Service", &["proxy"]),
    ("ServiceAccount", &["token"]),
];

/// Whether a kind, or a subresource of it ("" for the object itself), is granted only by a rule that names
/// it. Of which version it is does not matter.
pub fn guarded(kind: &Kind, subresource: &str) -> bool {
    let group = kind.group();
    if !group.is_empty() {
        return GROUPS.iter().any(|guarded| group.eq_ignore_ascii_case(guarded));
    }
    let of_kind = |name: &&str| kind.kind().eq_ignore_ascii_case(name);
    of_kind(&"Secret")
        || SUBRESOURCES.iter().any(|(name, subresources)| {
            of_kind(name) && subresources.iter().any(|s| subresource.eq_ignore_ascii_case(s))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_everything_else_is_guarded_in_every_version() {
        for (kind, subresource) in [
            ("v1/Secret", ""),
            ("v2/Secret", ""),
            ("v1/Secret", "status"),
            ("rbac.authorization.k8s.io/v1/ClusterRoleBinding", ""),
            ("rbac.authorization.k8s.io/v1beta1/Role", ""),
            ("admissionregistration.k8s.io/v1/MutatingWebhookConfiguration", ""),
            ("apiextensions.k8s.io/v1/CustomResourceDefinition", "status"),
            ("apiregistration.k8s.io/v1/APIService", ""),
            ("certificates.k8s.io/v1/CertificateSigningRequest", "approval"),
            ("wheelhouse.dev/v1alpha1/Plugin", ""),
            ("v1/ServiceAccount", "token"),
            ("v1/Pod", "exec"),
            ("v1/Pod", "ephemeralcontainers"),
            ("v1/Node", "proxy"),
            ("v1/Service", "proxy"),
        ] {
            assert!(guarded(&kind.parse().unwrap(), subresource), "{kind} {subresource}");
        }
    }

    #[test]
    fn everyday_kinds_are_not() {
        for (kind, subresource) in [
            ("v1/ConfigMap", ""),
            ("v1/Pod", ""),
            ("v1/Pod", "log"),
            ("v1/Node", "status"),
            ("apps/v1/Deployment", "scale"),
            ("examples.wheelhouse.dev/v1alpha1/WebApp", ""),
            ("example.com/v1/Secret", ""),
            ("v1/ServiceAccount", ""),
        ] {
            assert!(!guarded(&kind.parse().unwrap(), subresource), "{kind} {subresource}");
        }
    }
}
