//! What a list or a count asks for, as far as it decides what is found.

use wheelhouse_core::request::List;
use wheelhouse_core::spec::{FieldIndex, IndexSource, OWNER_INDEX};
use wheelhouse_core::{FieldPath, FieldSelector, Key, LabelSelector, Object};

/// See the module. It has no page: a change before a page's begin moves what is in the page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    /// "" for all.
    pub(crate) namespace: String,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    /// The values that must be at these paths.
    pub(crate) matches: Vec<(FieldPath, String)>,
}

impl Query {
    /// What is asked for, by a plugin with these indexes. A match on an index by the plugin's own function
    /// is left out, which finds more: to ask the plugin at each change would cost a call, and an answer that
    /// fails to come would hide the change.
    pub(crate) fn of(list: &List, indexes: &[FieldIndex]) -> Self {
        let path = |name: &str| -> Option<FieldPath> {
            let declared = indexes.iter().find(|index| index.kind == list.kind && index.name == name);
            match declared.map(|index| &index.source) {
                Some(IndexSource::Field(path)) => Some(path.clone()),
                None if name == OWNER_INDEX => "metadata.ownerReferences[*].uid".parse().ok(),
                _ => None,
            }
        };
        let matches = list.matches.iter().filter_map(|m| Some((path(&m.index)?, m.value.clone())));
        Self {
            namespace: list.namespace.clone(),
            labels: list.selector.clone(),
            fields: list.field_selector.clone(),
            matches: matches.collect(),
        }
    }

    /// All in the same namespace; of one name, if it asks for one: it may be permitted no other.
    pub(crate) fn widened(self) -> Self {
        let name = self.fields.required_name().filter(|name| Key::is_name(name));
        let fields = name.and_then(|name| format!("metadata.name={name}").parse().ok());
        Self { fields: fields.unwrap_or_default(), namespace: self.namespace, ..Self::default() }
    }

    /// Whether it may find the object of a key, as far as the key tells.
    pub(crate) fn may_find(&self, key: &Key) -> bool {
        self.has_namespace(&key.namespace) && self.fields.may_have(key)
    }

    /// How long its texts are.
    pub(crate) fn bytes(&self) -> usize {
        let matches = self.matches.iter().map(|(path, value)| path.to_string().len() + value.len());
        let texts = [self.labels.to_string(), self.fields.to_string()];
        self.namespace.len() + texts.iter().map(String::len).chain(matches).sum::<usize>()
    }

    /// Whether objects of a namespace can be among what it finds.
    fn has_namespace(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace == namespace
    }

    /// A field of which it asks for one value, and the value, by which to find it again: the most telling
    /// one.
    pub(crate) fn bucket(&self) -> (Option<FieldPath>, &str) {
        if let Some((path, value)) = self.matches.first() {
            return (Some(path.clone()), value);
        }
        // An absent field has no value to be found by.
        let mut fields = self.fields.requirements().iter();
        if let Some(required) = fields.find(|required| required.equal && !required.is_of_absent_fields()) {
            return (Some(required.path.clone()), &required.value);
        }
        match self.labels.equalities().next() {
            Some((label, value)) => (Some(FieldPath::of_label(label)), value),
            None => (None, ""),
        }
    }

    /// Whether it finds an object.
    pub(crate) fn finds(&self, object: &Object) -> bool {
        let value = object.value();
        self.has_namespace(object.namespace())
            && self.labels.matches(value)
            && self.fields.matches(value)
            && self.matches.iter().all(|(path, wanted)| path.texts(value).iter().any(|text| text == wanted))
    }
}
