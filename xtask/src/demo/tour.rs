//! The steps of the tour, one function each: what a newcomer types, and what must come of it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::demo::admin::Plugin;
use crate::demo::host::{GRACE, Host};
use crate::demo::kubectl::{self, Kubectl};
use crate::demo::screen::Screen;
use crate::demo::seen::{annotation, short, so, text, unexpected};
use crate::demo::{Folder, poll};
use crate::guest;
use crate::setup::Toolchain;
use crate::workspace::Workspace;

/// How long anything may take to happen. Most of it takes milliseconds, and a plugin's compilation
/// a few seconds; the rest is for machines that are busy.
const LIMIT: Duration = Duration::from_secs(120);

/// The same, for kubectl's own waiting.
const TIMEOUT: &str = "--timeout=120s";

const CRD: &str = "examples/webapp/manifests/crd.yaml";
const WEBAPP: &str = "examples/webapp/manifests/webapp.yaml";
const NODES: &str = "xtask/demo/nodes.yaml";
const BINDING: &str = "xtask/demo/binding.json";

const CHILDREN: &str = "deployment,service,configmap";
const OF_WEBAPP: &str = "--selector=app.kubernetes.io/managed-by=webapp";
const CONFIG_HASH: &str = "examples.wheelhouse.dev/config-hash";
const BUILT_BY: &str = "examples.wheelhouse.dev/built-by";
const ERRORS: &str = "controller_runtime_reconcile_errors_total";

/// What the rebuilt webapp writes; the example says how.
const BANNER: &str = "webapp, rebuilt while the host ran";

pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// Returns what was seen, in a few words.
    pub(crate) run: fn(&mut Tour<'_>) -> Result<String>,
}

/// The last two take everything down.
pub(crate) const STEPS: [Step; 11] = [
    Step { title: "The host and its API server are up", run: is_up },
    Step { title: "A plugin that waits for its kind gets it", run: gets_its_kind },
    Step { title: "A WebApp is created and gets its children", run: gets_children },
    Step { title: "Its status says that it is ready", run: is_ready },
    Step { title: "A child that is deleted comes back", run: child_comes_back },
    Step { title: "A new config makes a rolling restart", run: restarts },
    Step { title: "A Pod moves to a Node and is counted there", run: is_counted },
    Step { title: "A rebuilt plugin replaces the running one", run: is_replaced },
    Step { title: "A broken plugin disturbs nobody", run: broken_plugin },
    Step { title: "The WebApp is deleted and cleaned up after", run: is_cleaned_up },
    Step { title: "The host ends on Ctrl-C", run: ends },
];

pub(crate) struct Tour<'a> {
    workspace: &'a Workspace,
    toolchain: &'a Toolchain,
    pub(crate) screen: &'a Screen,
    pub(crate) folder: &'a Folder,
    kubectl: Kubectl,
    pub(crate) host: Host,
    /// The plugins in the folder.
    plugins: Vec<String>,
}

