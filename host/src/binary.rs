//! A component on its way: its bytes until they are compiled, and then what they were compiled to, or why they cannot
//! be. Whoever is to remember which one it was does not keep its bytes in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wheelhouse_artifacts::ComponentDigest;
use wheelhouse_sandbox::Compiled;

/// See the module. Two are the same if their bytes are.
#[derive(Clone)]
pub(crate) struct Binary {
    digest: ComponentDigest,
    form: Arc<Mutex<Form>>,
}

/// What is there of it.
#[derive(Clone)]
pub(crate) enum Form {
    Bytes(Arc<[u8]>),
    Compiled(Compiled),
    /// Why they cannot be compiled.
    Broken(Arc<str>),
}

impl Binary {
    pub(crate) fn new(bytes: Arc<[u8]>) -> Self {
        let digest = ComponentDigest::of(&bytes);
        Self { digest, form: Arc::new(Mutex::new(Form::Bytes(bytes))) }
    }

    pub(crate) fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn lock(&self) -> MutexGuard<'_, Form> {
        self.form.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn form(&self) -> Form {
        self.lock().clone()
    }

    /// The bytes are not needed any more.
    pub(crate) fn compiled(&self, compiled: &Compiled) {
        *self.lock() = Form::Compiled(compiled.clone());
    }

    /// Nor are they, if they cannot be compiled.
    pub(crate) fn broken(&self, why: &str) {
        *self.lock() = Form::Broken(why.into());
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binary").field(&self.digest).finish()
    }
}
