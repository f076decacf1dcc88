//! What an operator grants: rules, as they stand in a file (or in a resource), and what they let through.
//!
//! A rule grants what it says and nothing besides: a wildcard is one only if the operator wrote it, and
//! what is [`guarded`](crate::guarded::guarded) is in no wildcard.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

pub use crate::pattern::{KindPattern, OrAny, Subresource, Word, quoted};

use crate::Kind;
use crate::guarded::guarded;
use crate::permission::{Access, Permission, Verb};

/// A list that has something in it: one that is empty would grant nothing, which nobody writes a rule for.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::deserialize(deserializer)?;
    if items.is_empty() {
        return Err(D::Error::custom(
            "the list is empty, with which the rule grants nothing: fill it, or drop the rule",
        ));
    }
    Ok(items)
}

/// Verbs × kinds × subresources × namespaces × names: what is in all of them is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// `"*"` is all of them.
    #[serde(deserialize_with = "some")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub verbs: Vec<OrAny<Verb>>,
    /// Of these kinds.
    #[serde(deserialize_with = "some")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub kinds: Vec<KindPattern>,
    /// The object itself if left out; `""` is the object itself among others, and `"*"` is every
    /// subresource, but not the object itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "some")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub subresources: Vec<OrAny<Subresource>>,
    /// `"*"` is every namespace, and cluster-scoped objects.
    #[serde(deserialize_with = "some")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub namespaces: Vec<OrAny<Word>>,
    /// Any if left out. With names, the rule grants nothing where the name is not known beforehand: no
    /// create with `generateName`, and no list or watch but with a field selector that requires
    /// `metadata.name` to be one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "some")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub names: Vec<Word>,
}

/// Which of a permission's namespaces a rule grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// All, and cluster-scoped objects.
    All,
    These(Vec<String>),
}

impl Namespaces {
    pub(crate) fn have(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.iter().any(|this| this == namespace),
        }
    }
}

/// A declared permission, as far as a rule grants it.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    verbs: Vec<Verb>,
    kind: Kind,
    subresource: String,
    namespaces: Namespaces,
    /// Any if empty.
    names: Vec<Word>,
}

impl Allowed {
    pub(crate) fn allows(&self, access: &Access<'_>) -> bool {
        self.is_for(access.verb, access.kind)
            && self.subresource == access.subresource
            && self.namespaces.have(access.namespace)
            && (self.names.is_empty() || self.names.iter().any(|name| name.0 == access.name))
    }

    /// Of the objects themselves, or a subresource, whichever they are.
    pub(crate) fn is_for(&self, verb: Verb, kind: &Kind) -> bool {
        self.kind == *kind && self.verbs.contains(&verb)
    }

    pub(crate) fn is_of_objects(&self) -> bool {
        self.subresource.is_empty()
    }
}

impl Rule {
    /// That grants a permission, and nothing besides. None if it has words that no rule may have.
    pub fn of(permission: &Permission) -> Option<Self> {
        let words = |words: &[String]| -> Option<Vec<OrAny<Word>>> {
            words.iter().map(|word| word.parse().ok().map(OrAny::This)).collect()
        };
        let subresource = permission.subresource.parse().ok()?;
        Some(Self {
            verbs: permission.verbs.iter().copied().map(OrAny::This).collect(),
            kinds: vec![KindPattern::This(permission.kind.clone())],
            subresources: match permission.subresource.as_str() {
                "" => Vec::new(),
                _ => vec![OrAny::This(subresource)],
            },
            namespaces: match permission.namespaces.as_slice() {
                [] => vec![OrAny::Any],
                these => words(these)?,
            },
            names: Vec::new(),
        })
    }

    fn has_verb(&self, verb: Verb) -> bool {
        self.verbs.iter().any(|word| matches!(word, OrAny::Any) || *word == OrAny::This(verb))
    }

    /// Whether it names a kind, and not just by a wildcard.
    pub(crate) fn names_kind(&self, kind: &Kind) -> bool {
        self.kinds.iter().any(|pattern| matches!(pattern, KindPattern::This(this) if this == kind))
    }

    fn is_about(&self, kind: &Kind, subresource: &str) -> bool {
        let named = self.names_kind(kind);
        let kind_by_wildcard = self.kinds.iter().any(|pattern| match pattern {
            KindPattern::Any => true,
            KindPattern::Of(version) => version == kind.api_version(),
            KindPattern::This(_) => false,
        });
        let sub_named = match self.subresources.as_slice() {
            [] => subresource.is_empty(),
            words => words.iter().any(|word| matches!(word, OrAny::This(this) if this.0 == subresource)),
        };
        let sub_by_wildcard = !subresource.is_empty() && self.subresources.contains(&OrAny::Any);
        if guarded(kind, subresource) {
            return named && sub_named;
        }
        (named || kind_by_wildcard) && (sub_named || sub_by_wildcard)
    }