impl<'a> Tour<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        toolchain: &'a Toolchain,
        screen: &'a Screen,
        folder: &'a Folder,
        kubectl: Kubectl,
        host: Host,
        plugins: Vec<String>,
    ) -> Self {
        Self { workspace, toolchain, screen, folder, kubectl, host, plugins }
    }

    /// Runs kubectl as the reader would, and shows both sides of it.
    fn type_in(&self, args: &[&str]) -> Result<String> {
        self.screen.command(&kubectl::typed(args));
        let said = self.kubectl.run(args)?;
        self.screen.output(&said.all());
        if said.ok {
            return Ok(said.stdout);
        }
        Err(unexpected(&format!("`{}` succeeds", kubectl::typed(args)), &said.all()))
    }

    /// Asks until it is so. What `ask` returns as its error is what was seen instead.
    fn until<T>(&self, expected: &str, mut ask: impl FnMut() -> Result<T, String>) -> Result<T> {
        let answer = poll::until(LIMIT, || match (ask(), self.host.ended()) {
            (Ok(answer), _) => Ok(Ok(answer)),
            // It will not get better.
            (Err(seen), Ok(Some(_))) => Ok(Err(seen)),
            (Err(seen), _) => Err(format!("{seen}\n(for {} s)", LIMIT.as_secs())),
        });
        answer.and_then(|answer| answer).map_err(|seen| unexpected(expected, &seen))
    }

    fn plugin(&self, name: &str) -> Result<Plugin, String> {
        let mut plugins = self.host.admin().plugins().map_err(|error| format!("{error:#}"))?;
        plugins.remove(name).ok_or_else(|| format!("/plugins has no {name}.wasm"))
    }

    /// Waits until a plugin is in a phase.
    fn plugin_is(&self, name: &str, phase: &str) -> Result<Plugin> {
        self.until(&format!("/plugins says that {name} is {phase}"), || {
            let plugin = self.plugin(name)?;
            so(plugin.phase == phase, || format!("{plugin:?}"))?;
            Ok(plugin)
        })
    }

    /// Shows what /plugins says, in short.
    fn show_plugins(&self) -> Result<()> {
        self.screen.question(&format!("GET {}", self.host.admin().url("/plugins")));
        for (name, plugin) in self.host.admin().plugins()? {
            let about = match plugin.revision {
                0 => String::new(),
                revision => format!("revision {revision}  {}", short(&plugin.digest)),
            };
            self.screen.output(&format!("{name:<14}{:<10}{about}", plugin.phase));
            if let Some(error) = &plugin.error {
                self.screen.prose(error);
            }
        }
        Ok(())
    }

    /// Shows the last line of the host's log with this text, from there on and without its fields.
    fn show_log(&self, text: &str) {
        let log = self.host.log();
        let line = log.lines().rev().find_map(|line| Some((line, line.find(text)?)));
        if let Some(said) = line.and_then(|(line, at)| line.get(at..)) {
            let fields = [" plugin=", " kind=", " file="].iter().filter_map(|field| said.find(field)).min();
            self.screen.aside("host", said.get(..fields.unwrap_or(said.len())).unwrap_or(said));
        }
    }
}

fn is_up(tour: &mut Tour<'_>) -> Result<String> {
    tour.until("the API server's /readyz says ok", || {
        let said = tour.kubectl.run(&["get", "--raw", "/readyz"]).map_err(|error| format!("{error:#}"))?;
        so(said.ok && said.stdout.trim() == "ok", || said.all())
    })?;
    tour.type_in(&["get", "--raw", "/readyz"])?;
    let admin = tour.host.admin();
    tour.screen.question(&format!("GET {}   (plugins are compiled meanwhile)", admin.url("/readyz")));
    let ready = tour.until("the host's /readyz answers 200", || {
        admin.get("/readyz").map_err(|error| format!("{error:#}"))
    })?;
    tour.screen.output(&ready);
    tour.show_plugins()?;
    let known = admin.plugins()?;
    for name in &tour.plugins {
        let wanted = if name == "webapp" { "waiting" } else { "running" };
        let phase = known.get(name).map_or("not there", |plugin| plugin.phase.as_str());
        if phase != wanted {
            return Err(unexpected(&format!("/plugins says that {name} is {wanted}"), phase));
        }
    }
    Ok(format!("{} of {} plugins run, webapp waits", known.len() - 1, known.len()))
}

fn gets_its_kind(tour: &mut Tour<'_>) -> Result<String> {
    tour.type_in(&["apply", "-f", CRD])?;
    tour.type_in(&["wait", "--for=condition=Established", "-f", CRD, TIMEOUT])?;
    let plugin = tour.plugin_is("webapp", "running")?;
    tour.show_plugins()?;
    Ok(format!("webapp runs, {}", short(&plugin.digest)))
}

