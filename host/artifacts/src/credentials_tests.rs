//! Which credentials are whose, and that they are shown to nobody.

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::credentials::{Credential, Credentials, Secret};

fn auth(user_and_password: &str) -> Value {
    json!({"auth": BASE64_STANDARD.encode(user_and_password)})
}

fn password(user: &str, password: &str) -> Credential {
    Credential::Password { user: user.to_owned(), password: Secret::new(password) }
}

async fn of(config: &Value, reference: &str) -> Vec<Credential> {
    let credentials = Credentials::of_text(&config.to_string()).unwrap();
    credentials.of(&reference.parse().unwrap()).await.unwrap()
}

/// Whose entry is taken: each is of a user named as the entry is.
async fn users(entries: &[&str], reference: &str) -> Vec<String> {
    let auths: serde_json::Map<_, _> =
        entries.iter().map(|name| ((*name).to_owned(), json!({"username": name, "password": "x"}))).collect();
    let found = of(&json!({ "auths": auths }), reference).await;
    let user = |credential| match credential {
        Credential::Password { user, .. } => user,
        other => panic!("{other:?}"),
    };
    found.into_iter().map(user).collect()
}

#[tokio::test]
async fn an_entry_is_for_its_registry_alone() {
    for (entry, reference, is_found) in [
        ("ghcr.io", "ghcr.io/a/b:1", true),
        ("https://ghcr.io", "ghcr.io/a/b:1", true),
        ("https://ghcr.io/v2/", "ghcr.io/a/b:1", true),
        ("http://ghcr.io/v1", "ghcr.io/a/b:1", true),
        ("GHCR.io", "ghcr.io/a", true),
        ("ghcr.io", "other.io/ghcr.io", false),
        ("ghcr.io", "ghcr.io:443/a", false),
        ("ghcr.io", "x.ghcr.io/a", false),
        ("ghcr.io", "notghcr.io/a", false),
        ("r.io:5000", "r.io:5000/a", true),
        ("r.io:5000", "r.io/a", false),
        ("r.io:5000", "r.io:5001/a", false),
        ("[::1]:5000", "[::1]:5000/a", true),
        ("", "ghcr.io/a", false),
    ] {
        assert_eq!(users(&[entry], reference).await.len(), usize::from(is_found), "{entry} {reference}");
    }
}

#[tokio::test]
async fn a_star_is_a_part_of_a_name_and_no_more() {
    for (entry, reference, is_found) in [
        ("*.example.com", "r.example.com/a", true),
        ("*.example.com", "example.com/a", false),
        ("*.example.com", "x.r.example.com/a", false),
        ("*.*.example.com", "x.r.example.com/a", true),
        ("r*.example.com", "registry.example.com/a", true),
        ("r*.example.com", "example.example.com/a", false),
        ("*y.*e.com:5000", "registry.example.com:5000/a", true),
        ("*.example.com", "r.example.com:5000/a", false),
        ("registry-?.example.com", "registry-1.example.com/a", true),
        ("*.com", "example.com/a", true),
        ("*", "localhost/a", true),
        ("*", "example.com/a", false),
    ] {
        assert_eq!(users(&[entry], reference).await.len(), usize::from(is_found), "{entry} {reference}");
    }
}

#[tokio::test]
async fn a_path_is_the_beginning_of_a_repository_and_the_closest_is_tried_first() {
    let entries = ["r.io", "r.io/team", "r.io/team/app", "r.io/tea", "r.io/v2/other", "*.io"];
    assert_eq!(users(&entries, "r.io/team/app:1").await, ["r.io/team/app", "r.io/team", "r.io", "*.io"]);
    assert_eq!(users(&entries, "r.io/team").await, ["r.io/team", "r.io", "*.io"]);
    assert_eq!(users(&entries, "r.io/teams").await, ["r.io", "*.io"]);
    assert_eq!(users(&entries, "r.io/other/x").await, ["r.io/v2/other", "r.io", "*.io"]);
}

#[tokio::test]
async fn docker_hub_is_found_by_each_of_its_names() {
    for entry in
        ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/"]
    {
        assert_eq!(users(&[entry], "docker.io/me/hello").await, [entry]);
        assert!(users(&[entry], "ghcr.io/me/hello").await.is_empty());
    }
}