    /// What it grants within one namespace; none if that is nothing.
    fn within(&self, namespace: &Word) -> Option<Self> {
        let there = [OrAny::Any, OrAny::This(namespace.clone())];
        let applies = self.namespaces.iter().any(|word| there.contains(word));
        applies.then(|| Self { namespaces: vec![OrAny::This(namespace.clone())], ..self.clone() })
    }

    fn namespaces(&self) -> Namespaces {
        let this = |word: &OrAny<Word>| match word {
            OrAny::Any => None,
            OrAny::This(word) => Some(word.0.clone()),
        };
        self.namespaces.iter().map(this).collect::<Option<_>>().map_or(Namespaces::All, Namespaces::These)
    }

    /// What it grants of a permission, if any.
    fn granted(&self, permission: &Permission) -> Option<Allowed> {
        if !self.is_about(&permission.kind, &permission.subresource) {
            return None;
        }
        let verbs: Vec<Verb> = permission.verbs.iter().copied().filter(|verb| self.has_verb(*verb)).collect();
        let namespaces = match (self.namespaces(), permission.namespaces.as_slice()) {
            (granted, []) => granted,
            (granted, declared) => {
                Namespaces::These(declared.iter().filter(|name| granted.have(name)).cloned().collect())
            }
        };
        if verbs.is_empty() || namespaces == Namespaces::These(Vec::new()) {
            return None;
        }
        Some(Allowed {
            verbs,
            kind: permission.kind.clone(),
            subresource: permission.subresource.clone(),
            namespaces,
            names: self.names.clone(),
        })
    }
}

impl fmt::Display for Rule {
    /// In one line of YAML, as it would stand in a grant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(items: &[T]) -> String {
            let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
            format!("[{}]", items.join(", "))
        }
        write!(f, "{{verbs: {}, kinds: {}", list(&self.verbs), list(&self.kinds))?;
        if !self.subresources.is_empty() {
            write!(f, ", subresources: {}", list(&self.subresources))?;
        }
        write!(f, ", namespaces: {}", list(&self.namespaces))?;
        if !self.names.is_empty() {
            write!(f, ", names: {}", list(&self.names))?;
        }
        f.write_str("}")
    }
}

/// What a plugin is granted: what any of the rules grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    rules: Vec<Rule>,
}

impl Grant {
    /// Of these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whatever is declared, but for what is guarded: for development.
    pub fn all_but_guarded() -> Self {
        let objects_too = Subresource(String::new());
        Self::new(vec![Rule {
            verbs: vec![OrAny::Any],
            kinds: vec![KindPattern::Any],
            subresources: vec![OrAny::This(objects_too), OrAny::Any],
            namespaces: vec![OrAny::Any],
            names: Vec::new(),
        }])
    }

    /// As far as it is about objects in one namespace: nothing else, cluster-scoped objects among it.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        // What is no name has no objects.
        let Ok(namespace) = namespace.parse() else { return Self::nothing() };
        Self::new(self.rules.iter().filter_map(|rule| rule.within(&namespace)).collect())
    }

    /// Just these permissions.
    pub fn of(permissions: &[Permission]) -> Self {
        Self::new(permissions.iter().filter_map(Rule::of).collect())
    }

    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is declared and granted.
    pub(crate) fn of_declared(&self, declared: &[Permission]) -> Vec<Allowed> {
        declared.iter().flat_map(|p| self.rules.iter().filter_map(|rule| rule.granted(p))).collect()
    }

    /// What of a permission is not granted; `name` is the one object that all of it is about, "" for any.
    /// Verbs and namespaces of which a part is missing are all named.
    pub fn lacks(&self, permission: &Permission, name: &str) -> Option<Permission> {
        let granted = self.of_declared(std::slice::from_ref(permission));
        let everywhere = [String::new()];
        let namespaces = match permission.namespaces.as_slice() {
            [] => everywhere.as_slice(),
            these => these,
        };
        let missing = |verb: Verb, namespace: &str| {
            let Permission { kind, subresource, .. } = permission;
            let access = Access { verb, kind, subresource, namespace, name };
            !granted.iter().any(|allowed| allowed.allows(&access))
        };
        let verbs: Vec<Verb> =
            permission.verbs.iter().copied().filter(|v| namespaces.iter().any(|n| missing(*v, n))).collect();
        let lacking =
            permission.namespaces.iter().filter(|n| permission.verbs.iter().any(|v| missing(*v, n)));
        let namespaces = lacking.cloned().collect();
        (!verbs.is_empty()).then(|| Permission { verbs, namespaces, ..permission.clone() })
    }
}
