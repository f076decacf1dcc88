//! JSON patches (RFC 6902), within bounds: so many operations, so much copied, a result so deep.
//!
//! The first two bounds are kube-apiserver's; see [`depth`] for the last one.

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation,
};
use serde_json::Value;

use crate::error::ApiError;
use crate::{delete, depth};

const MOST_OPERATIONS: usize = 10_000;
/// How many bytes all copies of a patch may make together.
const MOST_COPIED: usize = 3 * 1024 * 1024;
/// How deep a value may seem to be while it is patched.
const DEEPEST_BETWEEN: usize = 10 * depth::MOST;

/// The operations of a JSON patch, as they were sent: what is wrong with one is told once it is its turn.
#[derive(Debug)]
pub(crate) struct Operations(Vec<Sent>);

/// What a client said of one operation.
#[derive(Debug, Default)]
struct Sent {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Value,
}

impl Operations {
    pub(crate) fn parse(body: Value) -> Result<Self, ApiError> {
        let sent = match body {
            Value::Null => Vec::new(),
            Value::Array(sent) => sent,
            other => return Err(undecoded(&other, "value of type []handlers.jsonPatchOp")),
        };
        match sent.len() {
            count if count > MOST_OPERATIONS => Err(ApiError::too_large(&format!(
                "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}"
            ))),
            _ => Ok(Self(sent.into_iter().map(Sent::parse).collect::<Result<_, _>>()?)),
        }
    }

    /// Changes a value as the operations say.
    pub(crate) fn apply(&self, value: &mut Value) -> Result<(), ApiError> {
        let mut copied = 0_usize;
        // As deep as the value may be by now.
        let mut deepest = depth::of(value);
        for sent in &self.0 {
            let operation = sent.operation(value).ok_or_else(ApiError::unprocessable)?;
            if let PatchOperation::Copy(copy) = &operation {
                let source = copy.from.resolve(value).map_err(|_| ApiError::unprocessable())?;
                let size = serde_json::to_vec(source).map_or(0, |bytes| bytes.len());
                copied = copied.saturating_add(size);
                if copied > MOST_COPIED {
                    return Err(ApiError::unprocessable());
                }
                deepest = deepest.max(below(&copy.path, depth::of(source)));
            }
            if is_passed(&operation, value) {
                continue;
            }
            json_patch::patch(value, std::slice::from_ref(&operation))
                .map_err(|_| ApiError::unprocessable())?;
            deepest = deepest.max(reach(&operation, deepest));
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

impl Sent {
    fn parse(sent: Value) -> Result<Self, ApiError> {
        let mut sent = match sent {
            Value::Null => return Ok(Self::default()),
            Value::Object(sent) => sent,
            other => return Err(undecoded(&other, "value of type handlers.jsonPatchOp")),
        };
        let mut text = |field: &str| match sent.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(undecoded(&other, &format!("struct field jsonPatchOp.{field} of type string")))
            }
        };
        let (op, from, path) = (text("op")?.unwrap_or_default(), text("from")?, text("path")?);
        Ok(Self { op, path, from, value: sent.remove("value").unwrap_or_default() })
    }

    /// What is to be done with a value as it is by now; `None` for what cannot be.
    fn operation(&self, current: &Value) -> Option<PatchOperation> {
        let adds = matches!(self.op.as_str(), "add" | "copy" | "move");
        let path = counted(&pointer(self.path.as_deref()?)?, current, adds);
        let (value, from) =
            (self.value.clone(), || Some(counted(&pointer(self.from.as_deref()?)?, current, false)));
        Some(match self.op.as_str() {
            "add" if path.is_root() => return None,
            "add" => PatchOperation::Add(AddOperation { path, value }),
            // What a map does not have yet is added.
            "replace" if is_missing_member(&path, current) => {
                PatchOperation::Add(AddOperation { path, value })
            }
            "replace" => PatchOperation::Replace(ReplaceOperation { path, value }),
            "remove" => PatchOperation::Remove(RemoveOperation { path }),
            "move" => PatchOperation::Move(MoveOperation { from: from()?, path }),
            // What a map does not have is nothing, of which there can be another.
            "copy" if is_missing_member(&from()?, current) => {
                PatchOperation::Add(AddOperation { path, value: Value::Null })
            }
            "copy" => PatchOperation::Copy(CopyOperation { from: from()?, path }),
            "test" => PatchOperation::Test(TestOperation { path, value }),
            _ => return None,
        })
    }
}

/// A path begins at its first slash, as in the real server.
fn pointer(path: &str) -> Option<PointerBuf> {
    let start = if path.is_empty() { 0 } else { path.find('/')? };
    PointerBuf::parse(path.get(start..)?).ok()
}

/// A path in which indices are written as usual: they may have signs and zeros before them, and count from the end if they
/// are less than 0. What is `added` to a list may stand after its last item.
fn counted(path: &PointerBuf, root: &Value, adds: bool) -> PointerBuf {
    let (mut counted, mut current) = (PointerBuf::new(), Some(root));
    let last = path.tokens().count().saturating_sub(1);
    for (place, token) in path.tokens().enumerate() {
        let name = token.decoded();
        let index = current.and_then(Value::as_array).and_then(|items| {
            let room = i64::try_from(items.len()).ok()?.saturating_add(i64::from(adds && place == last));
            let index = name.parse::<i64>().ok()?;
            usize::try_from(if index < 0 { index.checked_add(room)? } else { index }).ok()
        });
        match index {
            Some(index) => {
                counted.push_back(index);
                current = current.and_then(|items| items.get(index));
            }
            None => {
                current = current.and_then(|map| map.get(&*name));
                counted.push_back(token);
            }
        }
    }
    counted
}

fn is_missing_member(path: &PointerBuf, current: &Value) -> bool {
    let parent = path.parent().and_then(|parent| parent.resolve(current).ok());
    parent.is_some_and(Value::is_object) && path.resolve(current).is_err()
}

fn undecoded(found: &Value, expected: &str) -> ApiError {
    let found = delete::json_type(found);
    ApiError::bad_request(format!("error decoding patch: json: cannot unmarshal {found} into Go {expected}"))
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
