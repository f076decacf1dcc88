//! Who has a name and a kind, as of this host and of others.

use serde_json::{Value, json};

use super::has::{Has, Rank};
use super::*;

fn id(name: &str) -> PluginId {
    PluginId::Resource { namespace: String::new(), name: name.to_owned() }
}

/// Of a ClusterPlugin that is the older, the less its name is.
fn claim(of: &str, namespaces: &[&str], shares: bool) -> Claim {
    let namespaces = namespaces.iter().map(|namespace| (*namespace).to_owned()).collect();
    let rank = Rank::Cluster((of.to_owned(), String::new()));
    ranked(id(of), rank, namespaces, shares)
}

fn ranked(id: PluginId, rank: Rank, namespaces: Vec<String>, shares: bool) -> Claim {
    let has = Has { of: id.to_string(), rank, kind: "v1/ConfigMap".to_owned(), namespaces, shares };
    Claim { id, has }
}

fn file(of: &str, namespaces: &[&str]) -> Claim {
    ranked(PluginId::File(of.into()), Rank::File, claim("", namespaces, false).has.namespaces, false)
}

fn tenant(of: &str, shares: bool) -> Claim {
    let id = PluginId::Resource { namespace: "x".to_owned(), name: of.to_owned() };
    ranked(id, Rank::Namespace((of.to_owned(), String::new())), vec!["x".to_owned()], shares)
}

/// What another host notes of it.
fn noted(plugin: &str, claim: &Claim) -> Note {
    let mut there = Claims::default();
    there.take(plugin, claim.clone()).unwrap();
    Note::read(&there.note(&claim.id).unwrap()).unwrap()
}

fn reason(claims: &Claims, name: &str, claim: &Claim) -> Option<&'static str> {
    claims.check(name, claim).err().map(|problem| problem.reason)
}

fn upheld(claims: &Claims, of: &Claim) -> Option<&'static str> {
    claims.uphold(&of.id).err().map(|problem| problem.reason)
}

#[test]
fn a_name_is_one_plugins_until_it_lets_go() {
    let mut claims = Claims::default();
    claims.take("p", claim("a", &["x"], false)).unwrap();
    assert_eq!(reason(&claims, "p", &claim("b", &["y"], true)), Some("NameTaken"));
    assert_eq!(reason(&claims, "p", &claim("a", &["y"], false)), None, "it is its own");
    claims.take("q", claim("a", &["x"], false)).unwrap();
    assert_eq!(reason(&claims, "p", &claim("b", &["y"], false)), None, "it has another name now");
    assert_eq!(claims.holder("q"), Some(&id("a")));
    assert!(claims.release(&id("a")) && !claims.release(&id("a")));
    assert_eq!(claims.holder("q"), None);
}

#[test]
fn a_kind_is_shared_where_one_of_the_two_allows_it_or_they_do_not_meet() {
    for (held, shares, wants, too, expected) in [
        (&["x"][..], false, &["x", "y"][..], false, Some("KindTaken")),
        (&[], false, &["x"], false, Some("KindTaken")),
        (&["x"], false, &[], false, Some("KindTaken")),
        (&["x"], false, &["y"], false, None),
        (&["x"], true, &["x"], false, None),
        (&["x"], false, &["x"], true, None),
    ] {
        let mut claims = Claims::default();
        claims.take("p", claim("a", held, shares)).unwrap();
        assert_eq!(reason(&claims, "q", &claim("b", wants, too)), expected, "{held:?} {wants:?}");
    }
    let mut claims = Claims::default();
    let mut other = claim("a", &[], false);
    other.has.kind = "v1/Secret".to_owned();
    claims.take("p", other).unwrap();
    assert_eq!(reason(&claims, "q", &claim("b", &[], false)), None, "another kind");
}

