//! What is kept, what counts as good, and what makes room.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn kept(bytes: &[u8]) -> Kept {
    let resolved = Resolved {
        manifest: Some(wheelhouse_artifacts::ManifestDigest::of(b"manifest")),
        component: Some(ComponentDigest::of(bytes)),
        size: Some(bytes.len() as u64),
        etag: Some("\"e\"".to_owned()),
    };
    Kept { component: bytes.into(), resolved }
}

fn store() -> (tempfile::TempDir, ComponentStore) {
    let parent = tempfile::tempdir().unwrap();
    let store = ComponentStore::open(&parent.path().join("a/b")).unwrap();
    (parent, store)
}

#[test]
fn what_was_kept_is_there_again_for_its_owner_alone() {
    let (_parent, store) = store();
    assert_eq!(store.get("a", "owner", None), None);
    store.put("a", "owner", &kept(b"one\ntwo"), 1).unwrap();
    let again = ComponentStore::open(&store.folder).unwrap();
    assert_eq!(again.get("a", "owner", None), Some(kept(b"one\ntwo")));
    assert_eq!(again.get("a", "another", None), None);
    assert_eq!(again.get("b", "owner", None), None);
    again.put("a", "another", &kept(b""), 1).unwrap();
    assert_eq!(again.get("a", "owner", None), Some(kept(b"one\ntwo")));
    assert_eq!(again.get("a", "another", None), Some(kept(b"")));
    again.remove("a");
    assert_eq!(again.get("a", "another", None), None);
}

#[test]
fn what_resources_said_last_is_there_for_their_cluster_until_they_are_gone() {
    let (_parent, store) = store();
    let said = |text: &str| serde_json::json!({"spec": text});
    store.remember("a", "one", &said("first")).unwrap();
    store.remember("a", "one", &said("second")).unwrap();
    store.remember("b", "two", &said("of another cluster")).unwrap();
    fs::write(store.resource_path("c"), "{\"cluster\": \"one\"").unwrap();
    let again = ComponentStore::open(&store.folder).unwrap();
    assert_eq!(again.remembered("one"), [said("second")]);
    assert_eq!(again.remembered("two"), [said("of another cluster")]);
    let mode = fs::metadata(store.resource_path("a")).unwrap().mode();
    assert_eq!(mode & OTHERS, 0, "it may say what is nobody else's business");
    again.remove("a");
    assert_eq!(again.remembered("one"), [] as [serde_json::Value; 0]);
    // Who was about to write is too late.
    again.remember("a", "one", &said("third")).unwrap();
    again.put("a", "owner", &kept(b"one"), 1).unwrap();
    assert_eq!(again.remembered("one"), [] as [serde_json::Value; 0]);
    assert_eq!(again.get("a", "owner", None), None);
    let path = again.resource_path("b");
    File::open(&path).unwrap().set_modified(SystemTime::now() - FORGOTTEN * 2).unwrap();
    assert_eq!(ComponentStore::open(&again.folder).unwrap().remembered("two"), [] as [serde_json::Value; 0]);
}

#[test]
fn what_was_good_last_counts_until_another_one_has_proved_itself() {
    let (_parent, store) = store();
    let digest = |kept: &Kept| ComponentDigest::of(&kept.component).to_string();
    let good = |kept: &Kept, config: &str| Some((kept.component.clone(), config.to_owned()));
    let (one, two) = (kept(b"one"), kept(b"two"));
    assert_eq!(store.good("a"), None);
    store.put("a", "owner", &one, 1).unwrap();
    assert_eq!(store.get("a", "owner", None), Some(one.clone()), "there is no other");
    store.prove("a", &digest(&one), "{}");
    assert_eq!(store.good("a"), good(&one, "{}"));
    store.put("a", "owner", &two, 1).unwrap();
    assert_eq!(store.get("a", "owner", None), Some(one.clone()));
    let pinned = |bytes: &[u8]| store.get("a", "owner", Some(ComponentDigest::of(bytes)));
    assert_eq!((pinned(b"two"), pinned(b"three")), (Some(two.clone()), None), "a pin says which");
    store.prove("a", &digest(&one), "{1}");
    assert_eq!((store.get("a", "owner", None), store.good("a")), (Some(one.clone()), good(&one, "{1}")));
    store.prove("a", &digest(&two), "{}");
    assert_eq!((store.get("a", "owner", None), store.good("a")), (Some(two.clone()), good(&two, "{}")));
    // The way back is there.
    store.prove("a", &digest(&one), "{}");
    assert_eq!(store.good("a"), good(&one, "{}"));
    // What was not kept leaves what there is.
    store.prove("a", "sha256:0", "{}");
    store.prove("b", "sha256:0", "{}");
    assert_eq!(store.good("a"), good(&one, "{}"));
    // However many come.
    for bytes in [&b"3"[..], b"4", b"5", b"6"] {
        store.put("a", "owner", &kept(bytes), 1).unwrap();
    }
    assert_eq!((store.good("a"), store.all("a").len()), (good(&one, "{}"), 3));
    store.remove("a");
    assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 0);
}