#[tokio::test]
async fn every_form_of_an_entry_is_read() {
    let unpadded = json!({"auth": BASE64_STANDARD_NO_PAD.encode("me:pass")});
    for (entry, credential) in [
        (auth("me:pass:word"), Some(password("me", "pass:word"))),
        (auth("me:"), Some(password("me", ""))),
        (auth("me:pass\0\0"), Some(password("me", "pass"))),
        (unpadded, Some(password("me", "pass"))),
        (json!({"username": "me", "password": "pass", "email": "me@x"}), Some(password("me", "pass"))),
        (json!({"auth": "", "username": "me", "password": "pass"}), Some(password("me", "pass"))),
        (
            json!({"auth": BASE64_STANDARD.encode("<token>:"), "identitytoken": "t"}),
            Some(Credential::Identity(Secret::new("t"))),
        ),
        (json!({"registrytoken": "t"}), Some(Credential::Token(Secret::new("t")))),
        (json!({}), None),
        (json!({"email": "me@x"}), None),
    ] {
        let found = of(&json!({"auths": {"r.io": entry}}), "r.io/a").await;
        assert_eq!(found, Vec::from_iter(credential), "{entry}");
        // The older file is what is under `auths`.
        assert_eq!(of(&json!({"r.io": entry}), "r.io/a").await, found);
    }
}

#[tokio::test]
async fn several_sources_are_asked_in_their_order_and_none_twice() {
    let source =
        |user: &str| Credentials::of_text(&json!({"auths": {"r.io": auth(user)}}).to_string()).unwrap();
    let all = source("b:x").and(source("a:x")).and(source("b:x")).and(Credentials::none());
    let found = all.of(&"r.io/a".parse().unwrap()).await.unwrap();
    assert_eq!(found, [password("b", "x"), password("a", "x")]);
}

#[tokio::test]
async fn a_text_has_no_program_run() {
    let config =
        json!({"credsStore": "no-such-helper", "credHelpers": {"r.io": "no-such-helper"}, "auths": {}});
    assert!(of(&config, "r.io/a").await.is_empty());
}

#[test]
fn what_is_wrong_is_told_without_what_is_in_it() {
    let not_text = BASE64_STANDARD.encode(b"s3cret:\xff");
    for (text, why) in [
        ("s3cret".to_owned(), "line 1, column 1"),
        ("{\n\"auths\": \"s3cret\"}".to_owned(), "line 2"),
        (json!({"auths": {"r.io": "s3cret"}}).to_string(), "line 1"),
        (json!({"auths": {"r.io": {"auth": ["s3cret"]}}}).to_string(), "line 1"),
        (json!({"auths": {"r.io": {"auth": "s3cret!"}}}).to_string(), "\"r.io\""),
        (json!({"auths": {"r.io": auth("s3cret")}}).to_string(), "USER:PASSWORD"),
        (json!({"auths": {"r.io": {"auth": not_text}}}).to_string(), "of a text"),
        ("[]".to_owned(), "line 1"),
        (String::new(), "line 1"),
    ] {
        let error = Credentials::of_text(&text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(why) || error.to_string().contains(why), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0"), "{shown}");
    }
}

#[test]
fn credentials_are_in_no_debug_text() {
    let config = json!({"auths": {
        "a.io": auth("me:s3cret"), "b.io": {"identitytoken": "s3cret"}, "c.io": {"registrytoken": "s3cret"}}});
    let credentials = Credentials::of_text(&config.to_string()).unwrap();
    let shown = format!("{credentials:?} {:?} {:?}", password("me", "s3cret"), Secret::new("s3cret"));
    assert!(shown.contains("a.io") && !shown.contains("s3cret"), "{shown}");
}

proptest! {
    #[test]
    fn no_entry_is_for_another_host(entry in "[a-b*?.]{1,5}(:[0-9])?(/[a-b/]{0,3})?", host in "[a-b]{1,2}\\.[a-b]{1,2}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(users(&[&entry], &format!("{host}/a/b")));
        if !found.is_empty() {
            let of = entry.split('/').next().unwrap();
            prop_assert_eq!(of.split('.').count(), 2);
            prop_assert!(!of.contains(':'));
        }
    }
}