fn gets_children(tour: &mut Tour<'_>) -> Result<String> {
    tour.type_in(&["apply", "-f", WEBAPP])?;
    let app = tour.kubectl.get(&["webapp", "hello"]).map_err(|seen| unexpected("the WebApp", &seen))?;
    let owner = json!(["WebApp", "hello", text(&app, "/metadata/uid"), true]);
    for child in ["deployment/hello", "service/hello", "configmap/hello-config"] {
        tour.until(&format!("{child}, controlled by {owner}"), || {
            let child = tour.kubectl.get(&[child])?;
            let owners = child.pointer("/metadata/ownerReferences").cloned().unwrap_or_default();
            let seen = owners.get(0).map(|owner| {
                json!([owner.get("kind"), owner.get("name"), owner.get("uid"), owner.get("controller")])
            });
            so(seen.as_ref() == Some(&owner), || format!("ownerReferences: {owners}"))
        })?;
    }
    tour.type_in(&["get", CHILDREN, OF_WEBAPP])?;
    let owners = "jsonpath={range .metadata.ownerReferences[*]}{.kind} {.name}, {.uid}{end}";
    tour.type_in(&["get", "service", "hello", "-o", owners])?;
    Ok("Deployment, Service and ConfigMap, owned".to_owned())
}

fn is_ready(tour: &mut Tour<'_>) -> Result<String> {
    tour.type_in(&["wait", "--for=condition=Ready", "webapp/hello", TIMEOUT])?;
    let seen = tour.until("Ready is True, of the WebApp's own generation", || {
        let app = tour.kubectl.get(&["webapp", "hello"])?;
        let conditions = app.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == "Ready");
        let ready = ready.ok_or_else(|| format!("status: {}", text(&app, "/status")))?;
        let generation = text(&app, "/metadata/generation");
        let observed = [text(ready, "/observedGeneration"), text(&app, "/status/observedGeneration")];
        so(text(ready, "/status") == "True" && observed.iter().all(|seen| *seen == generation), || {
            format!("generation {generation}, status: {}", text(&app, "/status"))
        })?;
        Ok(format!("Ready=True, observedGeneration {generation} of {generation}"))
    })?;
    tour.type_in(&["get", "webapp", "hello"])?;
    let observed = "jsonpath=of generation {.status.observedGeneration}: {.status.conditions[0].message}";
    tour.type_in(&["get", "webapp", "hello", "-o", observed])?;
    Ok(seen)
}

fn child_comes_back(tour: &mut Tour<'_>) -> Result<String> {
    let uid = || tour.kubectl.get(&["service", "hello"]).map(|service| text(&service, "/metadata/uid"));
    let old = uid().map_err(|seen| unexpected("a Service", &seen))?;
    let get = ["get", "service", "hello", "-o", "custom-columns=NAME:.metadata.name,UID:.metadata.uid"];
    tour.type_in(&get)?;
    tour.type_in(&["delete", "service", "hello", TIMEOUT])?;
    let new = tour.until(&format!("a Service `hello` with another UID than {old}"), || {
        let uid = uid()?;
        so(uid != old, || format!("uid: {uid}"))?;
        Ok(uid)
    })?;
    tour.type_in(&get)?;
    Ok(format!("UID {} became {}", short(&old), short(&new)))
}

fn restarts(tour: &mut Tour<'_>) -> Result<String> {
    const ROLLED_OUT: &str = "the Deployment's status is of its generation";
    let hash = || -> Result<_, String> {
        let deployment = tour.kubectl.get(&["deployment", "hello"])?;
        let hash = annotation(&deployment, "/spec/template/metadata", CONFIG_HASH);
        so(!hash.is_empty(), || format!("metadata: {}", text(&deployment, "/spec/template/metadata")))?;
        Ok((hash, deployment))
    };
    let (old, _) = hash().map_err(|seen| unexpected("a config hash on the Pod template", &seen))?;
    let patch = r#"{"spec":{"configFiles":{"motd.txt":"Fair winds.\n"}}}"#;
    tour.type_in(&["patch", "webapp", "hello", "--type=merge", "-p", patch])?;
    let new = tour.until(&format!("a {CONFIG_HASH} on the Pod template other than {old}"), || {
        let (hash, _) = hash()?;
        so(hash != old, || format!("the same {hash}"))?;
        Ok(hash)
    })?;
    tour.until("the ConfigMap has the new text", || {
        let config = tour.kubectl.get(&["configmap", "hello-config"])?;
        so(text(&config, "/data/motd.txt") == "Fair winds.\n", || format!("data: {}", text(&config, "/data")))
    })?;
    tour.until(ROLLED_OUT, || {
        let (_, deployment) = hash()?;
        let [generation, observed] =
            ["/metadata/generation", "/status/observedGeneration"].map(|at| text(&deployment, at));
        so(generation == observed, || {
            format!("generation {generation}, status: {}", text(&deployment, "/status"))
        })
    })?;
    let template = "jsonpath={.spec.template.metadata.annotations}";
    tour.type_in(&["get", "deployment", "hello", "-o", template])?;
    tour.type_in(&["rollout", "status", "deployment/hello", TIMEOUT])?;
    Ok(format!("config hash {} became {}", short(&old), short(&new)))
}

