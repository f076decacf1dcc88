//! The whole host, as its users run it: the binary, the embedded API server, real plugins.
#![cfg(test)]

mod admitting;
mod asking;
mod at_urls;
mod cache;
mod coming_back;
mod command_line;
mod compiling;
mod configuring;
mod dependencies;
#[allow(dead_code, reason = "the tests of the artifacts put more into it by hand")]
#[path = "../../artifacts/tests/artifacts/docker_registry.rs"]
mod docker_registry;
mod fetching;
mod granting;
mod handing_over;
mod keeping;
mod killed_on_probation;
mod killing;
mod leading;
mod limiting;
mod loading;
mod measuring;
mod ordering;
mod persisting;
mod plugin_resources;
mod plugins;
mod pull_secrets;
mod pulling;
mod putting_right;
mod reconciling;
mod remembering;
mod resourcing;
mod restarting;
mod revising;
mod rolling_back;
mod saying;
mod several;
mod several_resources;
mod sharing;
mod support;
mod swapping;
mod switching;
mod telling;
mod tracing;
mod web_server;
