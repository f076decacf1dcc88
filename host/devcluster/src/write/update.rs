//! Updates: an object is replaced, or the part of it that the subresource covers. Of some kinds they create what is not
//! there.

use super::{ATTEMPTS, Write, Written, create_decoded, try_to_change, warned};
use crate::cluster::Cluster;
use crate::decoding::{self, Source};
use crate::error::ApiError;
use crate::object::{self, Json};

/// Replaces an object. What was sent is read `again` if somebody else writes in between, which is rare: a copy of it would
/// cost each write more.
pub(crate) fn update(
    cluster: &Cluster,
    write: &Write,
    mut json: Json,
    again: impl Fn() -> Result<Json, ApiError>,
) -> Result<Written, ApiError> {
    let warnings = decoding::decode(write, &mut json, Source::Body)?;
    write.check_name(&json)?;
    write.check_identity(&mut json)?;
    // Whichever version it expects, though no subresource is created.
    let creates = write.kind.is_created_by_updates() && write.writer.subresource.is_empty();
    let is_absent = || creates && cluster.store.get(&write.kind.storage, &write.key).is_none();
    let mut sent = Some(json);
    let mut body = || -> Result<Json, ApiError> {
        if let Some(json) = sent.take() {
            return Ok(json);
        }
        let mut json = again()?;
        decoding::decode(write, &mut json, Source::Body)?;
        Ok(json)
    };
    for _ in 0..ATTEMPTS {
        if is_absent() {
            write.check_may_create(cluster)?;
            let mut json = body()?;
            object::edit_meta(&mut json, |meta| drop(meta.remove("resourceVersion")));
            match create_decoded(cluster, write, json, Vec::new()) {
                // Somebody else has made it meanwhile.
                Err(error) if error.reason == "AlreadyExists" => continue,
                result => return warned(result, warnings),
            }
        }
        let changed = try_to_change(cluster, write, |shown| {
            let json = body()?;
            write.check_uid(shown, &json)?;
            Ok((json, Vec::new()))
        });
        match changed {
            // Somebody else has deleted it meanwhile, and may have made it again.
            Err(error) if error.reason == "NotFound" && creates => {}
            result => return warned(result, warnings),
        }
    }
    Err(ApiError::too_many_conflicts(&write.kind, &write.key.name))
}
