//! Where an object is within its resource, and the order in which a list has objects.

use std::cmp::Ordering;
use std::iter::once;

use crate::object::{self, Json};

/// Where an object is within its resource; the namespace of a cluster-scoped one is "".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn of(json: &Json) -> Self {
        Self::new(object::namespace(json), object::name(json))
    }
}

/// That of paths, in which a slash ends the namespace: `team-a` is before `team`, as the hyphen is before the slash.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        let (own, others) = (self.namespace.bytes(), other.namespace.bytes());
        own.chain(once(b'/')).cmp(others.chain(once(b'/')))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_in_the_order_of_paths_and_names_within_them_in_that_of_texts() {
        let mut keys =
            [("team", "a"), ("team", "a-b"), ("team-a", "z"), ("team0", "a"), ("team", "0"), ("a", "b")]
                .map(|(namespace, name)| Key::new(namespace, name));
        keys.sort();
        let order: Vec<String> = keys.iter().map(|key| format!("{}/{}", key.namespace, key.name)).collect();
        assert_eq!(order, ["a/b", "team-a/z", "team/0", "team/a", "team/a-b", "team0/a"]);
    }
}
