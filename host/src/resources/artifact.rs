//! Fetching a component from a registry or a web server.
//!
//! A plugin of a namespace asks with that namespace's own pull secrets and nobody else's, and not at this machine's
//! own addresses, where others than registries listen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use wheelhouse_artifacts::{
    Client, Credentials, CredentialsError, Error, Fetched, Limits, Location, Resolved,
};
use wheelhouse_cache::Rest;

use super::component::{self, Looked, News, Unfetched, Version, problem};
use super::order::{Key, Pull};
use crate::binary::Binary;
use crate::plugin_id::PluginId;
use crate::preparation::Problem;

/// So many components are fetched at once for plugins of the whole cluster, and as many for those of namespaces: each
/// may be as large as a host loads, and as slow as it may be. One namespace has one of these places at most.
const AT_ONCE: usize = 4;
/// What a Secret of the type kubernetes.io/dockerconfigjson has, and an older one.
const CREDENTIALS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];
/// After a first failure it is tried again so soon, then in twice the time, and so on.
const SOON: Duration = Duration::from_secs(1);
/// But within so long, whatever the server says: as kubelet does.
const LATE: Duration = Duration::from_secs(300);

/// Asks registries and web servers. Clones share connections.
#[derive(Clone)]
pub(super) struct Artifacts {
    rest: Rest,
    /// For plugins of the whole cluster, and for those of namespaces.
    client: Arc<OnceCell<Client>>,
    outside: Arc<OnceCell<Client>>,
    cluster: Arc<Semaphore>,
    namespaced: Arc<Semaphore>,
    /// Of each namespace that fetches just now.
    of_namespace: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
    limits: Limits,
    own: fn() -> Result<Credentials, CredentialsError>,
}

impl Artifacts {
    /// Takes components of so many bytes at most.
    pub(super) fn new(rest: Rest, bytes: usize) -> Self {
        let limits = Limits { bytes: bytes as u64, ..Limits::default() };
        let [cluster, namespaced] = [(); 2].map(|()| Arc::new(Semaphore::new(AT_ONCE)));
        let (client, outside, of_namespace) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            rest,
            client,
            outside,
            cluster,
            namespaced,
            of_namespace,
            limits,
            own: Credentials::of_this_user,
        }
    }

    /// What is there.
    ///
    /// # Errors
    /// Why there is nothing, or nothing that can be fetched.
    pub(super) async fn look(
        &self,
        id: &PluginId,
        location: &Location,
        pull: &Pull,
        seen: Option<&Resolved>,
    ) -> Result<News, Unfetched> {
        let kept = |problem| Unfetched { problem, out_of_reach: true, retry_after: None };
        let credentials = self.credentials(id, pull).await.map_err(kept)?;
        let client = match id.namespace() {
            None => self.client.get_or_try_init(|| async { Client::new(self.limits) }).await,
            Some(_) => self.outside.get_or_try_init(|| async { Client::outside(self.limits) }).await,
        };
        let client = client.map_err(|error| unfetched(&error))?;
        let asked = async {
            if let Some(seen) = seen {
                let now = client.resolve(location, &credentials, Some(seen)).await?;
                match now.is_same(seen) {
                    true if now.manifest == seen.manifest => return Ok(News::Nothing),
                    // Another manifest of the same component.
                    true => {
                        let artifact = Some(artifact(location, &now));
                        return Ok(News::Same(Version::Resolved(now), artifact));
                    }
                    false => {}
                }
            }
            let _place = self.place(id).await;
            let fetched = client.fetch(location, &credentials, pull.digest.as_ref()).await?;
            Ok(News::Looked(looked(location, fetched)))
        };
        asked.await.map_err(|error| unfetched(&error))
    }

    /// Waits for a place to fetch in.
    async fn place(&self, id: &PluginId) -> [Option<OwnedSemaphorePermit>; 2] {
        let Some(namespace) = id.namespace() else {
            return [Arc::clone(&self.cluster).acquire_owned().await.ok(), None];
        };
        let own = {
            let mut all = self.of_namespace.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, places| places.strong_count() > 0);
            all.get(namespace).and_then(Weak::upgrade).unwrap_or_else(|| {
                let own = Arc::new(Semaphore::new(1));
                all.insert(namespace.to_owned(), Arc::downgrade(&own));
                own
            })
        };
        let own = own.acquire_owned().await.ok();
        [own, Arc::clone(&self.namespaced).acquire_owned().await.ok()]
    }

    /// Those of the pull secrets; of a plugin of the whole cluster, those of this user as well.
    async fn credentials(&self, id: &PluginId, pull: &Pull) -> Result<Credentials, Problem> {
        let mut all = Credentials::none();
        for (namespace, name) in &pull.secrets {
            let secret = Key { namespace: namespace.clone(), name: name.clone(), key: String::new() };
            let holder = component::holder(&self.rest, "Secret", &secret).await.map_err(|it| it.problem)?;
            let invalid = |why: &dyn std::fmt::Display| {
                problem("CredentialsInvalid", format!("the pull secret {namespace}/{name}: {why}"))
            };
            let text = CREDENTIALS.iter().find_map(|key| holder.decoded("Secret", key));
            let text = text.ok_or_else(|| invalid(&"it has no .dockerconfigjson"))?;
            let text = text.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| invalid(&"what it has is no text"))?;
            all = all.and(Credentials::of_text(&text).map_err(|error| invalid(&error))?);
        }
        if id.namespace().is_none() {
            let own = tokio::task::spawn_blocking(self.own).await;
            if let Ok(own) = own {
                all = all.and(own.map_err(|error| problem("CredentialsInvalid", error.to_string()))?);
            }
        }
        Ok(all)
    }
}

