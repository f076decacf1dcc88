//! A plugin with all kinds of bad manners, so that tests can see what becomes of them and of its
//! neighbours. `describe` misbehaves as the configuration says, the other functions as the name of
//! the object says that they are called for.

#![allow(clippy::panic, clippy::print_stdout, clippy::disallowed_methods, reason = "it is here to misbehave")]

mod ambient;
mod say;
mod writes;

use serde_json::json;
use wheelhouse_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hostile {
    name: String,
    describe: String,
    kind: String,
    concurrency: u32,
}

impl Default for Hostile {
    fn default() -> Self {
        Self { name: "hostile".into(), describe: String::new(), kind: "v1/ConfigMap".into(), concurrency: 4 }
    }
}

const CONFIG_MAP: &str = "v1/ConfigMap";

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn hoard() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&all);
    }
}

fn recurse(depth: u64) -> u64 {
    std::hint::black_box(if depth == u64::MAX { 0 } else { recurse(depth + 1) + 1 })
}

/// An attack that was answered, and not stopped: the test reads the answer.
fn answered<T>(result: Result<T, ApiError>) -> Result<Outcome> {
    match result {
        Ok(_) => Err(Error::terminal("it was let through")),
        Err(error) => Err(Error::terminal(format!("{error}"))),
    }
}

