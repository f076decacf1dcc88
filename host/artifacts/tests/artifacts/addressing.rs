//! Components at URLs, where nothing but the digest that one asks for says what they should be.

use wheelhouse_artifacts::{ComponentDigest, Credentials, Error};

use crate::scripted::{Server, reply};
use crate::{client, component, url};

#[tokio::test]
async fn hostile_a_component_at_a_url_is_the_one_that_the_digest_is_for_or_none() {
    let component = component("hello", 5000);
    let served = component.clone();
    let server = Server::start(move |_| reply(200, &[], &served)).await;
    let location = url(&format!("http://{}/hello.wasm?token=s3cret", server.host));
    let nobody = Credentials::none();
    let right = ComponentDigest::of(&component);
    let fetched = client().fetch(&location, &nobody, Some(&right)).await.unwrap();
    assert!(fetched.bytes == component);
    assert_eq!((fetched.component, fetched.resolved.component), (right, Some(right)));

    let another = ComponentDigest::of(b"another");
    let error = client().fetch(&location, &nobody, Some(&another)).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }) && !error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&another.to_string()) && text.contains(&right.to_string()), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}
