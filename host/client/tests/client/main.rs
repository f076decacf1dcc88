//! The delegating client against an API server that says what it is told to, byte by byte.
#![cfg(test)]

mod bench;
mod confining;
mod events;
mod fencing;
mod quota;
mod reading;
mod refusing;
mod remembering;
mod scopes;
mod writing;
