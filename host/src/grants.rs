//! What the operator grants: from a file or a folder, followed while it changes.
//!
//! Like the plugin folder, it is looked at a few times a second, by content; what two looks in a row saw
//! the same counts. What cannot be read changes nothing: the last good grants stay, and the log says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use tokio::sync::watch;
use wheelhouse_core::Grant;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::plugin_grant::PluginGrant;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// More than any grants have; a larger file is another one by mistake.
const MAX_BYTES: u64 = 4 << 20;

/// What a plugin gets that no grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Nothing: `run`.
    Nothing,
    /// What it declares, but for what is guarded: `dev`.
    Declared,
}

/// All grants, as of a look.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    otherwise: Otherwise,
    /// Where they are from.
    path: Option<PathBuf>,
    /// By the name of the component's file.
    by_file: BTreeMap<String, PluginGrant>,
}

/// What one file may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) grant: Grant,
    pub(crate) limits: Limits,
    /// Whether the operator wrote them, for just this file.
    pub(crate) written: bool,
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Grants {
    /// Reads them, and follows them from then on.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    pub(crate) async fn follow(
        path: Option<&Path>,
        otherwise: Otherwise,
    ) -> anyhow::Result<watch::Receiver<Arc<Self>>> {
        let grants = move |path: Option<PathBuf>, by_file| Arc::new(Self { otherwise, path, by_file });
        let Some(path) = path else {
            return Ok(watch::channel(grants(None, BTreeMap::new())).1);
        };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let texts = read(&path).await.with_context(|| format!("--grants {}", path.display()))?;
        let by_file = parse(&texts).context("--grants")?;
        let names: Vec<&str> = by_file.values().map(|grant| grant.plugin.as_str()).collect();
        tracing::info!(path = %path.display(), plugins = names.join(", "), "grants are read from here");
        let (sender, receiver) = watch::channel(grants(Some(path.clone()), by_file));
        tokio::spawn(async move {
            let mut changes = Changes::new(texts);
            let mut timer = tokio::time::interval(LOOK);
            while !sender.is_closed() {
                timer.tick().await;
                let Some(texts) = changes.look(read(&path).await) else { continue };
                match texts.and_then(|texts| parse(&texts)) {
                    Ok(by_file) => {
                        tracing::info!(path = %path.display(), "the grants have changed");
                        sender.send_replace(grants(Some(path.clone()), by_file));
                    }
                    Err(error) => {
                        tracing::error!(path = %path.display(), "the grants cannot be used, and stay as they were: {error:#}");
                    }
                }
            }
        });
        Ok(receiver)
    }

    /// What a component with this digest may do.
    ///
    /// # Errors
    /// If its grant is for another content of the file.
    pub(crate) fn terms(&self, file: &Path, digest: &str, host: &Limits) -> Result<Terms, String> {
        let Some(granted) = self.by_file.get(&file_name(file)) else {
            return Ok(Terms { grant: self.otherwise(), limits: host.clone(), written: false });
        };
        if let Some(expected) = granted.digest.as_ref().filter(|expected| *expected != digest) {
            return Err(format!(
                "its grant is for the component {expected}, and this one is {digest}; look at what has changed, and grant it anew"
            ));
        }
        let limits = granted.limits(host).map_err(|error| format!("its grant's limits: {error}"))?;
        Ok(Terms { grant: granted.grant(), limits, written: true })
    }

    /// Whether another plugin may reconcile what a file's reconciles.
    pub(crate) fn shares_kind(&self, file: &Path) -> bool {
        self.by_file.get(&file_name(file)).is_some_and(|granted| granted.allow_shared_kind)
    }

    /// Whether a file's plugin may call itself that: it is the field manager of all that it writes.
    ///
    /// # Errors
    /// Which name it must have, or whose name it is.
    pub(crate) fn check_name(&self, file: &Path, name: &str) -> Result<(), String> {
        let file = file_name(file);
        if let Some(granted) = self.by_file.get(&file) {
            if granted.plugin == name {
                return Ok(());
            }
            return Err(format!(
                "its grant is for a plugin named {}, and this one calls itself {name}; a plugin may not take another's name",
                granted.plugin
            ));
        }
        self.check_free(name)
    }

    /// Whether the plugin of a resource may call itself that.
    ///
    /// # Errors
    /// Whose name it is.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), String> {
        match self.by_file.values().find(|granted| granted.plugin == name) {
            Some(granted) => Err(format!(
                "it calls itself {name}, which is the plugin that {} has the grant for; a plugin may not take another's name",
                granted.component()
            )),
            None => Ok(()),
        }
    }

    /// What a plugin gets that no grant is for.
    pub(crate) fn otherwise(&self) -> Grant {
        match self.otherwise {
            Otherwise::Nothing => Grant::nothing(),
            Otherwise::Declared => Grant::all_but_guarded(),
        }
    }

    /// How to grant a file what it lacks.
    pub(crate) fn advice(&self, file: &Path) -> String {
        let name = file_name(file);
        match &self.path {
            Some(path) if self.by_file.contains_key(&name) => {
                format!("add them to its grant in {}, if it is to have them", path.display())
            }
            path => {
                let folder = path.as_ref().filter(|path| path.is_dir());
                let folder = folder.map_or_else(|| "grants".to_owned(), |path| path.display().to_string());
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                let then = match path {
                    Some(_) => "",
                    None => " and start the host with --grants",
                };
                format!(
                    "there is no grant for {name}: read what `wheelhouse inspect {} --grant > {folder}/{stem}.yaml` prints, cut it down,{then}",
                    file.display()
                )
                .trim_end_matches(',')
                .to_owned()
            }
        }
    }
}

