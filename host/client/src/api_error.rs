//! Failures of a request, as the contract's errors.

use wheelhouse_cache::{CacheError, Failure, Status};
use wheelhouse_core::ApiError;

/// By Kubernetes' reason, and by the code where there is none.
pub(crate) fn from_status(status: Status) -> ApiError {
    let Status { code, reason, message, causes, retry_after } = status;
    match (reason.as_str(), code) {
        ("NotFound", _) => ApiError::NotFound(message),
        ("AlreadyExists", _) => ApiError::AlreadyExists(message),
        ("Conflict", _) => ApiError::Conflict { message, causes },
        ("Expired" | "Gone", _) => ApiError::Expired(message),
        ("Invalid", _) => ApiError::Invalid { message, causes },
        ("BadRequest", _) => ApiError::BadRequest(message),
        ("Forbidden" | "Unauthorized", _) => ApiError::Forbidden(message),
        ("TooManyRequests", _) => ApiError::TooManyRequests { message, retry_after },
        ("Timeout" | "ServerTimeout", _) => ApiError::Timeout(message),
        ("ServiceUnavailable" | "InternalError", _) => ApiError::Unavailable(message),
        (_, 404) => ApiError::NotFound(message),
        (_, 409) => ApiError::Conflict { message, causes },
        (_, 410) => ApiError::Expired(message),
        (_, 422) => ApiError::Invalid { message, causes },
        (_, 400) => ApiError::BadRequest(message),
        (_, 401 | 403) => ApiError::Forbidden(message),
        (_, 429) => ApiError::TooManyRequests { message, retry_after },
        (_, 504) => ApiError::Timeout(message),
        (_, 500..) => ApiError::Unavailable(message),
        _ => ApiError::Other { code, reason, message },
    }
}

pub(crate) fn from_failure(failure: Failure) -> ApiError {
    match failure {
        Failure::Status(status) => from_status(status),
        Failure::Unreachable(_) | Failure::Unreadable(_) | Failure::Fenced(_) | Failure::GivenUp(_) => {
            ApiError::Unavailable(failure.to_string())
        }
        Failure::TimedOut(_) => ApiError::Timeout(failure.to_string()),
        Failure::BadRequest(_) => ApiError::BadRequest(failure.to_string()),
    }
}

pub(crate) fn from_cache(error: CacheError) -> ApiError {
    match error {
        CacheError::UnknownKind { .. } => ApiError::NotFound(error.to_string()),
        CacheError::Discovery { failure, .. } => from_failure(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn error(code: u16, reason: &str) -> ApiError {
        let retry_after = Some(Duration::from_secs(3));
        from_status(Status {
            code,
            reason: reason.into(),
            message: "m".into(),
            retry_after,
            ..Status::default()
        })
    }

    #[test]
    fn a_status_is_told_by_its_reason_first_and_its_code_next() {
        assert_eq!(error(409, "AlreadyExists"), ApiError::AlreadyExists("m".into()));
        assert!(matches!(error(409, "Conflict"), ApiError::Conflict { .. }));
        assert!(matches!(error(409, ""), ApiError::Conflict { .. }));
        assert_eq!(error(404, ""), ApiError::NotFound("m".into()));
        assert_eq!(error(500, "ServerTimeout"), ApiError::Timeout("m".into()));
        assert_eq!(error(502, ""), ApiError::Unavailable("m".into()));
        assert!(matches!(
            error(429, ""),
            ApiError::TooManyRequests { retry_after: Some(after), .. } if after.as_secs() == 3
        ));
        assert!(matches!(error(418, "Teapot"), ApiError::Other { code: 418, .. }));
    }
}