fn is_counted(tour: &mut Tour<'_>) -> Result<String> {
    let counted = |pods: &str, running: &str| {
        let seen = tour.until(&format!("the census counts {pods} Pods, {running} of them running"), || {
            let census = tour.kubectl.get(&["configmap", "node-census-harbour"])?;
            let seen = (text(&census, "/data/pods"), text(&census, "/data/running"));
            so(seen == (pods.to_owned(), running.to_owned()), || format!("data: {}", text(&census, "/data")))
        });
        seen.and_then(|()| {
            tour.type_in(&["get", "configmap", "node-census-harbour", "-o", "jsonpath={.data}"])
        })
    };
    tour.type_in(&["apply", "-f", NODES])?;
    tour.type_in(&["get", "pods", "-o", "wide"])?;
    counted("1", "0")?;
    // What a scheduler does.
    let binding = "/api/v1/namespaces/default/pods/adrift/binding";
    tour.type_in(&["create", "--raw", binding, "-f", BINDING])?;
    counted("2", "0")?;
    // What a kubelet does.
    let running = r#"{"status":{"phase":"Running"}}"#;
    tour.type_in(&["patch", "pod", "adrift", "--subresource=status", "-p", running])?;
    counted("2", "1")?;
    tour.type_in(&["get", "pods", "-o", "wide"])?;
    Ok("1 Pod, then 2, then 1 of 2 running".to_owned())
}

fn is_replaced(tour: &mut Tour<'_>) -> Result<String> {
    let admin = tour.host.admin();
    let errors = admin.sum(ERRORS)?;
    let old = tour.plugin_is("webapp", "running")?;
    let plugins = tour.folder.plugins();
    tour.screen.command(&format!(
        "WEBAPP_BANNER={} cargo xtask build-plugins webapp --out {}",
        kubectl::quoted(BANNER),
        kubectl::quoted(&tour.kubectl.shown(&plugins)),
    ));
    let build = guest::Build {
        names: vec!["webapp".to_owned()],
        out: Some(plugins),
        env: vec![("WEBAPP_BANNER".to_owned(), BANNER.to_owned())],
        ..guest::Build::default()
    };
    guest::build(tour.workspace, tour.toolchain, &build)?;
    let built = Instant::now();
    let revision = old.revision + 1;
    let new =
        tour.until(&format!("/plugins has webapp's revision {revision}, with another digest"), || {
            let new = tour.plugin("webapp")?;
            let switched = new.phase == "running" && new.revision == revision && new.digest != old.digest;
            so(switched, || format!("{new:?}"))?;
            Ok(new)
        })?;
    let switched = built.elapsed();
    tour.until(&format!("the Deployment is annotated with {BUILT_BY}: {BANNER}"), || {
        let deployment = tour.kubectl.get(&["deployment", "hello"])?;
        let seen = annotation(&deployment, "/metadata", BUILT_BY);
        so(seen == BANNER, || format!("{BUILT_BY}: {seen}"))
    })?;
    tour.show_log("replaced in");
    tour.show_plugins()?;
    tour.type_in(&["get", "deployment", "hello", "-o", "jsonpath={.metadata.annotations}"])?;
    // That of the child that was started: a host that came back would have another.
    if let Some(status) = tour.host.ended()? {
        return Err(unexpected("the host runs on", &format!("it has ended ({status})")));
    }
    let more = admin.sum(ERRORS)? - errors;
    tour.screen.question(&format!("GET {}", admin.url("/metrics")));
    tour.screen.output(&format!("{ERRORS}: {more} more"));
    tour.screen.output(&format!("host process: {}, as before", tour.host.pid()));
    if more != 0.0 {
        return Err(unexpected("no reconcile fails", &format!("{more} more in {ERRORS}")));
    }
    Ok(format!("revision {} after {:.1} s, no errors", new.revision, switched.as_secs_f64()))
}

