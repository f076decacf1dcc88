//! The embedded server of a test that has one.

use wheelhouse_devcluster::DevCluster;

pub(crate) const NOT_LISTED: &str =
    "a test that needs the embedded server is to be listed in embedded-only.json";

/// A test that asks for the embedded server though it runs against another one fails, and says what to do.
pub(crate) struct Embedded(pub(crate) Option<DevCluster>);

impl std::ops::Deref for Embedded {
    type Target = DevCluster;

    fn deref(&self) -> &DevCluster {
        self.0.as_ref().expect(NOT_LISTED)
    }
}

impl Embedded {
    pub(crate) async fn shutdown(self) {
        self.0.expect(NOT_LISTED).shutdown().await;
    }
}
