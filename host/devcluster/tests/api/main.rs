//! What a client notices of the development cluster, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

#[path = "../support/answer.rs"]
mod answer;
#[path = "../support/embedded.rs"]
mod embedded;
#[path = "../foreign/embedded_only.rs"]
mod embedded_only;
#[path = "../foreign/sandbox.rs"]
mod sandbox;
mod support;

mod admission;
mod amounts;
mod answers;
mod apply;
mod apply_custom;
mod apply_merging;
mod autoscalers;
mod cel;
mod cel_cost;
mod cel_functions;
mod cel_optional;
mod cel_types;
mod compression;
mod constraints;
mod controllers;
mod custom_resources;
mod defaults;
mod definitions;
mod delete_options;
mod deletes;
mod discovery;
mod faults;
mod field_selectors;
mod field_validation;
mod formats;
mod garbage;
mod hostile;
mod hostile_bodies;
mod immutable;
mod json_patches;
mod kube_client;
mod kubelet;
mod list_options;
mod lists;
mod managers;
mod metadata;
mod more_defaults;
mod names;
mod namespaces;
mod nodes;
mod objects;
mod odd_requests;
mod patches;
mod persistence;
mod ratcheting;
mod references;
mod refusals;
mod refused_values;
mod scales;
mod scheduling;
mod served;
mod server;
mod services;
mod stand_ins;
mod stored_shapes;
mod strict;
mod structural;
mod subresources;
mod table_kinds;
mod tables;
mod updates;
mod verbs;
mod watches;
mod workload_events;
mod workload_kinds;
mod workloads;
mod zeros;