#[test]
fn what_was_not_used_for_the_longest_time_makes_room() {
    let (_parent, mut store) = store();
    let x = ComponentDigest::of(b"x").to_string();
    for (name, age) in [("a", 30), ("b", 20), ("c", 10)] {
        store.put(name, "owner", &kept(b"x"), 1).unwrap();
        let then = SystemTime::now() - std::time::Duration::from_secs(age);
        File::open(store.path(name, &x)).unwrap().set_modified(then).unwrap();
    }
    assert!(store.get("a", "owner", None).is_some(), "which is a use");
    store.room = fs::metadata(store.path("a", &x)).unwrap().len() * 2;
    store.put("d", "owner", &kept(b"x"), 1).unwrap();
    let left = ["a", "b", "c", "d"].map(|name| store.get(name, "owner", None).is_some());
    assert_eq!(left, [true, false, false, true]);
    store.prove("a", &x, "{}");
    store.room = 0;
    store.put("e", "owner", &kept(b"x"), 1).unwrap();
    assert!(store.get("e", "owner", None).is_some(), "what is new is kept in any case");
    assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
}

#[test]
fn hostile_what_is_damaged_is_not_taken() {
    let (_parent, store) = store();
    store.put("a", "owner", &kept(b"component"), 1).unwrap();
    let path = store.path("a", &ComponentDigest::of(b"component").to_string());
    let whole = fs::read(&path).unwrap();
    for damaged in [
        whole.strip_suffix(b"t").unwrap().to_vec(),
        [whole.as_slice(), b"x"].concat(),
        b"{}\n".to_vec(),
        b"".to_vec(),
    ] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.get("a", "owner", None), None);
    }
}

#[test]
fn hostile_a_folder_that_others_may_use_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("open");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let error = ComponentStore::open(&folder).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(ComponentStore::open(&folder).is_ok());
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    assert!(ComponentStore::open(&link).is_err());
    // Nor is anything in it anybody else's, or the name of a place that may have a secret in it.
    let (_parent, store) = store();
    store.put("a", "owner", &kept(b"x"), 1).unwrap();
    store.prove("a", &ComponentDigest::of(b"x").to_string(), "{}");
    let files = fs::read_dir(&store.folder).unwrap();
    let modes: Vec<u32> = files.map(|file| file.unwrap().metadata().unwrap().mode() & 0o777).collect();
    assert_eq!(modes, [0o600, 0o600]);
}

#[test]
fn those_of_as_many_former_revisions_are_kept_as_are_asked_for() {
    let (_parent, store) = store();
    for bytes in [&b"1"[..], b"2", b"3", b"4", b"5", b"6"] {
        let kept = kept(bytes);
        store.put("a", "owner", &kept, 3).unwrap();
        store.prove("a", &ComponentDigest::of(bytes).to_string(), "{}");
    }
    // The one that runs, three before it, and room for one that comes.
    for (bytes, is_there) in [(&b"1"[..], false), (b"2", true), (b"3", true), (b"6", true)] {
        assert_eq!(store.path("a", &ComponentDigest::of(bytes).to_string()).exists(), is_there, "{bytes:?}");
    }
}

#[test]
fn hostile_what_did_not_prove_itself_makes_room_before_what_did_however_much_of_it_comes() {
    let (_parent, mut store) = store();
    let good = kept(b"good");
    let digest = ComponentDigest::of(b"good").to_string();
    store.put("stable", "owner", &good, 1).unwrap();
    store.prove("stable", &digest, "{}");
    let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
    File::open(store.path("stable", &digest)).unwrap().set_modified(long_ago).unwrap();
    store.room = fs::metadata(store.path("stable", &digest)).unwrap().len() * 3;
    for number in 0..20 {
        store.put(&format!("flood{number}"), "owner", &kept(&[number; 4]), 1).unwrap();
    }
    assert_eq!(store.good("stable"), Some((good.component, "{}".to_owned())));
    assert_eq!(store.components().unwrap().len(), 3);
}

#[test]
fn what_a_host_left_half_written_is_swept_once_nobody_can_be_at_it() {
    let (_parent, store) = store();
    for (name, age) in [("old.part", 7200), ("young.part", 60), ("old.other", 7200)] {
        let file = File::create(store.folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    ComponentStore::open(&store.folder).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(&store.folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["old.other", "young.part"]);
}

#[test]
fn hostile_what_says_which_is_good_leads_nowhere_else() {
    let (parent, store) = store();
    store.put("a", "owner", &kept(b"x"), 1).unwrap();
    let digest = ComponentDigest::of(b"x").to_string();
    fs::write(parent.path().join("elsewhere.component"), b"x").unwrap();
    // The same first digits, and a way out of the folder.
    let twin = format!("{}{}", digest.get(..40).unwrap(), "0".repeat(31));
    for component in ["../elsewhere", "sha256:../../elsewhere", "", &twin] {
        let pointer = serde_json::to_vec(&Good { component: component.to_owned(), config: "{}".to_owned() });
        fs::write(store.pointer_path("a"), pointer.unwrap()).unwrap();
        assert_eq!(store.good("a"), None, "{component}");
        assert!(store.get("a", "owner", None).is_some());
    }
    store.prove("a", &digest, "{}");
    assert!(store.good("a").is_some());
}
