//! `wheelhouse inspect`: what a plugin is and needs.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::spec::{IndexSource, Mapping, Owned, Source};
use wheelhouse_core::tick::Tick;
use wheelhouse_core::{Kind, Spec};
use wheelhouse_sandbox::{Inspection, Sandbox};

use crate::cli::{InspectArgs, Output};
use crate::compile;
use crate::directory::config_path;
use crate::inspect_grant;
use crate::print;

/// Describes a component, and prints what it says.
pub(crate) async fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("{file}: cannot be read"))?;
    let config = read_config(&args)?;
    let sandbox = Sandbox::new(compile::sandbox(&args.compile)?)?;
    let compiled = sandbox.compile(Arc::from(bytes)).await.map_err(|error| anyhow!("{file}: {error}"))?;
    let spec =
        compiled.describe(&config, &Limits::default()).await.map_err(|error| anyhow!("{file}: {error}"))?;
    if args.grant {
        let name = args.file.file_name().unwrap_or_default().to_string_lossy();
        let grant = inspect_grant::grant(&spec, &name, compiled.digest());
        return print(&grant.map_err(|error| anyhow!("{file}: {error:#}"))?);
    }
    let report = report(&spec, compiled.inspection(), compiled.digest());
    match args.output {
        Output::Json => print(&format!("{report:#}\n")),
        Output::Text => print(&text(&spec, compiled.inspection(), compiled.digest())),
    }
}

fn read_config(args: &InspectArgs) -> anyhow::Result<String> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
    };
    let beside = config_path(&args.file);
    match &args.config {
        Some(path) => read(path),
        None if beside.exists() => read(&beside),
        None => Ok("{}".to_owned()),
    }
}

fn source(source: &Source) -> Value {
    json!({
        "kind": source.kind.as_str(),
        "namespaces": source.namespaces,
        "labelSelector": source.selector.to_string(),
        "fieldSelector": source.field_selector.to_string(),
        "fields": source.fields.to_string(),
        "predicate": source.predicate.to_string(),
    })
}

fn owned(owned: &Owned) -> Value {
    let mut value = source(&owned.source);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("anyOwner".to_owned(), owned.any_owner.into());
    }
    value
}

fn tick(tick: &Tick) -> Value {
    let keys: Vec<String> = tick.keys.iter().map(ToString::to_string).collect();
    json!({"name": tick.name, "everyMs": tick.every.as_millis(), "keys": keys})
}

/// What the host would watch and keep of each kind for this plugin alone.
fn kept(spec: &Spec) -> Vec<(String, String, String)> {
    let of_kind = |kind: Kind| {
        // Whether it has namespaces is for the cluster to say; a plugin that names some takes it to have.
        let scopes: Vec<String> = spec.scopes(&kind, true).iter().map(ToString::to_string).collect();
        (kind.to_string(), scopes.join(" | "), spec.fields(&kind).to_string())
    };
    spec.kinds().into_iter().map(of_kind).collect()
}

fn mapping(mapping: &Mapping) -> String {
    match mapping {
        Mapping::Label(label) => format!("label {label}"),
        Mapping::Annotation(annotation) => format!("annotation {annotation}"),
        Mapping::Field(path) => format!("field {path}"),
        Mapping::Plugin => "the plugin's map()".to_owned(),
    }
}

fn index(source: &IndexSource) -> String {
    match source {
        IndexSource::Field(path) => path.to_string(),
        IndexSource::Plugin => "the plugin's index()".to_owned(),
    }
}

