//! The whole host, as its users run it: the binary, the embedded API server, real plugins.
#![cfg(test)]

mod asking;
mod cache;
mod command_line;
mod compiling;
mod configuring;
mod dependencies;
mod granting;
mod killing;
mod leading;
mod limiting;
mod loading;
mod measuring;
mod plugins;
mod reconciling;
mod resourcing;
mod revising;
mod saying;
mod several;
mod support;
mod telling;
mod tracing;
