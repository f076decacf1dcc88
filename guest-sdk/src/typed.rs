//! Kinds as Rust types: those of `k8s-openapi`, and those that `kube`'s `CustomResource` derives.
//!
//! A typed object costs a parse of the whole and brings its type's code into the component. Read in
//! place ([`objects`]) where a few fields are all that is needed. What [`Source::with_fields`] leaves out
//! is missing here, too: an empty value or an error, as the type has it.
//!
//! [`Source::with_fields`]: crate::Source::with_fields

use std::marker::PhantomData;

use kube::core::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{self, Apply, Write};
use crate::objects::{self, Items, List};
use crate::{Error, ObjectKey, Result};

/// A type's kind, as the SDK names kinds: `apps/v1/Deployment`.
pub fn kind<K: Resource<DynamicType = ()>>() -> String {
    format!("{}/{}", K::api_version(&()), K::kind(&()))
}

/// An object's key.
pub fn key<K: Resource>(object: &K) -> ObjectKey {
    let meta = object.meta();
    ObjectKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// As [`objects::get`].
///
/// # Errors
/// As there; terminal if the object is not of this type.
pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(key: &ObjectKey) -> Result<Option<K>> {
    Ok(objects::get(&kind::<K>(), key)?.map(|object| object.to()).transpose()?)
}

/// As [`objects::list`]; `query` says which: `typed::list(|pods| pods.in_namespace("default"))`.
pub fn list<K: Resource<DynamicType = ()> + DeserializeOwned>(
    query: impl FnOnce(List) -> List,
) -> TypedItems<K> {
    TypedItems { items: query(objects::list(&kind::<K>())).into_iter(), kind: PhantomData }
}

/// As [`client::create`].
pub fn create<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Write<'static> {
    client::create(kind::<K>(), object)
}

/// As [`client::update`].
pub fn update<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Write<'static> {
    client::update(kind::<K>(), object)
}

/// As [`client::apply`].
pub fn apply<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Apply<'static> {
    client::apply(kind::<K>(), object)
}

/// The objects of a [`list`]. As with [`Items`], it goes on after an object that the host cannot make
/// sense of, and after one that is not of this type.
#[derive(Debug)]
pub struct TypedItems<K> {
    items: Items,
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned> Iterator for TypedItems<K> {
    type Item = Result<K>;

    fn next(&mut self) -> Option<Result<K>> {
        let object = self.items.next()?;
        Some(object.map_err(Error::from).and_then(|object| Ok(object.to()?)))
    }
}
