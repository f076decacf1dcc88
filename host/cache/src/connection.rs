//! The client in use, and when another takes its place: credentials and certificates are rotated
//! while the process runs.
//!
//! It has no task of its own: a request looks whether it is time, and so does one that was refused or
//! could not be made. One looks at a time; the others go on with the client in use. What it promises:
//! - the configuration is loaded at most once in [`Rotation::every`] for the time that has passed, and
//!   at most once in [`Rotation::pause`] for requests that failed;
//! - only a configuration that differs, or a credential command whose certificate ends or whose
//!   credentials were refused, makes a new client;
//! - a configuration that cannot be loaded, or of which no client can be made, changes nothing;
//! - a watch goes on over the connection that it began on.
//!
//! What it does not: that a configuration of which a client can be made lets anybody in.

use std::future::Future;
use std::hash::RandomState;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

use crate::credentials::{ConnectError, by_command, check_token, fingerprint, place};
use crate::list_watch::BoxFuture;
use crate::requests::host;
use crate::rest::connect;

/// So long before its end, a certificate from a credential command is renewed. kube does it so with
/// such a token.
const MARGIN: Duration = Duration::from_secs(60);
/// So many problems are remembered as said.
const MOST_PROBLEMS: usize = 32;

type Load = dyn Fn() -> BoxFuture<'static, Result<kube::Config, ConnectError>> + Send + Sync;

/// How often a connection looks whether its configuration has changed.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// A request that comes so long after the last look takes another.
    pub every: Duration,
    /// A request that is answered 401, or gets no answer, takes one at once, unless such a one did
    /// within this time.
    pub pause: Duration,
    /// How long a look may hold up the request that takes it: for loading, and again for making a
    /// client.
    pub patience: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(60),
            pause: Duration::from_secs(10),
            patience: Duration::from_secs(10),
        }
    }
}

/// What a request found wrong with the client that it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 401.
    Refused,
    /// It could not connect, or the connection broke before the answer: that is also how a
    /// certificate is refused.
    NoAnswer,
}

/// A client, and what it was made of.
pub(crate) struct InUse {
    pub(crate) client: kube::Client,
    /// Where its requests go; "" if that is not known.
    pub(crate) host: Arc<str>,
    fingerprint: u64,
    /// When its credentials end, if that is known and kube does not renew them.
    expires: Option<SystemTime>,
    /// They come from a command, which may give others for the same configuration.
    by_command: bool,
}

impl InUse {
    /// It may run a credential command, and blocks meanwhile.
    fn new(config: kube::Config, fingerprint: u64) -> Result<Self, ConnectError> {
        check_token(&config.auth_info)?;
        let by_command = by_command(&config.auth_info);
        let host = host(&config.cluster_url);
        let client = connect(config)?;
        let expires = client.valid_until().map(SystemTime::from);
        Ok(Self { client, host, fingerprint, expires, by_command })
    }

    fn expires_within(&self, margin: Duration) -> bool {
        self.expires.is_some_and(|at| at <= SystemTime::now() + margin)
    }

    fn next_look(&self, rotation: &Rotation) -> Instant {
        let lasts = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        let wait = match self.expires {
            None => rotation.every,
            Some(at) => lasts(at).saturating_sub(MARGIN).min(rotation.every).max(rotation.pause),
        };
        Instant::now() + wait
    }
}

/// Where the configuration comes from.
struct Source {
    load: Box<Load>,
    key: RandomState,
    rotation: Rotation,
    /// Whoever has it looks. A client is made on a thread that cannot be stopped and takes it along,
    /// so that a credential command that hangs is not started again and again.
    turn: Arc<Mutex<Turn>>,
}

struct Turn {
    due: Instant,
    /// When a request in trouble looked last.
    trouble: Option<Instant>,
    /// The problems that were said since the last look without one.
    said: Vec<ConnectError>,
}

impl Turn {
    fn worth_saying(&mut self, problem: &ConnectError) -> bool {
        if self.said.contains(problem) {
            return false;
        }
        if self.said.len() >= MOST_PROBLEMS {
            self.said.clear();
        }
        self.said.push(problem.clone());
        true
    }
}

/// See the module.
pub(crate) struct Connection {
    in_use: RwLock<Arc<InUse>>,
    source: Option<Source>,
}

impl Connection {
    /// For ever over this client.
    pub(crate) fn fixed(client: kube::Client, host: Arc<str>) -> Self {
        let in_use = InUse { client, host, fingerprint: 0, expires: None, by_command: false };
        Self { in_use: RwLock::new(Arc::new(in_use)), source: None }
    }

