//! The trait that a plugin implements, and what stands between it and the host.

use std::any::Any;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::bindings::wheelhouse::controller::{config, logging};
use crate::spec::millis;
use crate::{Object, ObjectKey, Result, Spec};

/// A plugin: a struct whose fields are its configuration, and what it does with it.
///
/// The struct is read, by serde, from the JSON object that the plugin's operator wrote (`{}` if
/// there is none), once per instance. The host may drop an instance after any call and make
/// another one for the next, and may run several at once, so a plugin keeps nothing in memory.
pub trait Reconciler: DeserializeOwned + 'static {
    /// What the plugin is, watches and needs. It runs with no authority: it may log, and a call of
    /// anything else ends it.
    fn describe(&self) -> Spec;

    /// Brings the cluster to where this object says it should be. The object may be gone. What has
    /// happened is not told: look.
    ///
    /// # Errors
    /// Whatever kept it from doing so: see [`Error`](crate::Error) for when it is tried again.
    fn reconcile(&self, request: &Request) -> Result<Outcome>;

    /// The objects to reconcile after an event of a [watch](crate::Watch) that leaves it to the
    /// plugin. It may read and count ([`metrics`](crate::metrics)), and may not write.
    fn map(&self, _watch: &str, _event: &Event) -> Vec<ObjectKey> {
        Vec::new()
    }

    /// The values under which an [index](crate::Index::plugin) of the plugin's own finds an object.
    /// They must depend on the object alone: there is no `self`.
    fn index(_name: &str, _object: &Object) -> Vec<String> {
        Vec::new()
    }
}

/// An object to reconcile.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub key: ObjectKey,
    /// In every log line of this call.
    pub reconcile_id: String,
    /// 1, and one more for each failure in a row.
    pub attempt: u32,
    /// When the object was first asked for since its last success (or its last [terminal](crate::Error)
    /// failure). It is the same in all attempts, so it may stand in a status. A requeue is asked for when
    /// it is due.
    pub first_seen: SystemTime,
}

impl Request {
    /// How long ago the object was [first asked for](Self::first_seen).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wheelhouse_sdk::prelude::*;
    /// fn reason(request: &Request) -> &'static str {
    ///     if request.waiting() > Duration::from_secs(600) { "Stuck" } else { "Progressing" }
    /// }
    /// ```
    pub fn waiting(&self) -> Duration {
        // Clocks are set back now and then.
        self.first_seen.elapsed().unwrap_or_default()
    }
}

/// How a reconcile that did not fail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be, as far as was seen.
    Done,
    /// Come back after this time, or earlier if something changes.
    RequeueAfter(Duration),
}

/// A change of an object of a watched kind.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its kind.
    pub kind: String,
    /// Which.
    pub key: ObjectKey,
    /// As it was; `None` if it is new.
    pub old: Option<Object>,
    /// As it is; `None` if it is gone.
    pub new: Option<Object>,
}

impl Event {
    /// The object before and after the change, as far as there is one: what has to be mapped, since
    /// the one that it no longer points to may have to be reconciled, too.
    pub fn states(&self) -> impl Iterator<Item = &Object> {
        self.old.iter().chain(&self.new)
    }
}

/// Makes a component of a [`Reconciler`]: `wheelhouse_sdk::export!(MyPlugin);`, once per crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            type Exported = $crate::plugin::Exported<$plugin>;
            // A component is made for WebAssembly alone; elsewhere the plugin is just checked.
            #[cfg(target_family = "wasm")]
    $crate::bindings::__export_component!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: ::core::marker::PhantomData<Exported> = ::core::marker::PhantomData;
        };
    };
}

/// The border between a [`Reconciler`] and the host. [`export!`](crate::export!) names it.
#[doc(hidden)]
pub struct Exported<R: Reconciler>(std::marker::PhantomData<R>);

thread_local! {
    /// This instance's plugin, with its configuration read. There is one type of it in a component.
    static PLUGIN: OnceCell<Rc<dyn Any>> = const { OnceCell::new() };
}

fn configure<R: Reconciler>(config: &str) -> Result<R, wit::ConfigError> {
    let json = &mut serde_json::Deserializer::from_str(config);
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { format!(".{path}") };
        wit::ConfigError { field, message: error.into_inner().to_string() }
    })
}