fn looked(location: &Location, fetched: Fetched) -> Looked {
    let Fetched { bytes, resolved, .. } = fetched;
    Looked {
        artifact: Some(artifact(location, &resolved)),
        component: Ok(Binary::new(bytes.as_ref().into())),
        version: Version::Resolved(resolved),
    }
}

/// How people name just what was fetched.
pub(super) fn artifact(location: &Location, resolved: &Resolved) -> String {
    match (location, resolved.manifest) {
        (Location::Registry(reference), Some(manifest)) => reference.pinned(manifest).to_string(),
        (Location::Registry(reference), None) => reference.to_string(),
        (Location::Web(address), _) => address.to_string(),
    }
}

fn unfetched(error: &Error) -> Unfetched {
    let reason = match error {
        Error::NotFound { .. } => "ArtifactNotFound",
        Error::Unauthorized { .. } => "Unauthorized",
        Error::Stalled { .. } | Error::TimedOut { .. } | Error::Interrupted { .. } => "TimedOut",
        Error::TooLarge { .. } => "TooLarge",
        Error::DigestMismatch { .. } | Error::WrongSize { .. } => "DigestMismatch",
        Error::NotAComponent { .. } => "NotAComponent",
        Error::Credentials(_) => "CredentialsInvalid",
        Error::Refused { .. } | Error::Redirected { .. } | Error::Protocol { .. } => "Refused",
        _ => "Unreachable",
    };
    Unfetched {
        problem: problem(reason, error.to_string()),
        // Whatever has become of a tag, what it led to runs on.
        out_of_reach: true,
        retry_after: error.retry_after(),
    }
}

/// When a fetch that has failed so often is tried again.
pub(super) fn back_off(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = SOON.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.max(retry_after.unwrap_or_default()).min(LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_that_fails_is_tried_again_later_each_time_and_when_the_server_says() {
        let seconds = |failures| back_off(failures, None).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 1000].map(seconds), [1, 2, 4, 256, 300, 300]);
        let after = |seconds| back_off(1, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([0, 1, 30, 1 << 40].map(after), [1, 1, 30, 300], "no server stops a plugin for days");
    }

    #[tokio::test]
    async fn hostile_a_plugin_of_a_namespace_has_its_own_credentials_alone() {
        let rest = Rest::of(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let own =
            || Credentials::of_text(r#"{"auths": {"example.com": {"username": "me", "password": "x"}}}"#);
        let artifacts = Artifacts { own, ..Artifacts::new(rest, 1) };
        let spec = serde_json::json!({"spec": {"component": {"oci": "example.com/p"}}});
        let object = wheelhouse_core::Object::from_value(&spec).unwrap();
        for (namespace, expected) in [("", 1), ("team-a", 0)] {
            let id = PluginId::Resource { namespace: namespace.to_owned(), name: "p".to_owned() };
            let (pull, _) = crate::resources::order::read(&id, &object, None).wanted.unwrap();
            let credentials = artifacts.credentials(&id, &pull).await.unwrap();
            assert_eq!(format!("{credentials:?}").matches("example").count(), expected, "{credentials:?}");
        }
    }
}
