//! An embedded Kubernetes API server for development and tests.
//!
//! It owns a store of objects and serves them over HTTP on a loopback address, so that kube clients and
//! `kubectl` can use it as they use a cluster: discovery, CRUD, list and watch, the four kinds of patch,
//! custom resources, finalizers and garbage collection.
//!
//! What it does, it does as kube-apiserver does: the same status codes, the same error bodies, the
//! same order of events. With [`access`](DevClusterConfig::access) control it knows who asks and what they may do.
//! What it does not do: run any container, call a conversion webhook, or, without a [data directory](DevClusterConfig::data_dir), keep anything after
//! [`DevCluster::shutdown`]. It is a development server: never expose it. `docs/devcluster.md` has what is
//! the same, simplified and missing.

mod accept;
mod access;
mod admission;
mod apply;
mod associative;
mod body;
mod builtin;
mod cause;
mod clock;
mod cluster;
mod collector;
mod config;
mod constraints;
mod crd;
mod decoding;
mod defaults;
mod delete;
mod depth;
mod discovery;
mod disk;
mod documents;
mod duplicates;
mod emptying;
mod error;
mod expiry;
mod faults;
mod fields;
mod gated;
mod go;
mod gzip;
mod handler;
mod history;
mod identity;
mod immutable;
mod kind;
mod last_applied;
mod list;
mod managed;
mod merge;
mod naming;
mod object;
mod object_selector;
mod openapi;
mod operations;
mod owners;
mod params;
mod patch;
mod protobuf;
mod qos;
mod registry;
mod respond;
mod route;
mod scale;
mod schema;
mod selector;
mod server;
mod shape;
mod store;
mod strategic;
mod strategy;
mod strict;
mod table;
mod transition;
mod types;
mod validate;
mod view;
mod watch;
mod workloads;
mod write;

pub use access::{Access, AccessMode, TokenUser};
pub use config::{DevClusterConfig, DevClusterError};
pub use faults::{Fault, Faults, Injection};
pub use server::DevCluster;
