//! Push and pull, tags that move, digests that are pinned, and users.

use std::sync::{Arc, Mutex};

use wheelhouse_artifacts::{ComponentDigest, Credentials, DigestOf, Error, Limits, Resolved};

use crate::docker_registry::{PASSWORD, Registry, USER};
use crate::{at, client, component, reference, with};

fn credentials(user: &str, password: &str, registry: &str) -> Credentials {
    let config = serde_json::json!({"auths": {registry: {"username": user, "password": password}}});
    Credentials::of_text(&config.to_string()).unwrap()
}

#[tokio::test]
async fn what_is_pushed_is_what_is_pulled() {
    let registry = Registry::start();
    let (client, nobody) = (client(), Credentials::none());
    // One byte, and many megabytes.
    for bytes in [1, 10 << 20] {
        let component = component("hello", bytes);
        let reference = reference(&registry.at("team/hello:1.0"));
        let pushed = client.push(&reference, component.clone(), &nobody).await.unwrap();
        assert_eq!(pushed.component, ComponentDigest::of(&component));
        let location = at(&reference.to_string());
        let fetched = client.fetch(&location, &nobody, Some(&pushed.component)).await.unwrap();
        assert!(fetched.bytes == component, "{bytes}");
        let resolved = client.resolve(&location, &nobody, None).await.unwrap();
        assert_eq!(
            resolved,
            Resolved {
                manifest: Some(pushed.manifest),
                component: Some(pushed.component),
                size: Some(component.len() as u64),
                etag: None
            }
        );
        assert_eq!((fetched.component, fetched.resolved), (pushed.component, resolved));
        // By its digest alone, too.
        let pinned = at(&registry.at(&format!("team/hello@{}", pushed.manifest)));
        assert_eq!(client.fetch(&pinned, &nobody, None).await.unwrap().component, pushed.component);
    }
}