impl Reconciler for Hostile {
    fn describe(&self) -> Spec {
        match self.describe.as_str() {
            "spin" => spin(),
            "panic" => panic!("describe panics on purpose"),
            "hoard" => hoard(),
            "read" => drop(objects::get(CONFIG_MAP, &ObjectKey::new("default", "x"))),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "record" => events::normal(CONFIG_MAP, &ObjectKey::new("default", "x"), "Why", "Act").record(),
            "count" => metrics::counter("described").add(1.0),
            _ => {}
        }
        let spec = Spec::new(&self.name, env!("CARGO_PKG_VERSION"));
        let pods = Source::of("v1/Pod");
        let spec = match self.describe.as_str() {
            "cache-with-predicate" => spec.caches(pods.when(Predicate::labels_changed())),
            "bad-predicate" => spec.owns(pods.when(Predicate::field_changed("spec..x"))),
            "bad-tick" => {
                spec.ticks("outside", Duration::from_secs(60), [ObjectKey::new("kube-system", "x")])
            }
            "bad-annotation" => spec.watches(Watch::of(pods).by_annotation("")),
            "bad-field" => spec.caches(pods.with_fields(["spec..nodeName"])),
            "bad-field-selector" => spec.caches(pods.where_field("spec.nodeName")),
            "many-fields" => spec.caches(pods.with_fields((0..1000).map(|i| format!("spec.f{i}")))),
            _ => spec,
        };
        spec.reconciles(Source::of(&self.kind).in_namespaces(["default"]))
            .watches(Watch::of(Source::of("v1/Service").in_namespaces(["default"])).named("services"))
            .indexes(Index::plugin(&self.kind, "own"))
            .needs(Permission::to([Verb::Create, Verb::Patch], CONFIG_MAP).in_namespaces(["default"]))
            .needs(Permission::events().in_namespaces(["default"]))
            .concurrency(self.concurrency)
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        match request.key.name.as_str() {
            "spin" => spin(),
            "panic" => panic!("reconcile panics on purpose"),
            "hoard" => hoard(),
            "recurse" => Err(Error::terminal(recurse(0).to_string())),
            "sleep" => {
                std::thread::sleep(Duration::from_secs(3600));
                Ok(Outcome::Done)
            }
            "fails" => Err(Error::from(ApiError::Unavailable("on purpose".into()))),
            "exit" => std::process::exit(0),
            "undeclared-kind" => answered(objects::get("v1/Secret", &ObjectKey::new("default", "x"))),
            "undeclared-live" => answered(client::get_live("v1/Secret", &ObjectKey::new("default", "x"))),
            "undeclared-list" => {
                let mut secrets = objects::list("v1/Secret").in_namespace("default").into_iter();
                answered(secrets.next().unwrap_or_else(|| Err(ApiError::NotFound("no denial".into()))))
            }
            "undeclared-cached" => {
                answered(objects::get_cached("v1/Secret", &ObjectKey::new("default", "x")))
            }
            "undeclared-synced" => answered(objects::synced("v1/Secret")),
            "undeclared-event" => answered(
                events::normal("v1/Secret", &ObjectKey::new("default", "x"), "Why", "Act").try_record(),
            ),
            "undeclared-wait" => answered(objects::wait_synced("v1/Secret", Duration::from_secs(3600))),
            // Of a kind that it may read, it may wait: what is left of the deadline is the bound.
            "wait" => match objects::wait_synced(CONFIG_MAP, Duration::from_secs(3600))? {
                true => Ok(Outcome::Done),
                false => Err(Error::terminal("not synced")),
            },
            "iterate" => {
                let (mut readable, mut unreadable) = (0, 0);
                for object in objects::list(CONFIG_MAP).in_namespace("default") {
                    match object {
                        Ok(_) => readable += 1,
                        Err(ApiError::Unreadable(_)) => unreadable += 1,
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(Error::terminal(format!("{readable} and {unreadable} unreadable")))
            }
            "undeclared-update" => {
                let object = json!({"metadata": {"name": "x", "namespace": "default"}});
                answered(client::update(CONFIG_MAP, &object).send())
            }
            "undeclared-apply" => {
                let object = json!({"metadata": {"name": "x", "namespace": "default"}});
                answered(client::apply("v1/Secret", &object).send())
            }
            "undeclared-verb" => answered(client::delete(CONFIG_MAP, &request.key).send()),
            "undeclared-namespace" => answered(objects::get(CONFIG_MAP, &ObjectKey::new("kube-system", "x"))),
            "undeclared-subresource" => answered(
                client::merge_patch(CONFIG_MAP, &request.key, &json!({})).subresource("status").send(),
            ),
            "all-namespaces" => answered(objects::list(CONFIG_MAP).count()),
            "undeclared-index" => {
                answered(objects::list(CONFIG_MAP).in_namespace("default").matching("none", "x").count())
            }
            "other-object" => {
                let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "default"}});
                answered(client::create(CONFIG_MAP, &object).send())
            }
            "other-namespace-in-object" => {
                let object = json!({"metadata": {"name": "x", "namespace": "kube-system"}});
                answered(client::create(CONFIG_MAP, &object).send())
            }
            "other-manager" => {
                let object = json!({"metadata": {"name": "x", "namespace": "default"}});
                answered(client::apply(CONFIG_MAP, &object).field_manager("kubectl").send())
            }
            "large-argument" => {
                let object = json!({"metadata": {"name": "x", "namespace": "default"}, "data": {"x": "x".repeat(8 << 20)}});
                answered(client::create(CONFIG_MAP, &object).send())
            }
            "bad-kind" => answered(objects::get("no such kind", &request.key)),
            "bad-selector" => {
                answered(objects::list(CONFIG_MAP).in_namespace("default").labelled("a==b==c").count())
            }
            "bad-field-selector" => {
                answered(objects::list(CONFIG_MAP).in_namespace("default").where_field("a=b=c").count())
            }
            "large-field-selector" => {
                let selector = format!("metadata.name={}", "x".repeat(8 << 20));
                answered(objects::list(CONFIG_MAP).in_namespace("default").where_field(selector).count())
            }
            "get" => answered(objects::get(CONFIG_MAP, &request.key)),
            "get-live" => answered(client::get_live(CONFIG_MAP, &request.key)),
            "host-calls" => loop {
                drop(objects::synced(CONFIG_MAP));
            },
            "log-calls" => loop {
                info!("again");
            },
            "wasi-calls" => loop {
                std::hint::black_box(wasip2::clocks::monotonic_clock::now());
            },
            "large-string" => answered(objects::get(&"x".repeat(128 << 20), &request.key)),
            "handles" => {
                // Each is a handle of the host's until it is dropped.
                let all: Vec<_> = (0..100_000)
                    .map(|_| wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX))
                    .collect();
                Err(Error::terminal(format!("{} handles", all.len())))
            }
            flooded if flooded.starts_with("flood-") => {
                std::thread::sleep(Duration::from_millis(2));
                Ok(Outcome::Done)
            }
            "log-flood" => {
                for i in 0..1000 {
                    info!("flood {i}");
                }
                Ok(Outcome::Done)
            }
            "log-large" => {
                let long = "x".repeat(1 << 20);
                info!(a = long, b = long, c = long, "{long}");
                Ok(Outcome::Done)
            }
            "remember" => {
                static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
                let calls = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                Err(Error::terminal(calls.to_string()))
            }
            "grow" => {
                drop(std::hint::black_box(vec![1u8; 8 << 20]));
                Ok(Outcome::Done)
            }
            "requeue-max" => Ok(Outcome::RequeueAfter(Duration::MAX)),
            "forged-error" => {
                Err(Error::terminal(format!("a\u{1b}[31m\nb\u{202e}\u{2028}{}", "x".repeat(1 << 20))))
            }
            "panic-with-contents" => {
                let object = objects::get(CONFIG_MAP, &request.key)?;
                panic!("{:?}", object.map(|object| object.to_json()))
            }
            "ambient" => ambient::attack(),
            "log" => {
                info!(field = "a\u{1b}[31m\nforged", "line one\nline two\u{7}");
                println!("printed");
                Ok(Outcome::Done)
            }
            name => say::attack(name, &request.key)
                .or_else(|| writes::attack(name, &request.key))
                .unwrap_or(Ok(Outcome::Done)),
        }
    }

    fn map(&self, _watch: &str, event: &Event) -> Vec<ObjectKey> {
        match event.key.name.as_str() {
            "spin" => spin(),
            "panic" => panic!("map panics on purpose"),
            "write" => {
                let object = json!({"metadata": {"name": "x", "namespace": "default"}});
                drop(client::create(CONFIG_MAP, &object).send());
                Vec::new()
            }
            "count" => {
                metrics::counter("mapped").add(1.0);
                Vec::new()
            }
            "record" => {
                events::normal(CONFIG_MAP, &event.key, "Why", "Act").record();
                Vec::new()
            }
            "sleep" => {
                std::thread::sleep(Duration::from_secs(3600));
                Vec::new()
            }
            "odd-keys" => ["odd", "", ".", "a/b", "a\nERROR forged", &"x".repeat(300), "\u{e9}"]
                .map(|name| ObjectKey::new("default", name))
                .to_vec(),
            flood if flood.starts_with("flood-") => {
                (0..200).map(|i| ObjectKey::new("default", format!("{flood}-{i}"))).collect()
            }
            name => vec![ObjectKey::new("default", name)],
        }
    }

    fn index(_name: &str, object: &Object) -> Vec<String> {
        match object.name() {
            "index-spin" => spin(),
            "index-panic" => panic!("index panics on purpose"),
            "index-read" => {
                drop(objects::get(CONFIG_MAP, &ObjectKey::new("default", "x")));
                Vec::new()
            }
            "index-flood" => (0..10_000).map(|i| format!("{i:0100}")).collect(),
            "index-count" => {
                metrics::counter("indexed").add(1.0);
                Vec::new()
            }
            name => vec![name.to_owned()],
        }
    }
}

wheelhouse_sdk::export!(Hostile);