#[test]
fn whoever_was_loaded_first_the_same_one_has_the_kind_in_the_end() {
    let (a, b) = (claim("a", &["x"], false), claim("b", &["x", "y"], false));
    for (less, more) in [
        (&b, &a),
        (&tenant("t", false), &b),
        (&tenant("u", false), &tenant("t", false)),
        (&a, &file("f", &[])),
    ] {
        let mut claims = Claims::default();
        claims.take("less", less.clone()).unwrap();
        assert_eq!(upheld(&claims, less), None);
        assert_eq!(claims.take("more", more.clone()), Ok(Vec::new()), "nothing is shared");
        assert_eq!((upheld(&claims, less), upheld(&claims, more)), (Some("KindTaken"), None));
        assert_eq!(reason(&claims, "less", less), Some("KindTaken"), "{less:?}");
        // Once one of the two allows it, and until it does so no more.
        assert!(claims.share(&less.id, true) && !claims.share(&less.id, true));
        assert_eq!(upheld(&claims, less), None);
        assert_eq!(claims.take("more", more.clone()), Ok(vec!["less".to_owned()]));
        assert!(claims.share(&less.id, false));
        assert_eq!((upheld(&claims, less), upheld(&claims, more)), (Some("KindTaken"), None));
        claims.release(&more.id);
        assert_eq!(upheld(&claims, less), None);
    }
}

#[test]
fn what_does_not_run_keeps_nobody_from_its_kind() {
    let mut claims = Claims::default();
    let (elder, younger) = (claim("a", &["x"], false), claim("b", &["x"], false));
    claims.take("a", elder.clone()).unwrap();
    assert_eq!(reason(&claims, "b", &younger), Some("KindTaken"));
    assert!(claims.rest(&elder.id) && !claims.rest(&elder.id));
    assert_eq!(claims.take("b", younger.clone()), Ok(Vec::new()));
    assert_eq!(reason(&claims, "a", &younger), Some("NameTaken"), "it has its name");
    claims.take("a", elder.clone()).unwrap();
    assert_eq!((upheld(&claims, &elder), upheld(&claims, &younger)), (None, Some("KindTaken")));
}

#[test]
fn what_another_host_runs_has_its_kind_here_as_well_until_that_runs_no_more() {
    let (elder, younger) = (claim("a", &["x"], false), claim("b", &[], false));
    for (there, here, expected) in [
        (&elder, &younger, Some("KindTaken")),
        (&younger, &elder, None),
        (&tenant("t", false), &elder, None),
        (&elder, &tenant("t", false), Some("KindTaken")),
        (&file("f", &[]), &elder, Some("KindTaken")),
        // The same one, by another name since.
        (&elder, &elder, None),
        (&tenant("t", true), &tenant("u", false), None),
        (&claim("a", &["y"], false), &claim("b", &["x"], false), None),
    ] {
        let mut claims = Claims::default();
        claims.take("here", here.clone()).unwrap();
        let elsewhere = Elsewhere::Known(vec![noted("there", there)]);
        assert!(claims.heed(elsewhere.clone()) && !claims.heed(elsewhere));
        assert_eq!(upheld(&claims, here), expected, "{there:?} {here:?}");
        assert_eq!(claims.take("here", here.clone()).err().map(|problem| problem.reason), expected);
        assert!(claims.heed(Elsewhere::Known(Vec::new())));
        assert_eq!(upheld(&claims, here), None);
    }
}

#[test]
fn of_one_plugin_by_two_names_on_two_hosts_one_has_its_kind() {
    let of = claim("a", &["x"], false);
    for (here, there, expected) in [("p", "q", None), ("q", "p", Some("KindTaken"))] {
        let mut claims = Claims::default();
        claims.take(here, of.clone()).unwrap();
        claims.heed(Elsewhere::Known(vec![noted(there, &of)]));
        assert_eq!(upheld(&claims, &of), expected, "{here} {there}");
    }
}

