//! A Lease over REST, with optimistic locking.

use http::Method;
use serde_json::Value;
use std::time::Duration;
use wheelhouse_cache::{Failure, Rest};

use super::elector::Write;
use super::record::{Lease, new_lease, set, set_note};

/// One Lease.
pub(crate) struct Leases {
    rest: Rest,
    namespace: String,
    name: String,
    /// As it was last seen: the fields that an election does not know stay as they are.
    last: Option<Value>,
}

impl Leases {
    /// The Lease need not be there.
    pub(crate) fn new(rest: Rest, namespace: &str, name: &str) -> Self {
        Self { rest, namespace: namespace.to_owned(), name: name.to_owned(), last: None }
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    /// None if it is not there.
    pub(crate) async fn read(&mut self, within: Duration) -> Result<Option<Lease>, Failure> {
        let path = format!("{}/{}", self.collection(), self.name);
        match self.rest.send(Method::GET, &path, None, within).await {
            Ok(answer) => Ok(Some(self.take(&answer)?)),
            Err(failure) if failure.code() == Some(404) => {
                self.last = None;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The version that it has then. The note is the holder's; one that nobody holds has none.
    pub(crate) async fn write(
        &mut self,
        write: &Write,
        note: Option<&Value>,
        within: Duration,
    ) -> Result<String, Failure> {
        let mut lease = match (&self.last, &write.replaces) {
            (Some(last), Some(_)) => last.clone(),
            _ => new_lease(&self.namespace, &self.name),
        };
        write.record.write(&mut lease);
        set_note(&mut lease, note);
        let (method, path) = match &write.replaces {
            None => (Method::POST, self.collection()),
            Some(version) => {
                set(&mut lease, "metadata", "resourceVersion", version.as_str().into());
                (Method::PUT, format!("{}/{}", self.collection(), self.name))
            }
        };
        let body = Some(("application/json", lease.to_string().into_bytes()));
        let answer = self.rest.send(method, &path, body, within).await?;
        Ok(self.take(&answer)?.version)
    }

    fn take(&mut self, answer: &[u8]) -> Result<Lease, Failure> {
        let json: Value = serde_json::from_slice(answer)
            .map_err(|error| Failure::Unreadable(format!("no Lease: {error}")))?;
        let lease = Lease::read(&json);
        // Without one, a write would replace whatever is there.
        if lease.version.is_empty() {
            return Err(Failure::Unreadable("a Lease without a resource version".to_owned()));
        }
        self.last = Some(json);
        Ok(lease)
    }
}
