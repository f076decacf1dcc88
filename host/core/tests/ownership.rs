//! What a write may not say of who owns an object or its fields.
#![cfg(test)]

use serde_json::{Value, json};
use wheelhouse_core::gate::{Gate, Permission, Verb};
use wheelhouse_core::request::{Change, PatchType, Write};
use wheelhouse_core::{ApiError, Key, Object, Permitted};

fn gate(permissions: &[(&str, &str, &[Verb])]) -> Gate {
    let permission = |(kind, subresource, verbs): &(&str, &str, &[Verb])| Permission {
        verbs: verbs.to_vec(),
        kind: kind.parse().unwrap(),
        subresource: (*subresource).into(),
        namespaces: vec![],
    };
    Gate::granting("p", permissions.iter().map(permission).collect())
}

const WRITES: &[Verb] = &[Verb::Create, Verb::Update, Verb::Patch];
const ALL: &[Verb] = &[Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];
const MAP: &str = "v1/ConfigMap";

fn write(change: Change) -> Write {
    Write {
        kind: MAP.parse().unwrap(),
        key: Key::new("a", "x"),
        subresource: String::new(),
        dry_run: false,
        field_manager: "p".into(),
        change,
    }
}

fn body(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

fn create(json: &Value) -> Write {
    write(Change::Create(body(json)))
}

fn update(json: &Value) -> Write {
    write(Change::Update(body(json)))
}

fn apply(json: &Value) -> Write {
    write(Change::Apply { object: body(json), force: true })
}

fn patch(patch_type: PatchType, json: &Value) -> Write {
    write(Change::Patch(patch_type, body(json)))
}

fn problem(result: Result<Permitted<Write>, ApiError>) -> String {
    result.map(|write| format!("permitted: {write:?}")).unwrap_err().to_string()
}

fn owned(owners: &Value) -> Value {
    json!({"metadata": {"name": "x", "ownerReferences": owners}})
}

fn owner(uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": uid, "controller": true})
}

fn holding_up(uid: &str) -> Value {
    let mut owner = owner(uid);
    owner["blockOwnerDeletion"] = json!(true);
    owner
}

#[test]
fn hostile_nobody_writes_under_the_name_of_another() {
    let gate = gate(&[(MAP, "", ALL)]);
    for (change, verb) in [
        (Change::Apply { object: b"{}".to_vec(), force: true }, "apply"),
        (Change::Create(b"{}".to_vec()), "write"),
        (Change::Patch(PatchType::Merge, b"{}".to_vec()), "write"),
    ] {
        let write = Write { field_manager: "kubectl".into(), ..write(change) };
        let problem = problem(gate.permit(write));
        let expected =
            format!("plugin p may not {verb} as field manager \"kubectl\"; leave it empty, or use \"p\"");
        assert_eq!(problem, expected);
    }
}

#[test]
fn hostile_a_write_that_says_who_manages_fields_is_refused() {
    let gate = gate(&[(MAP, "", ALL)]);
    for fields in [json!(null), json!([]), json!([{}]), json!([{"manager": "p"}]), json!("x")] {
        let object = json!({"metadata": {"name": "x", "managedFields": fields}});
        for write in [
            create(&object),
            update(&object),
            apply(&object),
            patch(PatchType::Merge, &object),
            patch(PatchType::Strategic, &object),
        ] {
            let problem = problem(gate.permit(write));
            assert!(problem.contains("may not write metadata.managedFields"), "{object}: {problem}");
        }
    }
    for object in [
        json!({"metadata": null}),
        json!({"metadata": {"$patch": "replace", "labels": {}}}),
        json!({"metadata": {"$retainKeys": ["name"]}}),
        json!({"$patch": "replace", "data": {}}),
        json!({"$retainKeys": ["data"], "metadata": {}}),
        json!({"metadata": {"$setElementOrder/managedFields": []}}),
        json!({"metadata": {"$deleteFromPrimitiveList/managedFields": []}}),
    ] {
        for patch_type in [PatchType::Merge, PatchType::Strategic] {
            let problem = problem(gate.permit(patch(patch_type, &object)));
            assert!(problem.contains("may not write metadata.managedFields"), "{object}: {problem}");
        }
    }
}

#[test]
fn hostile_a_json_patch_reaches_managed_fields_by_no_path() {
    let gate = gate(&[(MAP, "", ALL)]);
    for operation in [
        json!({"op": "remove", "path": "/metadata/managedFields"}),
        json!({"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "p"}),
        json!({"op": "add", "path": "/metadata/managedFields/-", "value": {}}),
        json!({"op": "replace", "path": "/metadata", "value": {"name": "x"}}),
        json!({"op": "replace", "path": "", "value": {}}),
        json!({"op": "move", "from": "/metadata/managedFields", "path": "/data"}),
        json!({"op": "move", "from": "/metadata", "path": "/data"}),
        json!({"op": "copy", "from": "/data", "path": "/metadata/managedFields"}),
        json!({"op": "copy", "from": "/metadata/managedFields", "path": "/data"}),
        json!({"op": "copy", "from": "", "path": "/data"}),
    ] {
        let problem = problem(gate.permit(patch(PatchType::Json, &json!([operation]))));
        assert!(problem.contains("may not write metadata.managedFields"), "{operation}: {problem}");
    }
    // The API server's library would take it for /metadata/managedFields.
    for path in ["x/metadata/managedFields", "metadata/managedFields", "metadata"] {
        let operation = json!([{"op": "remove", "path": path}]);
        let result = gate.permit(patch(PatchType::Json, &operation));
        assert!(matches!(result, Err(ApiError::BadRequest(_))), "{path}: {result:?}");
    }
    for operation in [
        json!({"op": "test", "path": "/metadata/managedFields", "value": []}),
        json!({"op": "add", "path": "/metadata/labels/managedFields", "value": "x"}),
        json!({"op": "add", "path": "/metadata/managedFields~1x", "value": "x"}),
        json!({"op": "add", "path": "/data/metadata", "value": "x"}),
    ] {
        let result = gate.permit(patch(PatchType::Json, &json!([operation])));
        assert!(result.is_ok(), "{operation}: {result:?}");
    }
}

#[test]
fn hostile_a_body_that_can_be_read_in_two_ways_is_refused() {
    let gate = gate(&[(MAP, "", ALL)]);
    let merge = |text: &str| write(Change::Patch(PatchType::Merge, text.into()));
    let json = |text: &str| write(Change::Patch(PatchType::Json, text.into()));
    for write in [
        merge(r#"{"metadata": {"managedFields": []}, "metadata": {}}"#),
        merge(r#"{"metadata": {"labels": {}}, "metadata": {"managedFields": []}}"#),
        merge(r#"{"metadata": {"ownerReferences": [], "ownerReferences": null}}"#),
        // One reader could take the write for that of another object.
        merge(r#"{"metadata": {"name": "x", "name": "y"}}"#),
        merge(r#"{"metadata": {"namespace": "a", "namespace": "b"}}"#),
        write(Change::Create(br#"{"metadata": {"name": "x", "name": "y"}}"#.to_vec())),
        write(Change::Update(br#"{"metadata": {"name": "x", "namespace": "a", "namespace": "b"}}"#.to_vec())),
        json(r#"[{"op": "remove", "path": "/data/x", "path": "/metadata/managedFields"}]"#),
        json(r#"{"op": "remove", "path": "/data/x"}"#),
        json("[{"),
        merge("no JSON"),
    ] {
        let result = gate.permit(write);
        assert!(matches!(result, Err(ApiError::BadRequest(_))), "{result:?}");
    }
    let escaped = merge("{\"metadata\": {\"managed\\u0046ields\": []}}");
    assert!(problem(gate.permit(escaped)).contains("may not write metadata.managedFields"));
}

#[test]
fn hostile_owners_are_changed_only_by_who_may_delete() {
    let (writes, all) = (gate(&[(MAP, "", WRITES)]), gate(&[(MAP, "", ALL)]));
    let object = |json: &Value| Object::from_value(json).unwrap();
    let verdict = |gate: &Gate, write: Write, current: Option<&Value>| {
        let permitted = gate.permit(write).unwrap();
        permitted.owners_stay().map_or(Ok(()), |owners| owners.judge(current.map(object).as_ref()))
    };
    let (bare, u, uv, v) = (
        json!({"metadata": {"name": "x"}}),
        owned(&json!([owner("u")])),
        owned(&json!([owner("u"), owner("v")])),
        owned(&json!([owner("v")])),
    );
    let none = owned(&json!(null));
    // What the write says, what there is, whether an update may, whether an apply may.
    for (wanted, current, updates, applies) in [
        (&u, Some(&u), true, true),
        (&u, None, true, true),
        (&u, Some(&bare), false, false),
        (&v, Some(&u), false, false),
        (&uv, Some(&u), false, false),
        (&u, Some(&uv), false, true),
        (&bare, Some(&u), false, true),
        (&bare, Some(&bare), true, true),
        (&none, Some(&bare), true, true),
        (&none, Some(&u), false, true),
    ] {
        assert_eq!(verdict(&writes, update(wanted), current).is_ok(), updates, "{wanted} over {current:?}");
        assert_eq!(verdict(&writes, apply(wanted), current).is_ok(), applies, "{wanted} over {current:?}");
        assert!(
            verdict(&all, update(wanted), current).is_ok() && verdict(&all, apply(wanted), current).is_ok()
        );
    }
    let denied = verdict(&writes, update(&v), Some(&u)).unwrap_err().to_string();
    assert!(denied.contains("plugin p may not change metadata.ownerReferences"), "{denied}");

    // Who creates may say whose it is.
    assert!(writes.permit(create(&u)).unwrap().owners_stay().is_none());
    // A patch is not compared: it takes the permission.
    for write in [
        patch(PatchType::Merge, &u),
        patch(PatchType::Merge, &none),
        patch(PatchType::Strategic, &u),
        patch(PatchType::Strategic, &json!({"metadata": {"$setElementOrder/ownerReferences": []}})),
        patch(
            PatchType::Strategic,
            &json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "u"}]}}),
        ),
        patch(
            PatchType::Json,
            &json!([{"op": "add", "path": "/metadata/ownerReferences", "value": [owner("u")]}]),
        ),
        patch(
            PatchType::Json,
            &json!([{"op": "add", "path": "/metadata/ownerReferences/-", "value": owner("u")}]),
        ),
        patch(PatchType::Json, &json!([{"op": "remove", "path": "/metadata/ownerReferences/0"}])),
        patch(
            PatchType::Json,
            &json!([{"op": "move", "from": "/metadata/ownerReferences", "path": "/data"}]),
        ),
    ] {
        let problem = problem(writes.permit(write.clone()));
        assert!(problem.contains("may not change metadata.ownerReferences"), "{write:?}: {problem}");
        assert!(all.permit(write.clone()).is_ok(), "{write:?}");
    }
}

#[test]
fn hostile_an_owner_is_held_up_only_by_who_may_update_it() {
    let gate_with = |owner: &[(&str, &str, &[Verb])]| {
        let mut permissions: Vec<(&str, &str, &[Verb])> = vec![(MAP, "", ALL)];
        permissions.extend(owner);
        gate(&permissions)
    };
    let held = owned(&json!([holding_up("u")]));
    let writes = || {
        [
            create(&held),
            patch(PatchType::Merge, &held),
            patch(
                PatchType::Json,
                &json!([{"op": "add", "path": "/metadata/ownerReferences/-", "value": holding_up("u")}]),
            ),
        ]
    };
    for (of_owner, permitted) in [
        (None, false),
        (Some(("v1/Node", "", &[Verb::Get, Verb::Delete][..])), false),
        (Some(("v1/Node", "status", &[Verb::Update][..])), false),
        (Some(("v1/Pod", "", &[Verb::Update][..])), false),
        (Some(("v1/Node", "", &[Verb::Update][..])), true),
        (Some(("v1/Node", "finalizers", &[Verb::Update][..])), true),
        (Some(("v1/Node", "finalizers", &[Verb::Patch][..])), true),
    ] {
        let gate = gate_with(of_owner.as_slice());
        for write in writes() {
            let result = gate.permit(write);
            assert_eq!(result.is_ok(), permitted, "{of_owner:?}: {result:?}");
        }
        for write in [update(&held), apply(&held)] {
            let write = gate.permit(write).unwrap();
            let judge = |current: Option<&Value>| {
                let current = current.map(|json| Object::from_value(json).unwrap());
                write.owners_stay().map_or(Ok(()), |owners| owners.judge(current.as_ref()))
            };
            assert!(judge(Some(&held)).is_ok(), "someone else has set it");
            assert_eq!(judge(None).is_ok(), permitted, "{of_owner:?}");
            assert_eq!(judge(Some(&owned(&json!([owner("u")])))).is_ok(), permitted, "{of_owner:?}");
        }
    }
    // Ways that do not tell whom it holds up.
    let gate = gate_with(&[("v1/Node", "", ALL)]);
    for write in [
        patch(
            PatchType::Json,
            &json!([{"op": "add", "path": "/metadata/ownerReferences/0/blockOwnerDeletion", "value": true}]),
        ),
        patch(
            PatchType::Json,
            &json!([{"op": "copy", "from": "/data/x", "path": "/metadata/ownerReferences/0"}]),
        ),
        patch(
            PatchType::Json,
            &json!([{"op": "move", "from": "/data/x", "path": "/metadata/ownerReferences"}]),
        ),
        patch(PatchType::Merge, &owned(&json!("u"))),
        patch(PatchType::Strategic, &owned(&json!([{"uid": "u", "blockOwnerDeletion": true}]))),
    ] {
        assert!(gate.permit(write.clone()).is_err(), "{write:?}");
    }
}

#[test]
fn a_scale_says_nothing_of_owners() {
    let gate = gate(&[(MAP, "scale", WRITES), (MAP, "status", WRITES)]);
    let scale = Write { subresource: "scale".into(), ..update(&json!({"spec": {"replicas": 1}})) };
    assert!(gate.permit(scale).unwrap().owners_stay().is_none());
    let status = Write { subresource: "status".into(), ..update(&json!({"status": {}})) };
    assert!(gate.permit(status).unwrap().owners_stay().is_some());
}

#[test]
fn hostile_an_update_creates_nothing_without_the_permission_to_create() {
    const LEASE: &str = "coordination.k8s.io/v1/Lease";
    let lease = |subresource: &str| Write {
        kind: LEASE.parse().unwrap(),
        subresource: subresource.into(),
        ..update(&json!({"metadata": {"name": "x"}}))
    };
    let updates: &[Verb] = &[Verb::Update, Verb::Delete];
    let problem = problem(gate(&[(LEASE, "", updates)]).permit(lease("")));
    assert!(problem.contains("the permission to create one"), "{problem}");
    assert!(gate(&[(LEASE, "", ALL)]).permit(lease("")).is_ok());
    // Of other kinds, and by way of a subresource, an update creates nothing.
    assert!(gate(&[(LEASE, "status", updates)]).permit(lease("status")).is_ok());
    assert!(gate(&[(MAP, "", updates)]).permit(update(&json!({"metadata": {"name": "x"}}))).is_ok());
}
