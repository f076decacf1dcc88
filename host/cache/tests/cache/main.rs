//! The cache against scripted servers: one test per trap of `TRAPS.md`, and a model.
#![cfg(test)]

mod factory;
mod handlers;
mod model;
mod script;
mod server;
mod watching;
mod wire;
