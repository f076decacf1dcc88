//! What can go wrong, and what becomes of it: [`ApiError`] says why a call failed, [`Error`] is how
//! a reconcile fails.

use std::fmt;
use std::time::Duration;

use wheelhouse_core::encoding::DecodeError;

pub use crate::bindings::wheelhouse::controller::types::{
    Denial, FieldCause, LimitBreach, Rejection, Status, Throttle,
};

use crate::bindings::wheelhouse::controller::types::Error as Raw;

/// What [`Reconciler::reconcile`](crate::Reconciler::reconcile) returns, and what its helpers may.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call of the host did not do what it was asked.
///
/// Displayed, it is the message of Kubernetes' `Status` where the API server answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// 404: a write to an object that is not there, or a kind that the cluster does not serve.
    #[error("{0}")]
    NotFound(String),
    /// 409 `AlreadyExists`: a create of an object that is there.
    #[error("{0}")]
    AlreadyExists(String),
    /// 409 `Conflict`: the object has changed since it was read (no causes), or other field
    /// managers own what an apply without force wants to set (a cause per field).
    #[error("{}", with_causes(.0))]
    Conflict(Rejection),
    /// 410: a continue token that has expired.
    #[error("{0}")]
    Expired(String),
    /// 422: the API server found the object invalid.
    #[error("{}", with_causes(.0))]
    Invalid(Rejection),
    /// 400, or an argument that cannot be read: a selector, a kind, an object that is no JSON.
    #[error("{0}")]
    BadRequest(String),
    /// 401 or 403: the cluster does not let the host do this.
    #[error("{0}")]
    Forbidden(String),
    /// The host does not let this plugin do this: declare it in
    /// [`describe`](crate::Reconciler::describe), and have it granted.
    #[error("{}", .0.message)]
    Denied(Denial),
    /// A query by an index that the plugin did not declare for this kind, or by a field that it has no
    /// index by: the index's name, or the field.
    #[error("the plugin has no index {0:?} of this kind: declare it in describe()")]
    UndeclaredIndex(String),
    /// A limit of the host's was hit; nothing was sent.
    #[error("limit {}: {}", .0.limit, .0.message)]
    LimitExceeded(LimitBreach),
    /// 429: the API server asks for patience.
    #[error("{}", .0.message)]
    TooManyRequests(Throttle),
    /// The object is there, and the host cannot make sense of it. It stays so until someone changes the
    /// object; trying again may be in vain, but nothing else may tell the plugin of that change.
    #[error("{0}")]
    Unreadable(String),
    /// No answer in time. A write may or may not have been done.
    #[error("{0}")]
    Timeout(String),
    /// The API server cannot be reached or cannot answer now. A write may or may not have been done.
    #[error("{0}")]
    Unavailable(String),
    /// Any other answer of the API server.
    #[error("{} ({} {})", .0.message, .0.code, .0.reason)]
    Other(Status),
}

/// The API server's message names the causes itself, mostly; a cause that it leaves out is added.
fn with_causes(rejection: &Rejection) -> String {
    let mut text = rejection.message.clone();
    for cause in &rejection.causes {
        if !text.contains(&cause.message) {
            text.push_str(&format!("; {}: {}", cause.field, cause.message));
        }
    }
    text
}

impl From<Raw> for ApiError {
    fn from(error: Raw) -> Self {
        match error {
            Raw::NotFound(message) => Self::NotFound(message),
            Raw::AlreadyExists(message) => Self::AlreadyExists(message),
            Raw::Conflict(rejection) => Self::Conflict(rejection),
            Raw::Expired(message) => Self::Expired(message),
            Raw::Invalid(rejection) => Self::Invalid(rejection),
            Raw::BadRequest(message) => Self::BadRequest(message),
            Raw::Forbidden(message) => Self::Forbidden(message),
            Raw::Denied(denial) => Self::Denied(denial),
            Raw::UndeclaredIndex(message) => Self::UndeclaredIndex(message),
            Raw::LimitExceeded(breach) => Self::LimitExceeded(breach),
            Raw::TooManyRequests(throttle) => Self::TooManyRequests(throttle),
            Raw::Unreadable(message) => Self::Unreadable(message),
            Raw::Timeout(message) => Self::Timeout(message),
            Raw::Unavailable(message) => Self::Unavailable(message),
            Raw::Other(status) => Self::Other(status),
        }
    }
}

