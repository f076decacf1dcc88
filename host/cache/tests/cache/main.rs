//! The cache against scripted servers: one test per trap of `TRAPS.md`, and a model.
#![cfg(test)]

mod authority;
mod factory;
mod handlers;
mod model;
mod rotation;
mod script;
mod server;
mod token_server;
mod watching;
mod wire;
