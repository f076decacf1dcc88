//! `wheelhouse inspect --grant`: a grant that satisfies a plugin, for a human to read and cut down.
//!
//! What a plugin says of itself is printed as text that no reader takes for anything else.

use std::fmt::Write as _;

use anyhow::Context as _;
use wheelhouse_core::Spec;
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::grant::quoted;
use wheelhouse_core::guarded::guarded;

use crate::grants;

/// The YAML.
///
/// # Errors
/// If the plugin declares what cannot be granted.
pub(crate) fn grant(spec: &Spec, file: &str, digest: &str) -> anyhow::Result<String> {
    let text = text(spec, file, digest);
    // With the same code that `run` reads it with.
    grants::documents(&text).context("the plugin declares what no grant can say")?;
    Ok(text)
}

/// Permissions that differ in their kinds alone.
struct Group {
    verbs: Vec<Verb>,
    subresource: String,
    namespaces: Vec<String>,
    guarded: bool,
    kinds: Vec<String>,
}

fn text(spec: &Spec, file: &str, digest: &str) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line(format!(
        "# What {} {} asks for. Read it, and cut it down to what you want it to do.",
        spec.name,
        quoted_always(&spec.version)
    ));
    line(format!("plugin: {}", quoted(&spec.name)));
    if file != format!("{}.wasm", spec.name) {
        line(format!("component: {}", quoted(file)));
    }
    line("# Uncomment to grant it to this very content of the file only.".to_owned());
    line(format!("# digest: {digest}"));
    let groups = groups(spec);
    if groups.iter().all(|group| group.guarded) {
        line("rules: []".to_owned());
    } else {
        line("rules:".to_owned());
    }
    for group in groups.iter().filter(|group| !group.guarded) {
        rule(group).into_iter().for_each(&mut line);
    }
    if groups.iter().any(|group| group.guarded) {
        line(
            "# These lead to everything else: with them, a plugin can read credentials, or give itself any"
                .to_owned(),
        );
        line(
            "# permission that there is. Uncomment one after thinking about who wrote the plugin.".to_owned(),
        );
        if groups.iter().all(|group| group.guarded) {
            line("# (And take the [] after rules away.)".to_owned());
        }
    }
    for group in groups.iter().filter(|group| group.guarded) {
        rule(group).into_iter().map(|text| format!("# {text}")).for_each(&mut line);
    }
    out
}

fn quoted_always(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list<T: AsRef<str>>(words: &[T]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(", "))
}

fn rule(group: &Group) -> Vec<String> {
    let verbs: Vec<&str> = group.verbs.iter().map(|verb| verb.as_str()).collect();
    let mut lines = vec![format!("- verbs: {}", list(&verbs)), format!("  kinds: {}", list(&group.kinds))];
    if !group.subresource.is_empty() {
        lines.push(format!("  subresources: {}", list(&[&group.subresource])));
    }
    let all = group.namespaces.is_empty() || group.namespaces.iter().any(|namespace| namespace == "*");
    lines.push(match group.namespaces.as_slice() {
        _ if all => "  namespaces: [\"*\"] # It asks for all of them, and cluster-scoped objects; name some if that will do.".to_owned(),
        these => format!("  namespaces: {}", list(these)),
    });
    lines
}

