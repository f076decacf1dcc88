//! In place of `src/rest.rs`, which asks a server.

/// What went wrong there.
#[derive(Clone, Debug)]
pub struct Failure;