impl ApiError {
    /// Whether there was no such object (or kind).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// Whether the object was there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists(_))
    }

    /// Whether someone else changed the object, or owns the fields.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// Whether the API server found the object invalid.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }

    /// Whether the host's gate said no.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }

    /// Whether the object is there, and the host cannot make sense of it.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// What is wrong with which field, of `Conflict` and `Invalid`.
    pub fn causes(&self) -> &[FieldCause] {
        match self {
            Self::Conflict(rejection) | Self::Invalid(rejection) => &rejection.causes,
            _ => &[],
        }
    }

    /// How long the API server asks to wait, of `TooManyRequests`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests(throttle) => throttle.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// Whether the same call would fail again until someone changes an object, the plugin, or what
    /// it is granted.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::BadRequest(_) | Self::Denied(_) | Self::UndeclaredIndex(_))
    }
}

/// How a reconcile fails. Every error becomes one with `?`.
///
/// It is *transient* (tried again after a back-off), unless it comes from an [`ApiError`] that
/// [is terminal](ApiError::is_terminal) or from an object that is not of the type that it was read
/// as: those are *terminal* (not tried again until something changes), as is what
/// [`Error::terminal`] makes.
pub struct Error {
    message: String,
    terminal: bool,
}

impl Error {
    /// A failure that may not be one the next time.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), terminal: false }
    }

    /// A failure that stays one until something changes.
    pub fn terminal(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), terminal: true }
    }

    /// Whether it is terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.terminal { "terminal" } else { "transient" };
        write!(f, "{kind}: {}", self.message)
    }
}

// As `anyhow::Error`, this type is no `std::error::Error` itself, so that it can be made of any.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut terminal = false;
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            terminal |= cause.downcast_ref::<ApiError>().is_some_and(ApiError::is_terminal)
                || cause.is::<DecodeError>();
            next = cause.source();
            if let Some(source) = next {
                let source = source.to_string();
                if !message.contains(&source) {
                    message.push_str(": ");
                    message.push_str(&source);
                }
            }
        }
        Self { message, terminal }
    }
}

/// Says what was being done when something failed.
pub trait ResultExt<T> {
    /// Puts `what` before the error's message: `apply the Service: ...`.
    ///
    /// # Errors
    /// The same error, so named.
    fn context(self, what: impl fmt::Display) -> Result<T>;

    /// Makes the error terminal.
    ///
    /// # Errors
    /// The same error, not to be tried again.
    fn or_terminal(self) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let Error { message, terminal } = error.into();
            Error { message: format!("{what}: {message}"), terminal }
        })
    }

    fn or_terminal(self) -> Result<T> {
        self.map_err(|error| Error { terminal: true, ..error.into() })
    }
}

/// Takes "not found" for an answer.
pub trait OptionalExt<T> {
    /// `None` instead of [`ApiError::NotFound`].
    ///
    /// # Errors
    /// Any other error.
    fn optional(self) -> Result<Option<T>, ApiError>;
}

impl<T> OptionalExt<T> for Result<T, ApiError> {
    fn optional(self) -> Result<Option<T>, ApiError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot make the child")]
    struct Wrapped(#[source] ApiError);

    fn invalid() -> ApiError {
        ApiError::Invalid(Rejection { message: "spec.replicas: must not be negative".into(), causes: vec![] })
    }

    #[test]
    fn an_error_is_transient_unless_trying_again_is_of_no_use() {
        for (error, terminal) in [
            (ApiError::NotFound("x".into()), false),
            (ApiError::Timeout("x".into()), false),
            (ApiError::Forbidden("x".into()), false),
            (ApiError::Unreadable("x".into()), false),
            (ApiError::BadRequest("x".into()), true),
            (ApiError::UndeclaredIndex("x".into()), true),
            (invalid(), true),
        ] {
            assert_eq!(Error::from(error.clone()).is_terminal(), terminal, "{error:?}");
        }
        assert!(!Error::from(std::io::Error::other("x")).is_terminal());
        assert!(Err::<(), _>(std::io::Error::other("x")).or_terminal().unwrap_err().is_terminal());
    }

    #[test]
    fn the_cause_of_an_error_counts_and_is_told() {
        let error = Err::<(), _>(Wrapped(invalid())).context("deploy").unwrap_err();
        assert!(error.is_terminal());
        assert_eq!(error.to_string(), "deploy: cannot make the child: spec.replicas: must not be negative");
    }

    #[test]
    fn a_cause_that_the_message_leaves_out_is_told() {
        let cause = FieldCause {
            field: "spec.port".into(),
            reason: "FieldValueInvalid".into(),
            message: "too small".into(),
        };
        let error =
            ApiError::Invalid(Rejection { message: "Service is invalid".into(), causes: vec![cause] });
        assert_eq!(error.to_string(), "Service is invalid; spec.port: too small");
    }
}