/// What is asked of one kind, subresource and namespaces is one; and kinds of which the same is asked.
fn groups(spec: &Spec) -> Vec<Group> {
    let mut merged: Vec<Permission> = Vec::new();
    for permission in spec.all_permissions() {
        let same = |other: &&mut Permission| {
            (&other.kind, &other.subresource, &other.namespaces)
                == (&permission.kind, &permission.subresource, &permission.namespaces)
        };
        match merged.iter_mut().find(same) {
            Some(other) => other.verbs.extend(permission.verbs),
            None => merged.push(permission),
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for Permission { mut verbs, kind, subresource, namespaces } in merged {
        verbs.sort_unstable();
        verbs.dedup();
        let guarded = guarded(&kind, &subresource);
        let same = |other: &&mut Group| {
            (&other.verbs, &other.subresource, &other.namespaces, other.guarded)
                == (&verbs, &subresource, &namespaces, guarded)
        };
        let kind = kind.as_str().to_owned();
        match groups.iter_mut().find(same) {
            Some(other) => other.kinds.push(kind),
            None => groups.push(Group { verbs, subresource, namespaces, guarded, kinds: vec![kind] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::spec::{Options, Owned, Source};
    use wheelhouse_core::{Fields, Grant};

    use super::*;

    fn source(kind: &str, namespaces: &[&str]) -> Source {
        Source {
            kind: kind.parse().unwrap(),
            namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
            selector: Default::default(),
            field_selector: Default::default(),
            fields: Fields::all(),
            predicate: Default::default(),
        }
    }

    fn permission(verbs: &[Verb], kind: &str, subresource: &str, namespaces: &[&str]) -> Permission {
        Permission {
            verbs: verbs.to_vec(),
            kind: kind.parse().unwrap(),
            subresource: subresource.into(),
            namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    fn spec(permissions: Vec<Permission>) -> Spec {
        Spec {
            name: "p".into(),
            version: "1.0".into(),
            reconciles: source("v1/ConfigMap", &[]),
            owns: vec![Owned { source: source("apps/v1/Deployment", &["a", "true"]), any_owner: false }],
            watches: Vec::new(),
            caches: Vec::new(),
            ticks: Vec::new(),
            indexes: Vec::new(),
            permissions,
            options: Options { concurrency: 1, resync: None, timeout: None, track_dependencies: false },
        }
    }

    fn missing(spec: &Spec, text: &str) -> Vec<Permission> {
        let grants = grants::documents(text).unwrap();
        assert_eq!(grants.len(), 1, "{text}");
        let grant: Grant = grants[0].grant();
        spec.all_permissions().iter().filter_map(|permission| grant.lacks(permission, "")).collect()
    }

    #[test]
    fn the_grant_reads_back_and_satisfies_the_plugin_but_for_what_is_commented_out() {
        let spec = spec(vec![
            permission(&[Verb::Patch], "v1/ConfigMap", "", &[]),
            permission(&[Verb::Patch], "v1/ConfigMap", "status", &[]),
            permission(&[Verb::Get], "v1/Secret", "", &["a"]),
        ]);
        let text = grant(&spec, "p.wasm", "sha256:0").unwrap();
        assert_eq!(missing(&spec, &text), [permission(&[Verb::Get], "v1/Secret", "", &["a"])], "{text}");
        let lines: Vec<&str> = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.starts_with("- ") || rest.starts_with("  "))
                    .unwrap_or(line)
            })
            .collect();
        let uncommented = lines.join("\n");
        assert_eq!(missing(&spec, &uncommented), [], "{uncommented}");
        assert!(text.contains("namespaces: [a, \"true\"]"), "{text}");
        assert!(!text.contains("component:"), "{text}");
        assert!(grant(&spec, "other.wasm", "sha256:0").unwrap().contains("\ncomponent: other.wasm\n"));
    }

    #[test]
    fn hostile_what_a_plugin_says_of_itself_adds_no_line_to_its_grant() {
        let mut spec = spec(Vec::new());
        spec.version = "1\nrules: [{verbs: ['*'], kinds: ['*'], namespaces: ['*']}]\u{1b}[2J".into();
        let text = grant(&spec, "p.wasm", "sha256:0").unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("rules:")).count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(missing(&spec, &text), []);
        for namespaces in [&["a]\nrules: []"][..], &["*"], &[""]] {
            spec.permissions = vec![permission(&[Verb::Get], "v1/Pod", "", namespaces)];
            let result = grant(&spec, "p.wasm", "sha256:0");
            match namespaces {
                // It asks for all, and says so in an odd way.
                ["*"] => assert!(missing(&spec, &result.unwrap()).is_empty()),
                _ => assert!(result.is_err(), "{result:?}"),
            }
        }
    }
}
