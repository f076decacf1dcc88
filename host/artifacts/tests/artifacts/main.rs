//! Against a real registry, and against servers that do what no server should.
#![cfg(test)]

mod addressing;
#[allow(dead_code, reason = "the tests of the whole host have one by TLS")]
mod docker_registry;
mod manifests;
mod misbehaving;
mod pushing;
mod redirecting;
mod scripted;
mod stalling;
mod tokens;

use std::time::Duration;

use bytes::Bytes;
use wheelhouse_artifacts::{Client, Limits, Location, Reference};

/// A client whose limits are far away.
fn client() -> Client {
    with(Limits { bytes: 64 << 20, time: Duration::from_secs(60), stall: Duration::from_secs(20) })
}

fn with(limits: Limits) -> Client {
    Client::new(limits).unwrap()
}

/// A component that has so many bytes, about: most of them are in a section that has no meaning.
fn component(name: &str, bytes: usize) -> Bytes {
    // Bytes that no compression makes small.
    let mut random = 0x2545_f491_4f6c_dd1d_u64 ^ name.len() as u64;
    let mut filling = name.to_owned().into_bytes();
    while filling.len() < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        filling.extend(random.to_le_bytes());
    }
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    // A custom section: its size, the length of its name, its name, its bytes.
    let named = [b"\x07filling".as_slice(), &filling].concat();
    component.push(0);
    let mut size = named.len();
    while size >= 0x80 {
        component.push(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    component.push(size as u8);
    component.extend(named);
    component.into()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn at(reference: &str) -> Location {
    format!("oci://{reference}").parse().unwrap()
}

fn url(text: &str) -> Location {
    text.parse().unwrap()
}

/// What a program holds must be able to go from thread to thread.
#[test]
fn operations_can_be_spawned() {
    fn is_send(_: impl Send) {}
    let (client, location) = (client(), at("localhost:1/a"));
    let nobody = wheelhouse_artifacts::Credentials::none();
    is_send(client.resolve(&location, &nobody, None));
    is_send(client.fetch(&location, &nobody, None));
    is_send(client.push(&reference("localhost:1/a"), Bytes::new(), &nobody));
}