fn report(spec: &Spec, inspection: &Inspection, digest: &str) -> Value {
    let watches = spec.watches.iter().map(|watch| {
        json!({"name": watch.name, "source": source(&watch.source), "mapping": mapping(&watch.mapping)})
    });
    let indexes = spec.indexes.iter().map(|declared| {
        json!({"kind": declared.kind.as_str(), "name": declared.name, "source": index(&declared.source)})
    });
    let permissions = spec.all_permissions().into_iter().map(|permission| {
        let verbs: Vec<&str> = permission.verbs.iter().map(|verb| verb.as_str()).collect();
        json!({"verbs": verbs, "kind": permission.kind.as_str(), "subresource": permission.subresource,
               "namespaces": permission.namespaces})
    });
    json!({
        "name": spec.name,
        "version": spec.version,
        "apiVersion": inspection.api_version,
        "digest": digest,
        "size": inspection.size,
        "reconciles": source(&spec.reconciles),
        "owns": spec.owns.iter().map(owned).collect::<Vec<_>>(),
        "watches": watches.collect::<Vec<_>>(),
        "caches": spec.caches.iter().map(source).collect::<Vec<_>>(),
        "ticks": spec.ticks.iter().map(tick).collect::<Vec<_>>(),
        "keeps": kept(spec)
            .into_iter()
            .map(|(kind, scope, fields)| json!({"kind": kind, "scope": scope, "fields": fields}))
            .collect::<Vec<_>>(),
        "indexes": indexes.collect::<Vec<_>>(),
        "permissions": permissions.collect::<Vec<_>>(),
        "imports": inspection.imports,
        "concurrency": spec.options.concurrency,
        "trackDependencies": spec.options.track_dependencies,
    })
}

fn text(spec: &Spec, inspection: &Inspection, digest: &str) -> String {
    let mut out = String::new();
    let mut row = |title: &str, values: Vec<String>| {
        for (i, value) in values.iter().enumerate() {
            let title = if i == 0 { title } else { "" };
            out.push_str(&format!("{title:<13}{value}\n"));
        }
    };
    let one = |source: &Source| {
        let mut line = source.kind.to_string();
        if !source.namespaces.is_empty() {
            line.push_str(&format!(" in {}", source.namespaces.join(",")));
        }
        if !source.selector.is_empty() {
            line.push_str(&format!(" with {}", source.selector));
        }
        if !source.field_selector.is_empty() {
            line.push_str(&format!(" where {}", source.field_selector));
        }
        if !source.predicate.is_every_change() {
            line.push_str(&format!(" when {}", source.predicate));
        }
        line
    };
    row("name", vec![format!("{} {}", spec.name, spec.version)]);
    row("API version", vec![inspection.api_version.clone()]);
    row("digest", vec![digest.to_owned()]);
    row("size", vec![format!("{} kB", inspection.size.div_ceil(1000))]);
    row("reconciles", vec![one(&spec.reconciles)]);
    let owned = |owned: &Owned| {
        format!("{}{}", one(&owned.source), if owned.any_owner { ", by any owner" } else { "" })
    };
    row("owns", spec.owns.iter().map(owned).collect());
    let watch = |watch: &wheelhouse_core::spec::Watch| {
        format!("{}: {}, by {}", watch.name, one(&watch.source), mapping(&watch.mapping))
    };
    row("watches", spec.watches.iter().map(watch).collect());
    row("caches", spec.caches.iter().map(one).collect());
    let tick = |tick: &Tick| {
        let keys: Vec<String> = tick.keys.iter().map(ToString::to_string).collect();
        format!("{}: every {:?}, {}", tick.name, tick.every, keys.join(", "))
    };
    row("ticks", spec.ticks.iter().map(tick).collect());
    let tracked = spec.options.track_dependencies.then(|| "what each reconcile reads".to_owned());
    row("tracks", tracked.into_iter().collect());
    let kept = kept(spec).into_iter().map(|(kind, scope, fields)| format!("{kind}: {scope}; {fields}"));
    row("keeps", kept.collect());
    let declared = spec.indexes.iter().map(|i| format!("{} of {}: {}", i.name, i.kind, index(&i.source)));
    row("indexes", declared.collect());
    row("permissions", spec.all_permissions().iter().map(ToString::to_string).collect());
    row("imports", inspection.imports.clone());
    out
}
