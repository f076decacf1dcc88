//! The cache against scripted servers: one test per trap of `TRAPS.md`, and a model.
#![cfg(test)]

mod authority;
mod factory;
mod fencing;
mod handlers;
mod http;
mod model;
mod odd;
mod reading;
mod rotation;
mod script;
mod server;
mod sharing;
mod streaming;
mod token_server;
mod watching;
mod wire;