#[tokio::test]
async fn pushing_the_same_again_changes_nothing() {
    let registry = Registry::start();
    let (client, nobody) = (client(), Credentials::none());
    let component = component("hello", 1000);
    let first = client.push(&reference(&registry.at("a:1")), component.clone(), &nobody).await.unwrap();
    let again = client.push(&reference(&registry.at("a:2")), component, &nobody).await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_tag_that_moves_resolves_to_something_else() {
    let registry = Registry::start();
    let (client, nobody) = (client(), Credentials::none());
    let reference = reference(&registry.at("hello:stable"));
    let location = at(&reference.to_string());
    let one = client.push(&reference, component("one", 100), &nobody).await.unwrap();
    let known = client.resolve(&location, &nobody, None).await.unwrap();
    let same = client.resolve(&location, &nobody, Some(&known)).await.unwrap();
    assert!(same == known && same.is_same(&known));
    let other = client.push(&reference, component("other", 100), &nobody).await.unwrap();
    let now = client.resolve(&location, &nobody, Some(&known)).await.unwrap();
    assert_eq!((now.manifest, now.component), (Some(other.manifest), Some(other.component)));
    assert!(!now.is_same(&known));
    // What was there is still there, by its digest.
    let pinned = at(&reference.pinned(one.manifest).to_string());
    assert_eq!(client.fetch(&pinned, &nobody, None).await.unwrap().component, one.component);
}

#[tokio::test]
async fn another_component_than_the_expected_one_is_refused_before_it_is_fetched() {
    let registry = Registry::start();
    let nobody = Credentials::none();
    let told = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&told);
    let client = client().telling(move |bytes, _| *counted.lock().unwrap() = bytes);
    let reference = reference(&registry.at("hello:1"));
    let pushed = client.push(&reference, component("hello", 100), &nobody).await.unwrap();
    *told.lock().unwrap() = 0;
    let expected = ComponentDigest::of(b"another");
    let error = client.fetch(&at(&reference.to_string()), &nobody, Some(&expected)).await.unwrap_err();
    let Error::DigestMismatch { of: DigestOf::Component, expected: e, found, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((e, found), (&expected.to_string(), &pushed.component.to_string()));
    assert!(error.to_string().contains(e) && error.to_string().contains(found) && !error.is_transient());
    assert_eq!(*told.lock().unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_is_named() {
    let registry = Registry::start();
    let (client, nobody) = (client(), Credentials::none());
    client.push(&reference(&registry.at("hello:1")), component("hello", 100), &nobody).await.unwrap();
    let no_digest = format!("hello@{}", ComponentDigest::of(b"no"));
    for name in ["hello:2", "other:1", &no_digest] {
        let name = registry.at(name);
        for known in [None, Some(Resolved::default())] {
            let error = client.resolve(&at(&name), &nobody, known.as_ref()).await.unwrap_err();
            assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
            assert!(error.to_string().contains(&name) && !error.is_transient(), "{error}");
        }
    }
}

#[tokio::test]
async fn more_bytes_than_the_limit_are_neither_fetched_nor_pushed() {
    let registry = Registry::start();
    let nobody = Credentials::none();
    let reference = reference(&registry.at("hello:1"));
    client().push(&reference, component("hello", 2000), &nobody).await.unwrap();
    let small = with(Limits { bytes: 1000, ..Limits::default() });
    let errors = [
        small.fetch(&at(&reference.to_string()), &nobody, None).await.unwrap_err(),
        small.push(&reference, component("hello", 2000), &nobody).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::TooLarge { limit: 1000, size: Some(2000..2100), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_component_is_not_pushed() {
    let error = client().push(&reference("localhost:1/a"), "text".into(), &Credentials::none()).await;
    assert!(matches!(error, Err(Error::NotAComponent { .. })), "{error:?}");
}

#[tokio::test]
async fn a_pinned_reference_takes_no_other_artifact() {
    let registry = Registry::start();
    let (client, nobody) = (client(), Credentials::none());
    let pushed = client.push(&reference(&registry.at("a:1")), component("one", 10), &nobody).await.unwrap();
    let pinned = reference(&registry.at("a:2")).pinned(pushed.manifest);
    let error = client.push(&pinned, component("other", 10), &nobody).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { of: DigestOf::Manifest, .. }), "{error:?}");
}

#[tokio::test]
async fn a_registry_with_users_wants_to_know_who_asks() {
    let registry = Registry::start_with_users();
    let client = client();
    let reference = reference(&registry.at("hello:1"));
    let location = at(&reference.to_string());
    let right = credentials(USER, PASSWORD, &registry.host);
    let wrong = credentials(USER, "wr0ng", &registry.host);
    let elsewhere = credentials(USER, PASSWORD, "ghcr.io");
    let pushed = client.push(&reference, component("hello", 3 << 20), &right).await.unwrap();
    let fetched = client.fetch(&location, &right, None).await.unwrap();
    assert_eq!(fetched.component, pushed.component);
    // One after the other, until one is right.
    let both = wrong.clone().and(right);
    assert!(client.resolve(&location, &both, None).await.is_ok());
    client.push(&reference, component("hello", 10), &both).await.unwrap();
    for (credentials, with_credentials) in [(Credentials::none(), false), (elsewhere, false), (wrong, true)] {
        let errors = [
            client.resolve(&location, &credentials, None).await.unwrap_err(),
            client.fetch(&location, &credentials, None).await.unwrap_err(),
            client.push(&reference, component("hello", 100), &credentials).await.unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, Error::Unauthorized { with_credentials: with, .. } if with == with_credentials),
                "{error:?}"
            );
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(PASSWORD) && !shown.contains("wr0ng"), "{shown}");
            assert!(!error.is_transient());
        }
    }
}

#[tokio::test]
async fn progress_is_told_both_ways() {
    let registry = Registry::start();
    let nobody = Credentials::none();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let client = client().telling(move |bytes, of| heard.lock().unwrap().push((bytes, of)));
    let component = component("hello", 1 << 20);
    let size = component.len() as u64;
    let reference = reference(&registry.at("hello:1"));
    client.push(&reference, component, &nobody).await.unwrap();
    let pushed = std::mem::take(&mut *told.lock().unwrap());
    client.fetch(&at(&reference.to_string()), &nobody, None).await.unwrap();
    let fetched = std::mem::take(&mut *told.lock().unwrap());
    for told in [pushed, fetched] {
        assert!(told.len() > 3 && told.is_sorted(), "{told:?}");
        assert_eq!(told.last(), Some(&(size, Some(size))));
    }
}
