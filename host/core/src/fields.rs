//! Which fields of a kind's objects are read: what a cache keeps of them, and what a reader gets.
//!
//! `apiVersion`, `kind` and `metadata` always are; what is declared are paths outside of them. A set of
//! paths is a tree, so that sets are united and compared whatever paths they were written as, and an
//! object is projected in one pass.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::encoding::{EncodeOptions, Object};
use crate::path::{FieldPath, Step};

/// All fields, or some. The default is all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Option<Arc<Tree>>);

/// What is kept of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// All of it; then there is nothing below.
    whole: bool,
    fields: BTreeMap<String, Tree>,
    each: Option<Box<Tree>>,
}

/// The fields that every object keeps.
pub(crate) const ALWAYS: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Tree {
    fn insert(&mut self, steps: &[Step]) {
        if self.whole {
            return;
        }
        match steps.split_first() {
            None => *self = Self { whole: true, ..Self::default() },
            Some((Step::Field(name), rest)) => self.fields.entry(name.clone()).or_default().insert(rest),
            Some((Step::Each, rest)) => self.each.get_or_insert_default().insert(rest),
        }
    }

    fn unite(&mut self, other: &Self) {
        if self.whole || other.whole {
            *self = Self { whole: true, ..Self::default() };
            return;
        }
        for (name, below) in &other.fields {
            self.fields.entry(name.clone()).or_default().unite(below);
        }
        if let Some(each) = &other.each {
            self.each.get_or_insert_default().unite(each);
        }
    }

    fn covers(&self, other: &Self) -> bool {
        let below = |name, of: &Self| self.fields.get(name).is_some_and(|tree| tree.covers(of));
        self.whole
            || (!other.whole
                && other.fields.iter().all(|(name, of)| below(name, of))
                && other
                    .each
                    .as_ref()
                    .is_none_or(|of| self.each.as_ref().is_some_and(|each| each.covers(of))))
    }

    /// What is kept of a field; none of it if there is no tree.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        if self.whole { Some(self) } else { self.fields.get(name) }
    }

    /// What is kept of an array's items; the array itself goes if there is no tree.
    pub(crate) fn each(&self) -> Option<&Self> {
        if self.whole { Some(self) } else { self.each.as_deref() }
    }

    pub(crate) fn whole(&self) -> bool {
        self.whole
    }

    fn write(&self, prefix: &str, out: &mut Vec<String>) {
        if self.whole {
            out.push(prefix.to_owned());
        }
        for (name, below) in &self.fields {
            below.write(&format!("{prefix}{}", Step::Field(name.clone())), out);
        }
        if let Some(each) = &self.each {
            each.write(&format!("{prefix}{}", Step::Each), out);
        }
    }
}

impl Fields {
    /// Every field.
    pub fn all() -> Self {
        Self(None)
    }

    /// What is at these paths, and below them. Without paths: metadata alone.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a FieldPath>) -> Self {
        let mut tree = Tree::default();
        for path in paths {
            let always =
                matches!(path.steps().first(), Some(Step::Field(name)) if ALWAYS.contains(&name.as_str()));
            if !always {
                tree.insert(path.steps());
            }
        }
        Self(Some(Arc::new(tree)))
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether nothing but `apiVersion`, `kind` and `metadata` is kept.
    pub fn is_metadata(&self) -> bool {
        self.0.as_ref().is_some_and(|tree| **tree == Tree::default())
    }

    /// What either has.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) if !one.covers(other) => {
                let mut tree = Tree::clone(one);
                tree.unite(other);
                Self(Some(Arc::new(tree)))
            }
            (Some(_), Some(_)) => self.clone(),
            _ => Self::all(),
        }
    }

    /// Whether whatever the other has is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(this), Some(other)) => Arc::ptr_eq(this, other) || this.covers(other),
        }
    }

    /// An object with these fields alone; the same object if that is all of them. A value of another
    /// shape than a path says (a text where the path goes deeper) reads as null.
    pub fn project(&self, object: &Object) -> Object {
        if self.is_all() {
            return object.clone();
        }
        let options = EncodeOptions { fields: self.clone(), ..EncodeOptions::verbatim() };
        // What was encoded once is again, being smaller. If not, better nothing than too much.
        object.encode_again(&options).unwrap_or_else(|_| Object::from_bytes([]))
    }

    pub(crate) fn tree(&self) -> Option<&Tree> {
        self.0.as_deref()
    }
}

impl fmt::Display for Fields {
    /// `all fields`, `metadata`, or the paths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("all fields"),
            Some(tree) => {
                let mut paths = vec!["metadata".to_owned()];
                tree.write("", &mut paths);
                f.write_str(&paths.join(", "))
            }
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(paths: &[&str]) -> Fields {
        let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
        Fields::of(&paths)
    }

    fn projected(paths: &[&str]) -> Value {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "x", "image": "i", "ports": [1, 2]}, {"name": "y"}, 7]},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        });
        fields(paths).project(&Object::from_value(&pod).unwrap()).value().to_value()
    }

    fn with(more: Value) -> Value {
        let mut pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "web"}}});
        pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod
    }

    #[test]
    fn an_object_keeps_its_metadata_and_what_is_at_and_below_the_paths() {
        assert_eq!(projected(&[]), with(json!({})));
        assert_eq!(projected(&[".metadata.labels"]), with(json!({})));
        assert_eq!(projected(&[".spec.nodeName", ".none"]), with(json!({"spec": {"nodeName": "n1"}})));
        assert_eq!(
            projected(&[".spec.containers[*].image", ".status"]),
            with(
                json!({"spec": {"containers": [{"image": "i"}, {}, null]}, "status": {"phase": "Running", "podIP": "10.0.0.1"}})
            )
        );
        assert_eq!(
            projected(&[".spec.containers[*].ports[*]"]),
            with(json!({"spec": {"containers": [{"ports": [1, 2]}, {}, null]}}))
        );
        assert_eq!(projected(&[".status.phase.deeper"]), with(json!({"status": {"phase": null}})));
        assert_eq!(projected(&[".spec.containers.name"]), with(json!({"spec": {"containers": null}})));
    }

    #[test]
    fn a_set_covers_what_is_at_and_below_its_paths() {
        for (wide, narrow) in [
            (&[".spec"][..], &[".spec.nodeName", ".spec.containers[*].image"][..]),
            (&[".spec.containers[*]"], &[".spec.containers[*].image"]),
            (&[".spec.containers[*].image", ".status"], &[".status.phase"]),
            (&[".spec"], &[]),
        ] {
            let (wide, narrow) = (fields(wide), fields(narrow));
            assert!(wide.covers(&narrow) && !narrow.covers(&wide), "{wide} {narrow}");
            assert_eq!(wide.union(&narrow), wide);
            assert_eq!(narrow.union(&wide), wide);
            assert!(Fields::all().covers(&wide) && !wide.covers(&Fields::all()));
            assert!(wide.union(&Fields::all()).is_all() && Fields::all().union(&wide).is_all());
        }
        assert_eq!(fields(&[".a.b"]).union(&fields(&[".a.c"])), fields(&[".a.b", ".a.c"]));
        assert!(fields(&[".metadata.name"]).is_metadata() && !fields(&[".spec"]).is_metadata());
    }

    #[test]
    fn a_set_prints_its_paths() {
        assert_eq!(fields(&["a['b/c'][*].d", ".e"]).to_string(), "metadata, .a['b/c'][*].d, .e");
        assert_eq!(Fields::all().to_string(), "all fields");
    }
}