/// The files of a path, by name.
type Texts = BTreeMap<PathBuf, String>;

/// What looks have seen.
struct Changes {
    /// What counts.
    told: Result<Texts, String>,
    /// At the last look.
    seen: Result<Texts, String>,
}

impl Changes {
    fn new(texts: Texts) -> Self {
        Self { told: Ok(texts.clone()), seen: Ok(texts) }
    }

    /// What is new, if it has come to rest.
    fn look(&mut self, now: anyhow::Result<Texts>) -> Option<anyhow::Result<Texts>> {
        let now = now.map_err(|error| format!("{error:#}"));
        let settled = self.seen == now;
        self.seen.clone_from(&now);
        if !settled || self.told == now {
            return None;
        }
        self.told.clone_from(&now);
        Some(now.map_err(|error| anyhow!(error)))
    }
}

/// A file, or all `*.yaml` of a folder that are not hidden.
async fn read(path: &Path) -> anyhow::Result<Texts> {
    let mut texts = Texts::new();
    if tokio::fs::metadata(path).await?.is_dir() {
        let mut entries = tokio::fs::read_dir(path).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            {
                let text = read_file(&path).await?;
                texts.insert(path, text);
            }
        }
    } else {
        texts.insert(path.to_owned(), read_file(path).await?);
    }
    Ok(texts)
}

async fn read_file(path: &Path) -> anyhow::Result<String> {
    let named = || path.display().to_string();
    let size = tokio::fs::metadata(path).await.with_context(named)?.len();
    if size > MAX_BYTES {
        bail!("{}: {size} bytes are more than grants have", path.display());
    }
    tokio::fs::read_to_string(path).await.with_context(named)
}

fn parse(texts: &Texts) -> anyhow::Result<BTreeMap<String, PluginGrant>> {
    let mut by_file: BTreeMap<String, PluginGrant> = BTreeMap::new();
    for (path, text) in texts {
        for grant in documents(text).with_context(|| path.display().to_string())? {
            let (component, plugin) = (grant.component(), grant.plugin.clone());
            if let Some(other) = by_file.insert(component.clone(), grant) {
                bail!(
                    "{}: there are two grants for {component}, of the plugins {} and {plugin}; leave one",
                    path.display(),
                    other.plugin
                );
            }
        }
    }
    Ok(by_file)
}