    /// Beginning with this configuration, which is one that `load` gave.
    pub(crate) async fn following<F, L>(
        config: kube::Config,
        load: L,
        rotation: Rotation,
    ) -> Result<Self, ConnectError>
    where
        F: Future<Output = Result<kube::Config, ConnectError>> + Send + 'static,
        L: Fn() -> F + Send + Sync + 'static,
    {
        let key = RandomState::new();
        let first = {
            let key = key.clone();
            // The hash before the client: of a file that changes between, the client has what is newer,
            // and the next look sees that it is not what was hashed.
            move || InUse::new(config.clone(), fingerprint(&key, &config))
        };
        let first = tokio::task::spawn_blocking(first).await;
        let first = first.map_err(|_| ConnectError::Unusable("making a client panicked".into()))??;
        let turn = Turn { due: first.next_look(&rotation), trouble: None, said: Vec::new() };
        let load = Box::new(move || -> BoxFuture<'static, _> { Box::pin(load()) });
        let source = Source { load, key, rotation, turn: Arc::new(Mutex::new(turn)) };
        Ok(Self { in_use: RwLock::new(Arc::new(first)), source: Some(source) })
    }

    /// The one in use, as it is.
    pub(crate) fn now(&self) -> Arc<InUse> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one to use for a request. If it is time, the configuration is looked at before.
    pub(crate) async fn for_request(self: &Arc<Self>) -> Arc<InUse> {
        if let Some(source) = &self.source
            && let Ok(turn) = Arc::clone(&source.turn).try_lock_owned()
            && turn.due <= Instant::now()
        {
            self.look(source, turn, None).await;
        }
        self.now()
    }

    /// A request over `used` was in trouble. Whether another client is in use when this returns.
    pub(crate) async fn in_trouble(self: &Arc<Self>, used: &Arc<InUse>, trouble: Trouble) -> bool {
        let replaced = || !Arc::ptr_eq(used, &self.now());
        let Some(source) = &self.source else { return false };
        let turn = timeout(source.rotation.patience, Arc::clone(&source.turn).lock_owned()).await;
        let Ok(mut turn) = turn else { return replaced() };
        // Somebody else, who had the same trouble, was here.
        if replaced() {
            return true;
        }
        let now = Instant::now();
        if turn.trouble.is_none_or(|last| last + source.rotation.pause <= now) {
            turn.trouble = Some(now);
            self.look(source, turn, Some(trouble)).await;
        }
        replaced()
    }

    async fn look(
        self: &Arc<Self>,
        source: &Source,
        mut turn: OwnedMutexGuard<Turn>,
        trouble: Option<Trouble>,
    ) {
        let Rotation { pause, patience, .. } = source.rotation;
        // The request may be given up while it waits: the next must not come here at once for that.
        turn.due = Instant::now() + pause;
        let loaded = timeout(patience, (source.load)()).await;
        let loaded = loaded.unwrap_or(Err(ConnectError::TimedOut(patience)));
        let connection = Arc::clone(self);
        let job = tokio::task::spawn_blocking(move || connection.take_up(loaded, turn, trouble));
        // A panic has been told by its hook; the client in use stays.
        if timeout(patience, job).await.is_err() {
            tracing::warn!(
                ?patience,
                "the credential command is still running: requests go on with the credentials in use"
            );
        }
    }

    /// Compares, and replaces the client if need be. It blocks.
    fn take_up(
        &self,
        loaded: Result<kube::Config, ConnectError>,
        mut turn: OwnedMutexGuard<Turn>,
        trouble: Option<Trouble>,
    ) {
        let Some(source) = &self.source else { return };
        let old = self.now();
        let renew = old.expires_within(MARGIN) || (old.by_command && trouble == Some(Trouble::Refused));
        let new = loaded.and_then(|config| {
            let fingerprint = fingerprint(&source.key, &config);
            if fingerprint == old.fingerprint && !renew {
                return Ok(None);
            }
            let server = place(&config.cluster_url);
            Ok(Some((InUse::new(config, fingerprint)?, server)))
        });
        match new {
            Ok(new) => {
                turn.said.clear();
                if let Some((new, server)) = new {
                    *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                    tracing::info!(server, "new credentials or certificates are in use from now on");
                }
            }
            Err(problem) if turn.worth_saying(&problem) => {
                tracing::warn!(%problem, "the cluster's configuration stays as it was; it is looked at again");
            }
            Err(_) => {}
        }
        turn.due = self.now().next_look(&source.rotation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_13_a_problem_is_said_once() {
        let mut turn = Turn { due: Instant::now(), trouble: None, said: Vec::new() };
        let problem = |n: usize| ConnectError::Load(n.to_string());
        assert!(turn.worth_saying(&problem(1)) && turn.worth_saying(&problem(2)));
        assert!(!turn.worth_saying(&problem(1)) && !turn.worth_saying(&problem(2)));
        for n in 0..1000 {
            turn.worth_saying(&problem(n));
        }
        assert!(turn.said.len() <= MOST_PROBLEMS);
    }
}