#[test]
fn every_host_names_the_same_one_as_in_the_way() {
    let (one, two) = (claim("a", &["x"], false), claim("b", &["y"], false));
    let wants = claim("c", &[], false);
    let message = |claims: &Claims| claims.check("c", &wants).unwrap_err().message;
    // By where it is from on the host that runs it.
    let (mut runs_one, mut runs_two, mut runs_none) =
        (Claims::default(), Claims::default(), Claims::default());
    runs_one.take("one", one.clone()).unwrap();
    runs_one.take("two", file("here", &["y"])).unwrap();
    runs_one.heed(Elsewhere::Known(vec![noted("two", &two)]));
    runs_two.take("two", two.clone()).unwrap();
    runs_two.heed(Elsewhere::Known(vec![noted("one", &one)]));
    runs_none.heed(Elsewhere::Known(vec![noted("two", &two), noted("one", &one)]));
    assert_eq!(message(&runs_one), message(&runs_two));
    assert_eq!(message(&runs_one), message(&runs_none));
}

#[test]
fn what_has_the_same_name_elsewhere_is_kept_apart_by_its_lease() {
    let (there, here) = (file("f", &[]), claim("b", &["x"], false));
    let mut claims = Claims::default();
    claims.heed(Elsewhere::Known(vec![noted("p", &there)]));
    assert_eq!(claims.take("p", here), Ok(Vec::new()));
}

#[test]
fn who_shares_its_kind_with_what_another_host_runs_knows_it() {
    let mut claims = Claims::default();
    claims.take("here", claim("b", &["x"], false)).unwrap();
    claims.heed(Elsewhere::Known(vec![
        noted("there", &claim("a", &[], true)),
        noted("else", &claim("c", &["y"], true)),
    ]));
    assert_eq!(upheld(&claims, &claim("b", &["x"], false)), None);
    assert_eq!(claims.sharing_elsewhere(&id("b")), ["there"]);
    assert!(claims.sharing_elsewhere(&id("a")).is_empty());
    // What this host has as well it has told of.
    claims.take("there", claim("a", &[], true)).unwrap();
    assert!(claims.sharing_elsewhere(&id("b")).is_empty());
}

#[test]
fn a_note_that_makes_no_sense_is_none() {
    for note in [Value::Null, json!({}), json!({"plugin": "p"}), json!([])] {
        assert_eq!(Note::read(&note), None, "{note}");
    }
}

#[test]
fn of_two_files_what_made_room_comes_after_what_it_made_room_for() {
    let mut claims = Claims::default();
    let (first, second) = (file("a", &["x"]), file("b", &["x"]));
    claims.take("a", first.clone()).unwrap();
    claims.rest(&first.id);
    claims.take("b", second.clone()).unwrap();
    assert_eq!(reason(&claims, "a", &first), Some("KindTaken"));
    assert_eq!(upheld(&claims, &second), None);
}

#[test]
fn of_two_files_the_first_has_it_as_far_as_it_wants_no_more_than_it_had() {
    let mut claims = Claims::default();
    let (first, second) = (file("z", &["x"]), file("a", &["y"]));
    claims.take("z", first.clone()).unwrap();
    assert_eq!(reason(&claims, "a", &file("a", &["x", "y"])), Some("KindTaken"));
    claims.take("a", second.clone()).unwrap();
    claims.take("z", first).unwrap();
    assert_eq!(reason(&claims, "z", &file("z", &["x", "y"])), Some("KindTaken"));
    assert_eq!(reason(&claims, "z", &file("z", &[])), Some("KindTaken"));
    assert_eq!(upheld(&claims, &second), None);
    // What runs and takes more has to let go of it.
    claims.put("z", file("z", &["x", "y"]));
    assert_eq!((upheld(&claims, &file("z", &[])), upheld(&claims, &second)), (Some("KindTaken"), None));
}

#[test]
fn of_two_files_the_same_one_has_it_whether_or_not_another_host_runs_one_of_them() {
    let (q, p) = (file("m", &[]), file("a", &[]));
    for elsewhere in [Vec::new(), vec![noted("p", &file("z", &[]))], vec![noted("q", &file("a", &[]))]] {
        let mut claims = Claims::default();
        claims.take("q", q.clone()).unwrap();
        claims.take("p", p.clone()).unwrap_err();
        claims.heed(Elsewhere::Known(elsewhere));
        claims.take("p", p.clone()).unwrap();
        assert_eq!((upheld(&claims, &p), upheld(&claims, &q)), (None, Some("KindTaken")));
    }
}