/// The grants of a YAML text; documents without any content are none.
pub(crate) fn documents(text: &str) -> anyhow::Result<Vec<PluginGrant>> {
    // YAML 1.2: `y` and `on` are text, and only `true` and `false` are booleans.
    let options = serde_saphyr::options! { strict_booleans: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)?;
    let mut grants = Vec::new();
    for (i, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
        let name = document.get("plugin").and_then(Value::as_str).map(ToOwned::to_owned);
        let which = || match &name {
            Some(name) => format!("the grant of {name:?}"),
            None => format!("document {}", i + 1),
        };
        let grant: PluginGrant = serde_path_to_error::deserialize(document).with_context(which)?;
        grant.check().with_context(which)?;
        grants.push(grant);
    }
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
plugin: one
rules:
- {verbs: [get], kinds: [v1/Pod], namespaces: ['*']}
---
# nothing
---
plugin: two
component: other.wasm
digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
";

    fn grants(text: &str, otherwise: Otherwise) -> Grants {
        let texts = Texts::from([(PathBuf::from("g.yaml"), text.to_owned())]);
        Grants { otherwise, path: Some("g.yaml".into()), by_file: parse(&texts).unwrap() }
    }

    fn problem(text: &str) -> String {
        let texts = Texts::from([(PathBuf::from("g.yaml"), text.to_owned())]);
        format!("{:#}", parse(&texts).unwrap_err())
    }

    #[test]
    fn a_file_has_the_grant_that_names_it_and_another_has_none() {
        let grants = grants(TWO, Otherwise::Nothing);
        let host = Limits::default();
        let terms = |file: &str| grants.terms(Path::new(file), "sha256:1", &host);
        assert_eq!(terms("plugins/one.wasm").unwrap().grant.rules().len(), 1);
        let none = terms("plugins/three.wasm").unwrap();
        assert_eq!((none.grant, none.written), (Grant::nothing(), false));
        assert!(terms("other.wasm").unwrap_err().contains("and this one is sha256:1"));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(grants.terms(Path::new("other.wasm"), &digest, &host).is_ok());
        assert_eq!(terms("two.wasm").unwrap().grant, Grant::nothing(), "it is other.wasm's");
    }

    #[test]
    fn hostile_a_plugin_takes_no_name_that_another_has_the_grant_for() {
        let grants = grants(TWO, Otherwise::Declared);
        assert!(grants.check_name(Path::new("one.wasm"), "one").is_ok());
        assert!(grants.check_name(Path::new("other.wasm"), "two").is_ok());
        assert!(grants.check_name(Path::new("free.wasm"), "free").is_ok());
        for (file, name) in [("one.wasm", "two"), ("free.wasm", "one"), ("two.wasm", "two")] {
            let error = grants.check_name(Path::new(file), name).unwrap_err();
            assert!(error.contains("may not take another's name"), "{error}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_file_its_grant_and_its_place() {
        for (text, parts) in [
            ("plugin: [", &["g.yaml"][..]),
            ("plugin: p\nrulez: []", &["g.yaml", "\"p\"", "rulez", "`rules`"]),
            (
                "plugin: p\nrules:\n- {verbs: [get], kinds: [v1/Pod, Pod], namespaces: [a]}",
                &["\"p\"", "rules[0].kinds[1]", "\"Pod\" names no kinds"],
            ),
            ("plugin: p\nrules:\n- {verbs: [get], kinds: [v1/Pod]}", &["rules[0]", "namespaces"]),
            ("rules: []", &["document 1", "plugin"]),
            ("plugin: p\nlimits: {memory: lots}", &["\"p\"", "lots"]),
            ("plugin: p\nplugin: q", &["plugin"]),
            ("plugin: p\n---\nplugin: p", &["two grants for p.wasm"]),
            ("plugin: p\nrules:\n- {verbs: [*], kinds: [v1/Pod], namespaces: [a]}", &["g.yaml"]),
        ] {
            let problem = problem(text);
            assert!(parts.iter().all(|part| problem.contains(part)), "{text}: {problem}");
        }
    }

    #[test]
    fn grants_count_once_they_have_come_to_rest() {
        let texts = |text: &str| Texts::from([(PathBuf::from("g.yaml"), text.to_owned())]);
        let mut changes = Changes::new(texts("a"));
        assert!(changes.look(Ok(texts("a"))).is_none());
        assert!(changes.look(Ok(texts("half"))).is_none());
        assert!(changes.look(Ok(texts("whole"))).is_none());
        assert_eq!(changes.look(Ok(texts("whole"))).unwrap().unwrap(), texts("whole"));
        assert!(changes.look(Ok(texts("whole"))).is_none());
        // Gone for a while: that is told once.
        assert!(changes.look(Err(anyhow!("gone"))).is_none());
        assert!(changes.look(Err(anyhow!("gone"))).unwrap().is_err());
        assert!(changes.look(Err(anyhow!("gone"))).is_none());
    }
}
