//! The whole host, as its users run it: the binary, the embedded API server, real plugins.
#![cfg(test)]

mod cache;
mod command_line;
mod compiling;
mod granting;
mod killing;
mod leading;
mod limiting;
mod loading;
mod plugins;
mod saying;
mod several;
mod support;