fn plugin<R: Reconciler>() -> Result<Rc<R>, wit::ConfigError> {
    if let Some(plugin) = PLUGIN.with(|cell| cell.get().cloned())
        && let Ok(plugin) = plugin.downcast::<R>()
    {
        return Ok(plugin);
    }
    let plugin = Rc::new(configure::<R>(&config::get())?);
    let shared: Rc<dyn Any> = plugin.clone();
    PLUGIN.with(|cell| cell.set(shared).ok());
    Ok(plugin)
}

/// A panic is told before it ends the instance.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("panic");
            let at = panic.location().map(|at| ("location".to_owned(), at.to_string()));
            let fields: Vec<(String, String)> = at.into_iter().collect();
            logging::log(logging::Level::Error, &format!("panic: {message}"), &fields);
        }));
    });
}

impl<R: Reconciler> wit::Guest for Exported<R> {
    fn describe(config: String) -> Result<wit::Spec, wit::ConfigError> {
        report_panics();
        Ok(configure::<R>(&config)?.describe().into_wit())
    }

    fn reconcile(request: wit::Request) -> wit::Outcome {
        report_panics();
        let plugin = match plugin::<R>() {
            Ok(plugin) => plugin,
            Err(wit::ConfigError { field, message }) => {
                return wit::Outcome::Terminal(format!("configuration {field}: {message}"));
            }
        };
        let wit::Request { key, reconcile_id, attempt, first_seen_ms } = request;
        let first_seen = SystemTime::UNIX_EPOCH + Duration::from_millis(first_seen_ms);
        match plugin.reconcile(&Request { key, reconcile_id, attempt, first_seen }) {
            Ok(Outcome::Done) => wit::Outcome::Done,
            Ok(Outcome::RequeueAfter(after)) => wit::Outcome::RequeueAfter(millis(after)),
            Err(error) if error.is_terminal() => wit::Outcome::Terminal(error.to_string()),
            Err(error) => wit::Outcome::Transient(error.to_string()),
        }
    }

    fn map(watch: String, event: wit::Event) -> Vec<ObjectKey> {
        report_panics();
        let wit::Event { kind, key, old, new } = event;
        let event =
            Event { kind, key, old: old.map(Object::from_encoded), new: new.map(Object::from_encoded) };
        match plugin::<R>() {
            Ok(plugin) => plugin.map(&watch, &event),
            Err(wit::ConfigError { field, message }) => {
                crate::error!(field = field, "cannot map an event: the configuration: {message}");
                Vec::new()
            }
        }
    }

    fn index(name: String, object: Vec<u8>) -> Vec<String> {
        report_panics();
        R::index(&name, &Object::from_encoded(object))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plugin {
        #[serde(default)]
        image: Image,
    }

    #[derive(Debug, Default, Deserialize)]
    struct Image {
        tag: String,
    }

    impl Reconciler for Plugin {
        fn describe(&self) -> Spec {
            Spec::new("plugin", &self.image.tag).reconciles("v1/Pod")
        }

        fn reconcile(&self, _: &Request) -> Result<Outcome> {
            Ok(Outcome::Done)
        }
    }

    #[test]
    fn a_plugin_is_its_configuration() {
        let spec = configure::<Plugin>(r#"{"image": {"tag": "1.2"}}"#).unwrap().describe().into_wit();
        assert_eq!((spec.version.as_str(), spec.reconciles.kind.as_str()), ("1.2", "v1/Pod"));
        assert!(configure::<Plugin>("{}").is_ok());
    }

    #[test]
    fn a_bad_configuration_is_told_with_its_field() {
        for (config, field, message) in [
            (r#"{"image": {"tag": 7}}"#, ".image.tag", "invalid type: integer `7`, expected a string"),
            (r#"{"image": {}}"#, ".image", "missing field `tag`"),
            (r#"{"imgae": {}}"#, ".imgae", "unknown field `imgae`"),
            ("[", "", "EOF"),
        ] {
            let error = configure::<Plugin>(config).unwrap_err();
            assert_eq!(error.field, field, "{error:?}");
            assert!(error.message.starts_with(message), "{error:?}");
        }
    }
}
