//! Bad manners with writes.

use wheelhouse_sdk::bindings::wheelhouse::controller::client as raw;
use wheelhouse_sdk::prelude::*;

use crate::{CONFIG_MAP, answered};

/// The attack of this name, if there is one; what it was answered.
pub(crate) fn attack(name: &str, key: &ObjectKey) -> Option<Result<Outcome>> {
    let object = serde_json::json!({"metadata": {"name": "x", "namespace": "default"}});
    Some(match name {
        "write" => answered(client::create(CONFIG_MAP, &object).send()),
        "write-loop" => loop {
            drop(client::create(CONFIG_MAP, &object).send());
        },
        "write-deep" => deep(key),
        "delete-late" => {
            let late = client::delete(CONFIG_MAP, key).grace_period_seconds(u32::MAX);
            answered(late.send())
        }
        _ => return None,
    })
}

/// Objects and patches that are nested as deep as fits in an argument; what each was answered.
fn deep(key: &ObjectKey) -> Result<Outcome> {
    let levels = 1 << 20;
    let nested = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let object = format!(r#"{{"metadata":{{"name":"x","namespace":"default"}},"data":{nested}}}"#);
    let owners = format!(r#"{{"metadata":{{"ownerReferences":{nested}}}}}"#);
    let operations = format!(r#"[{{"op":"add","path":"/data","value":{nested}}}]"#);
    let plain = || raw::WriteOptions { subresource: String::new(), dry_run: false };
    let applied = raw::ApplyOptions {
        subresource: String::new(),
        dry_run: false,
        force: false,
        field_manager: String::new(),
    };
    let patch = |patch_type, patch: &str| raw::patch(CONFIG_MAP, key, patch_type, patch.as_bytes(), &plain());
    let answers = [
        raw::create(CONFIG_MAP, object.as_bytes(), &plain()),
        raw::apply(CONFIG_MAP, object.as_bytes(), &applied),
        patch(raw::PatchType::Merge, &owners),
        patch(raw::PatchType::Strategic, &owners),
        patch(raw::PatchType::Json, &operations),
    ];
    let told = answers.into_iter().map(|answer| match answer {
        Ok(_) => "let through".to_owned(),
        Err(error) => ApiError::from(error).to_string(),
    });
    Err(Error::terminal(told.collect::<Vec<_>>().join(" | ")))
}
