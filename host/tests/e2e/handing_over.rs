//! What hosts make of each other's rollbacks and probations, as one takes over from the other and back.

use serde_json::{Value, json};

use crate::plugin_resources::*;
use crate::restarting::apply;
use crate::rolling_back::*;
use crate::support::{Host, eventually};

const SHORT: [&str; 6] = ["--lease-duration", "2", "--renew-deadline", "1.3", "--retry-period", "0.3"];

fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SHORT[..], more].concat()
}

async fn until_standing_by(host: &Host) {
    host.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
}

#[tokio::test]
async fn a_host_that_is_still_preparing_what_another_has_rolled_back_runs_what_did_well_instead() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let leader = Host::leading(&["--cache-dir", &cache]).await;
    succeeds(&leader, "apply -f -", &definition().to_string());
    apply(&leader).await;
    let good = config_digest(&leader).await;
    change(&leader, "", "echo", wants_more(fuse())).await;
    until_on_probation(&leader).await;
    let bad = config_digest(&leader).await;
    delete(&leader, "apiextensions.k8s.io/v1/CustomResourceDefinition", "", "laters.example.com").await;
    let standby = leader.beside(&["--cache-dir", &cache]).await;
    standby.until("ClusterPlugin/echo", "waiting", |report| report["reason"] == "KindUnavailable").await;
    spark(&leader).await;
    until_back_to(&leader, &good, &bad).await;
    standby.logged("what did well last is run instead").await;
    eventually("it is there", || async { (revisions(&standby) == [(1, "active".to_owned())]).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_probation_that_another_host_has_seen_the_end_of_is_over() {
    let one = Host::leading(&flags(&["--probation", "60"])).await;
    apply(&one).await;
    change(&one, "", "echo", json!({"config": {"resyncSeconds": 3600}})).await;
    until_on_probation(&one).await;
    let two = one.beside(&flags(&["--probation", "1"])).await;
    until_standing_by(&two).await;
    one.signal("-STOP");
    two.logged("probation passed").await;
    one.signal("-CONT");
    until_standing_by(&one).await;
    eventually("it has heard of that", || async {
        (revisions(&one)[0] == (2, "active".to_owned())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_has_proved_itself_at_a_host_that_knew_of_nothing_better_is_run_by_the_other_as_well() {
    let caches = tempfile::tempdir().unwrap();
    let [first, second] = ["one", "two"].map(|name| caches.path().join(name).to_str().unwrap().to_owned());
    let one = Host::leading(&flags(&["--cache-dir", &first])).await;
    apply(&one).await;
    change(&one, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&one).await;
    let bad = config_digest(&one).await;
    spark(&one).await;
    until(&one, "", "echo", "RolledBack", "True", "RolledBack").await;
    let two = one.beside(&flags(&["--cache-dir", &second, "--probation", "3"])).await;
    two.logged("is run all the same").await;
    until_standing_by(&two).await;
    // What was wrong is over.
    delete(&one, "v1/ConfigMap", "default", "spark").await;
    one.signal("-STOP");
    let rolled_back = |status: &Value| status["rolledBack"]["configDigest"] == bad;
    eventually("it runs there, and is on probation", || async {
        let resource = get(&two, "", "echo").await;
        let status = &resource.data["status"];
        (status["configDigest"] == bad && rolled_back(status)).then(|| condition(&resource, "OnProbation"))?
    })
    .await;
    two.logged("probation passed").await;
    one.signal("-CONT");
    eventually("nothing is rolled back any more", || async {
        let ready = until_ready(&two, "", "echo").await;
        let status = &ready.data["status"];
        (status["configDigest"] == bad && status.get("rolledBack").is_none()).then_some(())
    })
    .await;
    eventually("so does the other", || async {
        let newest = revisions(&one)[0].clone();
        (newest.0 == 4 && one.report("ClusterPlugin/echo")?["phase"] == "standby").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_that_has_gone_back_with_the_other_stays_there_whatever_it_hears() {
    let leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    let good = config_digest(&leader).await;
    until_standing_by(&standby).await;
    // There and back, so that what is gone back to was there twice.
    for (seconds, number) in [(json!(3600), 2), (Value::Null, 3)] {
        change(&leader, "", "echo", json!({"config": {"resyncSeconds": seconds}})).await;
        eventually("both have it", || async {
            [&leader, &standby].iter().all(|host| revisions(host)[0].0 == number).then_some(())
        })
        .await;
    }
    change(&leader, "", "echo", json!({"revisionHistoryLimit": 9, "config": fuse()})).await;
    eventually("both have it", || async {
        [&leader, &standby].iter().all(|host| revisions(host)[0].0 == 4).then_some(())
    })
    .await;
    spark(&leader).await;
    eventually("both have gone back", || async {
        let back =
            |host: &&Host| revisions(host)[..2] == [(5, "active".to_owned()), (4, "rolledBack".to_owned())];
        [&leader, &standby].iter().all(back).then_some(())
    })
    .await;
    until(&leader, "", "echo", "RolledBack", "True", "RolledBack").await;
    eventually("the status says so", || async { (config_digest(&leader).await == good).then_some(()) }).await;
    for paused in [true, false, true] {
        change(&leader, "", "echo", json!({"paused": paused})).await;
        let expected = if paused { "paused" } else { "standby" };
        standby.until("ClusterPlugin/echo", expected, |report| report["phase"] == expected).await;
    }
    assert_eq!(revisions(&standby)[0].0, 5, "{}", standby.log());
}

#[tokio::test]
async fn what_only_stood_by_has_not_proved_itself() {
    let mut leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    let good = config_digest(&leader).await;
    until_standing_by(&standby).await;
    let mut before = good.clone();
    for (config, number) in [(json!({"resyncSeconds": 3600}), 2), (fuse(), 3)] {
        change(&leader, "", "echo", json!({"config": config})).await;
        eventually("both have it", || async {
            [&leader, &standby].iter().all(|host| revisions(host)[0].0 == number).then_some(())
        })
        .await;
        before = until_other_config(&leader, &before).await;
    }
    let bad = before;
    until_on_probation(&leader).await;
    leader.signal("-TERM");
    assert!(leader.exit().await.success());
    standby.logged("it was on probation when another host had it run, and is again").await;
    spark(&standby).await;
    until_back_to(&standby, &good, &bad).await;
    let states: Vec<String> = revisions(&standby).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["active", "rolledBack", "retired"]);
}
