//! Lines in the host's log. Each carries the plugin, its revision, the object and the reconcile id
//! without being told.
//!
//! ```no_run
//! # let (ready, wanted) = (1, 3);
//! wheelhouse_sdk::info!(ready = ready, wanted = wanted, "waiting for {} replicas", wanted - ready);
//! ```
//!
//! Fields come first, then the message as in `format!`. Nothing is formatted where the level is not
//! kept.

pub use crate::bindings::wheelhouse::controller::logging::{Level, enabled};

use crate::bindings::wheelhouse::controller::logging;

/// Writes a line; the macros call it where the level is kept.
#[doc(hidden)]
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    logging::log(level, message, fields);
}

/// Writes a line of a [`Level`](crate::log::Level): `log!(Level::Info, replicas = 3, "scaled {name}")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($field:ident = $value:expr,)* $message:literal $($arguments:tt)*) => {{
        let level = $level;
        if $crate::log::enabled(level) {
            $crate::log::write(
                level,
                &::std::format!($message $($arguments)*),
                &[$((::std::string::String::from(::core::stringify!($field)), ::std::string::ToString::to_string(&$value))),*],
            );
        }
    }};
}

/// Writes a line that follows the code step by step.
#[macro_export]
macro_rules! trace { ($($line:tt)+) => { $crate::log!($crate::log::Level::Trace, $($line)+) }; }

/// Writes a line for who looks for a fault.
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) }; }

/// Writes a line for who runs the plugin.
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) }; }

/// Writes a line about something odd.
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) }; }

/// Writes a line about something broken.
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) }; }
