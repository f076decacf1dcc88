//! `wheelhouse push`: a plugin's way into a registry.

use anyhow::{Context as _, anyhow};
use serde_json::json;
use wheelhouse_artifacts::{Credentials, Reference};

use crate::cli::{Output, PushArgs};
use crate::print;
use crate::transfer;

/// Checks that a file is a plugin, pushes it, and prints what it is there.
pub(crate) async fn push(args: PushArgs) -> anyhow::Result<()> {
    let file = args.file.display();
    let reference: Reference = args.reference.parse()?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("{file}: cannot be read"))?;
    let plugin = wheelhouse_sandbox::inspect(&bytes).map_err(|error| anyhow!("{file}: {error}"))?;
    let size = bytes.len();
    eprintln!("{file} is a plugin for API version {}, {}", plugin.api_version, transfer::size(size as u64));
    let credentials = Credentials::of_this_user()?;
    let pushed = transfer::client()?.push(&reference, bytes.into(), &credentials).await;
    transfer::clear();
    let pushed = pushed?;
    let pinned = reference.pinned(pushed.manifest);
    match args.format {
        Output::Text => print(&format!("pushed {pinned}, component {}\n", pushed.component)),
        Output::Json => {
            let report = json!({
                "reference": pinned.to_string(),
                "manifest": pushed.manifest.to_string(),
                "digest": pushed.component.to_string(),
                "size": size,
                "apiVersion": plugin.api_version,
            });
            print(&format!("{report:#}\n"))
        }
    }
}
