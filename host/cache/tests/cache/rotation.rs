//! Trap 13: credentials and certificates that are rotated while the host runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::Instant;
use wheelhouse_cache::{Failure, InformerFactory, Rest, Rotation};

use crate::authority::{Authority, TlsServer};
use crate::token_server::{Server, follow, get, later};

async fn until_seen(informer: &wheelhouse_cache::Informer, version: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while informer.snapshot().seen() != version {
        assert!(Instant::now() < deadline, "{version} was never seen, but {}", informer.snapshot().seen());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn trap_13_a_read_that_the_old_token_is_refused_is_made_with_the_new_one() {
    let server = Server::new("old").await;
    let (rest, given) = follow(server.config("old")).await;
    get(&rest).await.unwrap();
    *server.token.lock().unwrap() = "new";
    given.set(server.config("new"));
    get(&rest.clone()).await.unwrap();
    get(&rest).await.unwrap();
    assert_eq!(server.asked(), ["GET old", "GET old", "GET new", "GET new"]);
    assert_eq!(given.loads(), 1);
}

#[tokio::test]
async fn trap_13_an_informer_goes_on_with_a_rotated_token() {
    let server = Server::new("old").await;
    let (rest, given) = follow(server.config("old")).await;
    let factory = InformerFactory::new(rest.clone());
    let informer = factory.informer(&"v1/Pod".parse().unwrap()).await.unwrap();
    until_seen(&informer, "11").await;
    *server.token.lock().unwrap() = "new";
    given.set(server.config("new"));
    // Another's request brings in the new token; the watch that is open goes on.
    get(&rest).await.unwrap();
    assert!(server.asked().iter().all(|asked| asked != "GET "), "each has a token");
    assert_eq!(informer.snapshot().seen(), "11");
    server.cut.notify_waiters();
    until_seen(&informer, "12").await;
    // And so does its own.
    later(Duration::from_secs(10)).await;
    *server.token.lock().unwrap() = "newer";
    given.set(server.config("newer"));
    server.cut.notify_waiters();
    until_seen(&informer, "13").await;
    assert!(informer.synced());
    assert_eq!(server.asked().last().unwrap(), "GET newer");
}

#[tokio::test]
async fn trap_13_a_write_is_never_repeated_but_the_next_has_the_new_token() {
    let server = Server::new("new").await;
    let (rest, given) = follow(server.config("old")).await;
    given.set(server.config("new"));
    let post = || rest.send(Method::POST, "/api/v1", None, Duration::from_secs(20));
    assert_eq!(post().await.unwrap_err().code(), Some(401));
    post().await.unwrap();
    assert_eq!(server.asked(), ["POST old", "POST new"]);
}

#[tokio::test]
async fn trap_13_the_configuration_is_looked_at_once_a_minute_though_nothing_fails() {
    let server = Server::new("").await;
    let (rest, given) = follow(server.config("old")).await;
    given.set(server.config("new"));
    get(&rest).await.unwrap();
    later(Duration::from_secs(59)).await;
    get(&rest).await.unwrap();
    assert_eq!(given.loads(), 0);
    later(Duration::from_secs(1)).await;
    futures::future::join_all((0..20).map(|_| get(&rest))).await.into_iter().for_each(|got| got.unwrap());
    get(&rest).await.unwrap();
    assert_eq!(given.loads(), 1);
    let asked = server.asked();
    assert_eq!((&*asked[0], &*asked[1], &**asked.last().unwrap()), ("GET old", "GET old", "GET new"));
}

#[tokio::test]
async fn trap_13_a_configuration_that_cannot_be_loaded_or_used_leaves_the_working_one_in_use() {
    let server = Server::new("good").await;
    let (rest, given) = follow(server.config("good")).await;
    let mut garbage: Vec<kube::Config> = (0..4).map(|_| server.config("bad")).collect();
    garbage[0].auth_info.token = Some(String::from("a\nb").into());
    garbage[1].root_cert = Some(vec![vec![1, 2, 3]]);
    garbage[2].auth_info.client_certificate_data = Some("!".into());
    garbage[3].auth_info.token = None;
    garbage[3].auth_info.token_file = Some("/nowhere/token".into());
    given.fail("the file is being written");
    for (looks, config) in garbage.into_iter().map(Some).chain([None]).enumerate() {
        later(Duration::from_secs(60)).await;
        get(&rest).await.unwrap();
        assert_eq!(given.loads(), looks + 1);
        given.set(config.unwrap_or_else(|| server.config("better")));
    }
    assert!(server.asked().iter().all(|asked| asked == "GET good"));
    *server.token.lock().unwrap() = "better";
    get(&rest).await.unwrap();
    assert_eq!(server.asked(), ["GET good", "GET better"]);
}

#[tokio::test]
async fn trap_13_a_load_that_never_ends_holds_up_one_request_for_a_while() {
    let server = Server::new("old").await;
    let rotation = Rotation { patience: Duration::from_millis(20), ..Rotation::default() };
    let rest = Rest::following(server.config("old"), std::future::pending, rotation).await.unwrap();
    later(Duration::from_secs(60)).await;
    get(&rest).await.unwrap();
    assert_eq!(server.asked(), ["GET old"]);
}

#[tokio::test]
async fn trap_13_a_credential_command_that_hangs_is_not_started_again() {
    let server = Server::new("old").await;
    let folder = tempfile::tempdir().unwrap();
    let (runs, never) = (folder.path().join("runs"), folder.path().join("never"));
    assert!(std::process::Command::new("mkfifo").arg(&never).status().unwrap().success());
    let given = Arc::new(Mutex::new(server.config("old")));
    let load = {
        let given = Arc::clone(&given);
        move || std::future::ready(Ok(given.lock().unwrap().clone()))
    };
    let rotation = Rotation { patience: Duration::from_millis(20), ..Rotation::default() };
    let rest = Rest::following(server.config("old"), load, rotation).await.unwrap();
    let script = r#"echo run >> "$0"; cat "$1""#;
    let exec = json!({"command": "sh", "args": ["-c", script, runs, never], "interactiveMode": "Never"});
    given.lock().unwrap().auth_info = serde_json::from_value(json!({ "exec": exec })).unwrap();
    for _ in 0..3 {
        later(Duration::from_secs(60)).await;
        get(&rest).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !runs.exists() {
            assert!(Instant::now() < deadline, "the command is never run");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Lets it end, and the test with it.
    std::fs::write(&never, "nonsense").unwrap();
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
}

#[tokio::test]
async fn trap_13_a_server_that_refuses_everybody_does_not_have_the_configuration_loaded_in_a_loop() {
    let server = Server::new("-").await;
    let loads = Arc::new(AtomicUsize::new(0));
    let load = {
        let (server, loads) = (Arc::clone(&server), Arc::clone(&loads));
        move || {
            // The worst: there is always something new.
            let token = loads.fetch_add(1, Ordering::SeqCst).to_string();
            let config = server.config(&token);
            async move { Ok(config) }
        }
    };
    let rest = Rest::following(server.config("old"), load, Rotation::default()).await.unwrap();
    for window in 1..4 {
        for _ in 0..10 {
            let refused = futures::future::join_all((0..10).map(|_| get(&rest))).await;
            assert!(refused.iter().all(|got| got.as_ref().unwrap_err().code() == Some(401)));
        }
        assert_eq!(loads.load(Ordering::SeqCst), window, "one in {window} windows each");
        // Only those that were under way when the client was replaced are repeated.
        assert!(server.asked().len() <= 110);
        later(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn trap_13_nor_does_a_server_that_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = kube::Config::new(format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap());
    drop(nobody);
    let (rest, given) = follow(config).await;
    for _ in 0..50 {
        assert!(matches!(get(&rest).await, Err(Failure::Unreachable(_))));
    }
    assert_eq!(given.loads(), 1);
}

#[tokio::test]
async fn trap_13_a_configuration_that_is_the_same_makes_no_new_client_and_nothing_is_repeated() {
    let server = Server::new("-").await;
    let (rest, given) = follow(server.config("old")).await;
    assert_eq!(get(&rest).await.unwrap_err().code(), Some(401));
    assert_eq!((given.loads(), server.asked().len()), (1, 1));
}

#[tokio::test]
async fn trap_13_a_rotated_token_file_is_read_as_soon_as_the_old_token_is_refused() {
    let server = Server::new("old").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let mut config = kube::Config::new(server.uri.clone());
    config.auth_info.token_file = Some(file.path().to_str().unwrap().into());
    let (rest, _given) = follow(config).await;
    get(&rest).await.unwrap();
    // Somebody is writing it.
    std::fs::write(file.path(), "").unwrap();
    later(Duration::from_secs(60)).await;
    get(&rest).await.unwrap();
    std::fs::write(file.path(), "new").unwrap();
    *server.token.lock().unwrap() = "new";
    get(&rest).await.unwrap();
    assert_eq!(server.asked(), ["GET old", "GET old", "GET old", "GET new"]);
}

#[tokio::test]
async fn trap_13_a_credential_command_is_run_again_when_its_token_is_refused() {
    let server = Server::new("old").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let credential = |token: &str| json!({"status": {"token": token}}).to_string();
    std::fs::write(file.path(), credential("old")).unwrap();
    let mut config = kube::Config::new(server.uri.clone());
    config.auth_info = by_command(file.path());
    let (rest, _given) = follow(config).await;
    get(&rest).await.unwrap();
    std::fs::write(file.path(), credential("new")).unwrap();
    *server.token.lock().unwrap() = "new";
    get(&rest).await.unwrap();
    assert_eq!(server.asked(), ["GET old", "GET old", "GET new"]);
}

fn by_command(file: &std::path::Path) -> kube::config::AuthInfo {
    let exec = json!({"command": "cat", "args": [file], "interactiveMode": "Never"});
    serde_json::from_value(json!({"exec": exec})).unwrap()
}

#[tokio::test]
async fn trap_13_a_certificate_authority_is_rotated() {
    let (first, second) = (Authority::new(), Authority::new());
    let server = TlsServer::new(first.server(None)).await;
    let config = |authority: &Authority| server.config(authority);
    let (rest, given) = follow(config(&first)).await;
    get(&rest).await.unwrap();
    server.becomes(second.server(None));
    given.set(config(&second));
    // What the client in use does not trust is found out by a request, which is not repeated.
    assert!(matches!(get(&rest).await, Err(Failure::Unreachable(_))));
    get(&rest).await.unwrap();
    // Nothing of the old one is trusted any more.
    server.becomes(first.server(None));
    assert!(matches!(get(&rest).await, Err(Failure::Unreachable(_))));
    assert_eq!(given.loads(), 1);
}

#[tokio::test]
async fn trap_13_the_files_of_a_client_certificate_are_rotated_under_their_names() {
    let (servers, first, second) = (Authority::new(), Authority::new(), Authority::new());
    let server = TlsServer::new(servers.server(Some(&first))).await;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let issue = |authority: &Authority| {
        let (chain, private) = authority.client();
        std::fs::write(&certificate, chain).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    issue(&first);
    let mut config = server.config(&servers);
    config.auth_info.client_certificate = Some(certificate.to_str().unwrap().into());
    config.auth_info.client_key = Some(key.to_str().unwrap().into());
    let (rest, _given) = follow(config).await;
    get(&rest).await.unwrap();
    server.becomes(servers.server(Some(&second)));
    issue(&second);
    assert!(matches!(get(&rest).await, Err(Failure::Unreachable(_))));
    get(&rest).await.unwrap();
}

#[tokio::test]
async fn trap_13_a_certificate_of_a_credential_command_is_renewed_before_it_ends() {
    let (servers, first, second) = (Authority::new(), Authority::new(), Authority::new());
    let server = TlsServer::new(servers.server(Some(&first))).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let issue = |authority: &Authority, ends: &str| {
        let (chain, key) = authority.client();
        let status =
            json!({"clientCertificateData": chain, "clientKeyData": key, "expirationTimestamp": ends});
        std::fs::write(file.path(), json!({"status": status}).to_string()).unwrap();
    };
    issue(&first, "2020-01-01T00:00:00Z");
    let mut config = server.config(&servers);
    config.auth_info = by_command(file.path());
    let (rest, given) = follow(config).await;
    get(&rest).await.unwrap();
    server.becomes(servers.server(Some(&second)));
    issue(&second, "2999-01-01T00:00:00Z");
    // It has ended, so it is not kept for a whole minute.
    later(Duration::from_secs(10)).await;
    get(&rest).await.unwrap();
    later(Duration::from_secs(59)).await;
    get(&rest).await.unwrap();
    assert_eq!(given.loads(), 1);
}
