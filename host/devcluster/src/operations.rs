//! JSON patches (RFC 6902), within bounds: so many operations, so much copied, a result so deep.
//!
//! The first two bounds are kube-apiserver's; see [`depth`] for the last one.

use json_patch::PatchOperation;
use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

use crate::depth;
use crate::error::ApiError;

const MOST_OPERATIONS: usize = 10_000;
/// How many bytes all copies of a patch may make together.
const MOST_COPIED: usize = 3 * 1024 * 1024;
/// How deep a value may seem to be while it is patched.
const DEEPEST_BETWEEN: usize = 10 * depth::MOST;

/// The operations of a JSON patch.
#[derive(Debug)]
pub(crate) struct Operations(json_patch::Patch);

impl Operations {
    pub(crate) fn parse(body: Value) -> Result<Self, ApiError> {
        let patch: json_patch::Patch = serde_json::from_value(body)
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        match patch.0.len() {
            count if count > MOST_OPERATIONS => Err(ApiError::too_large(&format!(
                "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}"
            ))),
            _ => Ok(Self(patch)),
        }
    }

    /// Changes a value as the operations say.
    pub(crate) fn apply(&self, value: &mut Value) -> Result<(), ApiError> {
        let mut copied = 0_usize;
        // As deep as the value may be by now.
        let mut deepest = depth::of(value);
        for operation in &self.0.0 {
            if let PatchOperation::Copy(copy) = operation {
                let source = copy.from.resolve(value).map_err(|_| ApiError::unprocessable())?;
                let size = serde_json::to_vec(source).map_or(0, |bytes| bytes.len());
                copied = copied.saturating_add(size);
                if copied > MOST_COPIED {
                    return Err(ApiError::unprocessable());
                }
                deepest = deepest.max(below(&copy.path, depth::of(source)));
            }
            if is_passed(operation, value) {
                continue;
            }
            json_patch::patch(value, std::slice::from_ref(operation))
                .map_err(|_| ApiError::unprocessable())?;
            deepest = deepest.max(reach(operation, deepest));
            // To measure takes as long as the value is large, and so is put off for as long as nothing can overflow.
            if deepest > DEEPEST_BETWEEN {
                deepest = measured(value)?;
            }
        }
        if deepest > depth::MOST {
            measured(value)?;
        }
        Ok(())
    }
}

/// What is not there passes a test for null, as in the real server: clients that add the first item of a list make sure
/// of it so.
fn is_passed(operation: &PatchOperation, value: &Value) -> bool {
    match operation {
        PatchOperation::Test(test) => test.value.is_null() && value.pointer(test.path.as_str()).is_none(),
        _ => false,
    }
}

/// How deep a value is, if that is not too deep.
fn measured(value: &Value) -> Result<usize, ApiError> {
    Some(depth::of(value)).filter(|deepest| *deepest <= depth::MOST).ok_or_else(depth::too_deep)
}

/// How deep a value reaches at a path.
fn below(path: &PointerBuf, levels: usize) -> usize {
    levels.saturating_add(path.count())
}

/// How deep the value that an operation puts somewhere may reach, where nothing was deeper than `deepest`. The copies
/// are measured one by one, since they are read in any case.
fn reach(operation: &PatchOperation, deepest: usize) -> usize {
    match operation {
        PatchOperation::Add(add) => below(&add.path, depth::of(&add.value)),
        PatchOperation::Replace(replace) => below(&replace.path, depth::of(&replace.value)),
        PatchOperation::Move(change) => below(&change.path, deepest.saturating_sub(change.from.count())),
        PatchOperation::Copy(_) | PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
    }
}