fn broken_plugin(tour: &mut Tour<'_>) -> Result<String> {
    let others = tour.host.admin().plugins()?;
    let whole = tour.folder.plugins().join("webapp.wasm");
    let broken = tour.folder.plugins().join("broken.wasm");
    let [whole_shown, broken_shown] =
        [&whole, &broken].map(|path| kubectl::quoted(&tour.kubectl.shown(path)));
    tour.screen.command(&format!("head -c 4096 {whole_shown} > {broken_shown}"));
    let mut bytes = fs::read(&whole).with_context(|| format!("cannot read {}", whole.display()))?;
    bytes.truncate(4096);
    fs::write(&broken, bytes).with_context(|| format!("cannot write {}", broken.display()))?;
    let failed = tour.plugin_is("broken", "failed")?;
    let error = failed.error.unwrap_or_default();
    if error.is_empty() || error.lines().count() != 1 {
        return Err(unexpected("one line that says what is wrong with broken.wasm", &error));
    }
    tour.show_plugins()?;

    let replicas = r#"{"spec":{"replicas":3}}"#;
    tour.type_in(&["patch", "webapp", "hello", "--type=merge", "-p", replicas])?;
    tour.until("the Deployment has 3 replicas", || {
        let deployment = tour.kubectl.get(&["deployment", "hello"])?;
        let seen = text(&deployment, "/spec/replicas");
        so(seen == "3", || format!("replicas: {seen}"))
    })?;
    tour.type_in(&["get", "deployment", "hello"])?;

    tour.screen.command(&format!("rm {broken_shown}"));
    fs::remove_file(&broken).with_context(|| format!("cannot remove {}", broken.display()))?;
    tour.until("/plugins is as it was before", || {
        let seen = tour.host.admin().plugins().map_err(|error| format!("{error:#}"))?;
        so(seen == others, || format!("{seen:?}"))
    })?;
    Ok("reported as failed; the others run on".to_owned())
}

fn is_cleaned_up(tour: &mut Tour<'_>) -> Result<String> {
    tour.type_in(&["delete", "webapp", "hello", TIMEOUT])?;
    tour.show_log("everything of default/hello is taken down");
    tour.until("the WebApp and all its children are gone", || {
        let apps = tour.kubectl.get(&["webapp"])?;
        let children = tour.kubectl.get(&[CHILDREN, OF_WEBAPP])?;
        let left = [&apps, &children].map(|list| {
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            items
                .map(|item| format!("{} {}", text(item, "/kind"), text(item, "/metadata/name")))
                .collect::<Vec<_>>()
        });
        so(left.iter().all(Vec::is_empty), || format!("still there: {}", left.concat().join(", ")))
    })?;
    tour.type_in(&["get", "webapps"])?;
    tour.type_in(&["get", CHILDREN, OF_WEBAPP])?;
    Ok("nothing is left of it".to_owned())
}

fn ends(tour: &mut Tour<'_>) -> Result<String> {
    tour.screen.command(&format!("kill -INT {}", tour.host.pid()));
    let asked = Instant::now();
    tour.host.interrupt()?;
    let expected = format!("the host ends with exit status 0 within its {} s of grace", GRACE.as_secs());
    let status = poll::until(GRACE, || match tour.host.ended() {
        Ok(None) => Err("it still runs".to_owned()),
        Ok(Some(status)) => Ok(status),
        Err(error) => Err(format!("{error:#}")),
    });
    let status = status.map_err(|seen| unexpected(&expected, &seen))?;
    if status.code() != Some(0) {
        return Err(unexpected(&expected, &status.to_string()));
    }
    let last = tour.host.log();
    tour.screen.aside("host", last.lines().last().unwrap_or_default());
    Ok(format!("exit status 0, after {:.1} s", asked.elapsed().as_secs_f64()))
}
