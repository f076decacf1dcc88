//! What can go wrong between here and a component, for a caller to match on and for people to read.
//!
//! No text of it has a credential, a URL's query or a server's page in it, and none is long.

use std::time::Duration;

/// A component could not be resolved, fetched or pushed. `at` is the location, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such repository, tag, manifest, blob or file; or nobody may know that there is.
    #[error("{at}: not found{said}")]
    NotFound {
        /// Where.
        at: String,
        /// The server's own words, if they are any.
        said: Said,
    },
    /// The server wants to know who asks, or does not let them.
    #[error("{at}: not authorized, {}{said}", with(.with_credentials))]
    Unauthorized {
        /// Where.
        at: String,
        /// Whether there were credentials.
        with_credentials: bool,
        /// The server's own words.
        said: Said,
    },
    /// No connection to the server, or one that broke before it answered.
    #[error("{at}: the server cannot be reached: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// The system's word for it.
        why: String,
    },
    /// The server is not proven to be the one that it should be.
    #[error("{at}: no secure connection to the server: {why}")]
    Untrusted {
        /// Where.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing came, or went, for too long.
    #[error("{at}: nothing moved for {after:?}")]
    Stalled {
        /// Where.
        at: String,
        /// The limit.
        after: Duration,
    },
    /// The whole took too long.
    #[error("{at}: it took longer than the limit of {after:?}")]
    TimedOut {
        /// Where.
        at: String,
        /// The limit.
        after: Duration,
    },
    /// The connection ended before the answer did.
    #[error("{at}: the connection ended in the middle: {why}")]
    Interrupted {
        /// Where.
        at: String,
        /// The system's word for it.
        why: String,
    },
    /// Larger than the caller takes.
    #[error("{at}: {}more than the limit of {limit} bytes", sized(.size))]
    TooLarge {
        /// Where.
        at: String,
        /// Bytes.
        limit: u64,
        /// Bytes, if the server has said.
        size: Option<u64>,
    },
    /// More or fewer bytes than the manifest says.
    #[error("{at}: {found} bytes, and its manifest says {expected}")]
    WrongSize {
        /// Where.
        at: String,
        /// Bytes.
        expected: u64,
        /// Bytes; what comes after one too many is not read.
        found: u64,
    },
    /// Other bytes than were asked for.
    #[error("{at}: the {of} is {found}, and {expected} is expected")]
    DigestMismatch {
        /// Where.
        at: String,
        /// Of what.
        of: DigestOf,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// What is there is no component.
    #[error("{at}: {why}")]
    NotAComponent {
        /// Where.
        at: String,
        /// What it is instead.
        why: String,
    },
    /// The server wants to be left alone for a while.
    #[error("{at}: too many requests{}{said}", later(.retry_after))]
    TooManyRequests {
        /// Where.
        at: String,
        /// For so long.
        retry_after: Option<Duration>,
        /// The server's own words.
        said: Said,
    },
    /// The server is in trouble.
    #[error("{at}: the server failed: HTTP {status}{}{said}", later(.retry_after))]
    Server {
        /// Where.
        at: String,
        /// 5xx.
        status: u16,
        /// When it hopes to be well again.
        retry_after: Option<Duration>,
        /// Its own words.
        said: Said,
    },
    /// The server does not do this.
    #[error("{at}: the server refuses: HTTP {status}{said}")]
    Refused {
        /// Where.
        at: String,
        /// Of HTTP.
        status: u16,
        /// The server's own words.
        said: Said,
    },
    /// The server leads elsewhere, and too far.
    #[error("{at}: the server redirects {why}")]
    Redirected {
        /// Where.
        at: String,
        /// How.
        why: String,
    },
    /// An answer that makes no sense.
    #[error("{at}: an answer that no registry gives: {why}")]
    Protocol {
        /// Where.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// Credentials that cannot be read.
    #[error(transparent)]
    Credentials(#[from] crate::credentials::CredentialsError),
    /// There is no way to make HTTPS connections.
    #[error(
        "no secure connections can be made here: {0}; install the system's CA certificates, or name them in SSL_CERT_FILE"
    )]
    NoTls(String),
}

/// What a digest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestOf {
    /// A component's bytes.
    Component,
    /// A manifest's bytes.
    Manifest,
}

impl std::fmt::Display for DigestOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Component => "component's digest",
            Self::Manifest => "manifest's digest",
        })
    }
}

/// A server's own words, in short, if it had any for people: a page of HTML is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub(crate) Option<String>);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|said| write!(f, ": the server says {said:?}"))
    }
}

fn with(credentials: &bool) -> &'static str {
    if *credentials {
        "with the credentials that there are for it"
    } else {
        "and there are no credentials for it"
    }
}

fn sized(size: &Option<u64>) -> String {
    size.map(|size| format!("{size} bytes, ")).unwrap_or_default()
}

fn later(retry_after: &Option<Duration>) -> String {
    retry_after.map(|time| format!(", try again in {} s", time.as_secs())).unwrap_or_default()
}

impl Error {
    /// Whether the same may work later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Stalled { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted { .. }
            | Self::TooManyRequests { .. }
            | Self::Server { .. } => true,
            Self::Credentials(error) => error.is_transient(),
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Untrusted { .. }
            | Self::TooLarge { .. }
            | Self::WrongSize { .. }
            | Self::DigestMismatch { .. }
            | Self::NotAComponent { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::Protocol { .. }
            | Self::NoTls(_) => false,
        }
    }

    /// How long the server wants to be left alone, if it has said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
