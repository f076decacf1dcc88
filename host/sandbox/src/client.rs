//! The import `client`: live reads, and writes. A write needs the whole of a call's authority.

use wheelhouse_core::request::{Change, Consistency, Get, Write};
use wheelhouse_core::{ApiError, Kind, Object};

use crate::bindings::wheelhouse::controller::{client, types};
use crate::convert;
use crate::host::{Authority, InstanceState};

impl InstanceState {
    async fn write(
        &mut self,
        kind: &str,
        make: impl FnOnce(Kind) -> Result<Write, ApiError>,
    ) -> wasmtime::Result<Result<Option<Object>, types::Error>> {
        let cluster = self.cluster(Authority::Full)?;
        let request = self.kind(kind).and_then(make).and_then(|write| self.gate.permit(write));
        Ok(match request {
            Ok(request) => cluster.write(request).await.map_err(convert::error),
            Err(error) => Err(convert::error(error)),
        })
    }

    /// As [`Self::write`], of an object: its key is read from it.
    async fn write_object(
        &mut self,
        kind: &str,
        object: Vec<u8>,
        target: convert::Target,
        change: impl FnOnce(Vec<u8>) -> Change,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let size = self.argument("the object", object.len());
        let written = self.write(kind, |kind| {
            size?;
            target.write_object(kind, object, change)
        });
        Ok(written.await?.map(stored))
    }
}

/// The object that a write other than a deletion returns.
fn stored(object: Option<Object>) -> Vec<u8> {
    object.map(|object| object.as_bytes().to_vec()).unwrap_or_default()
}

impl client::Host for InstanceState {
    async fn get_live(
        &mut self,
        kind: String,
        key: client::ObjectKey,
        subresource: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        let request = self.kind(&kind).and_then(|kind| {
            let (key, consistency) = (convert::possible_key(&kind, key)?, Consistency::default());
            self.gate.permit(Get { kind, key, subresource, consistency })
        });
        Ok(match request {
            Ok(request) => {
                let found = cluster.get_live(request).await;
                self.answer(found)
            }
            Err(error) => Err(convert::error(error)),
        })
    }

    async fn create(
        &mut self,
        kind: String,
        object: Vec<u8>,
        options: client::WriteOptions,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let target = convert::Target::new(options, self.gate.plugin());
        self.write_object(&kind, object, target, Change::Create).await
    }

    async fn update(
        &mut self,
        kind: String,
        object: Vec<u8>,
        options: client::WriteOptions,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let target = convert::Target::new(options, self.gate.plugin());
        self.write_object(&kind, object, target, Change::Update).await
    }

    async fn patch(
        &mut self,
        kind: String,
        key: client::ObjectKey,
        patch_type: client::PatchType,
        patch: Vec<u8>,
        options: client::WriteOptions,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let target = convert::Target::new(options, self.gate.plugin());
        let size = self.argument("the patch", patch.len());
        let written = self.write(&kind, |kind| {
            size?;
            let key = convert::possible_key(&kind, key)?;
            Ok(target.write(kind, key, Change::Patch(convert::patch_type(patch_type), patch)))
        });
        Ok(written.await?.map(stored))
    }

    async fn apply(
        &mut self,
        kind: String,
        object: Vec<u8>,
        options: client::ApplyOptions,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        // Another's name is for the gate to refuse.
        let field_manager = Some(options.field_manager).filter(|manager| !manager.is_empty());
        let force = options.force;
        let target = convert::Target {
            subresource: options.subresource,
            dry_run: options.dry_run,
            field_manager: field_manager.unwrap_or_else(|| self.gate.plugin().to_owned()),
        };
        self.write_object(&kind, object, target, |object| Change::Apply { object, force }).await
    }

    async fn delete(
        &mut self,
        kind: String,
        key: client::ObjectKey,
        options: client::DeleteOptions,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let target = convert::Target {
            subresource: String::new(),
            dry_run: options.dry_run,
            field_manager: self.gate.plugin().to_owned(),
        };
        let change = convert::delete(options);
        let written = self.write(&kind, |kind| {
            let key = convert::possible_key(&kind, key)?;
            Ok(target.write(kind, key, change))
        });
        Ok(written.await?.map(|_| ()))
    }
}
