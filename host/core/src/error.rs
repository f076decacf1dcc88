//! Why a request of the cluster did not do what it was asked: the contract's `error` variant.

use std::time::Duration;

use crate::gate::Denied;
use crate::limits::Limit;

/// What happened to one field of a rejected object (a `StatusCause`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `spec.replicas`, `metadata.labels[app]`.
    pub field: String,
    /// `FieldValueInvalid`, `FieldManagerConflict`, ...
    pub reason: String,
    /// For people.
    pub message: String,
}

/// See the WIT's `error`. Messages are those of Kubernetes' `Status` where the API server answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409 with reason `AlreadyExists`.
    #[error("{0}")]
    AlreadyExists(String),
    /// 409 with reason `Conflict`.
    #[error("{message}")]
    Conflict {
        /// For people.
        message: String,
        /// The fields that others own, of an apply.
        causes: Vec<Cause>,
    },
    /// 410.
    #[error("{0}")]
    Expired(String),
    /// 422.
    #[error("{message}")]
    Invalid {
        /// For people.
        message: String,
        /// What is wrong with which field.
        causes: Vec<Cause>,
    },
    /// 400, or an argument that the host cannot read.
    #[error("{0}")]
    BadRequest(String),
    /// 401, 403: the cluster says no to the host.
    #[error("{0}")]
    Forbidden(String),
    /// The gate says no to the plugin.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A query by an index that was not declared.
    #[error("no index {index:?} on {kind}: declare it in describe()")]
    UndeclaredIndex {
        /// What the query called it.
        index: String,
        /// The kind that was queried.
        kind: String,
    },
    /// A limit of the host's.
    #[error("limit {limit}: {message}")]
    LimitExceeded {
        /// Which.
        limit: Limit,
        /// What went over it.
        message: String,
    },
    /// 429.
    #[error("{message}")]
    TooManyRequests {
        /// For people.
        message: String,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The object is there, and the host cannot make sense of it.
    #[error("{0}")]
    Unreadable(String),
    /// No answer in time.
    #[error("{0}")]
    Timeout(String),
    /// No connection, or 5xx.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else.
    #[error("{message}")]
    Other {
        /// HTTP status.
        code: u16,
        /// Kubernetes' reason, or "".
        reason: String,
        /// For people.
        message: String,
    },
}

impl ApiError {
    /// Which of them it is, in one word and without its message.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not-found",
            Self::AlreadyExists(_) => "already-exists",
            Self::Conflict { .. } => "conflict",
            Self::Expired(_) => "expired",
            Self::Invalid { .. } => "invalid",
            Self::BadRequest(_) => "bad-request",
            Self::Forbidden(_) => "forbidden",
            Self::Denied(_) => "denied",
            Self::UndeclaredIndex { .. } => "undeclared-index",
            Self::LimitExceeded { .. } => "limit-exceeded",
            Self::TooManyRequests { .. } => "too-many-requests",
            Self::Unreadable(_) => "unreadable",
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Other { .. } => "other",
        }
    }
}
