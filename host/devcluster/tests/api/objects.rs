//! Create, get, update, delete, and the metadata that the server keeps.

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, DEPLOYMENTS, LEASES, PODS, config_map, deployment, event, lease, pod, start,
};

#[tokio::test]
async fn a_created_object_gets_the_servers_metadata() {
    let server = start().await;
    let answer = server.post(CONFIG_MAPS, config_map("a", json!({ "k": "v" }))).await;
    assert_eq!(answer.code, 201);
    let meta = &answer.body["metadata"];
    assert_eq!(meta["namespace"], "default");
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert!(meta["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.ok(), answer.body);
}

#[tokio::test]
async fn creating_twice_is_already_exists() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let status = server.post(CONFIG_MAPS, config_map("a", json!({}))).await.refused(409, "AlreadyExists");
    assert_eq!(status["message"], "configmaps \"a\" already exists");
    assert_eq!(status["details"], json!({ "name": "a", "kind": "configmaps" }));
}

#[tokio::test]
async fn a_missing_object_is_not_found_with_details() {
    let server = start().await;
    let status = server.get(&format!("{DEPLOYMENTS}/x")).await.refused(404, "NotFound");
    assert_eq!(status["message"], "deployments.apps \"x\" not found");
    assert_eq!(status["details"], json!({ "name": "x", "group": "apps", "kind": "deployments" }));
}

#[tokio::test]
async fn creating_in_a_namespace_that_does_not_exist_is_not_found() {
    let server = start().await;
    let path = "/api/v1/namespaces/nowhere/configmaps";
    let status = server.post(path, config_map("a", json!({}))).await.refused(404, "NotFound");
    assert_eq!(status["message"], "namespaces \"nowhere\" not found");
}

#[tokio::test]
async fn generate_name_makes_distinct_names() {
    let server = start().await;
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "job-" } });
    let first = server.post(CONFIG_MAPS, body.clone()).await.ok();
    let second = server.post(CONFIG_MAPS, body).await.ok();
    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("job-") && name.len() == 9, "{name}");
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[tokio::test]
async fn a_bad_name_or_label_is_invalid_with_its_cause() {
    let server = start().await;
    let status = server.post(CONFIG_MAPS, config_map("Bad_Name", json!({}))).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
    let mut body = config_map("a", json!({}));
    body["metadata"]["labels"] = json!({ "k": "not a value!" });
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.labels");
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {} });
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
}

#[tokio::test]
async fn a_body_of_another_kind_or_namespace_is_a_bad_request() {
    let server = start().await;
    server.post(CONFIG_MAPS, pod("a")).await.refused(400, "BadRequest");
    let mut body = config_map("a", json!({}));
    body["metadata"]["namespace"] = json!("kube-system");
    server.post(CONFIG_MAPS, body).await.refused(400, "BadRequest");
    let json_type = [("content-type", "application/json")];
    server.send("POST", CONFIG_MAPS, &json_type, "{").await.refused(400, "BadRequest");
    server.send("POST", CONFIG_MAPS, &json_type, "[]").await.refused(400, "BadRequest");
}

#[tokio::test]
async fn yaml_bodies_are_understood() {
    let server = start().await;
    let send = async |yaml: &str| {
        server.send("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], yaml).await
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: \"1\"\n";
    assert_eq!(send(yaml).await.ok()["data"], json!({ "a": "1" }));
    // As YAML 1.1 has it, these are booleans.
    for word in ["y", "Yes", "on", "NO", "off"] {
        let status =
            send(&yaml.replace("name: a", &format!("name: {word}"))).await.refused(400, "BadRequest");
        let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go \
                   struct field ObjectMeta.metadata.name of type string";
        assert_eq!(status["message"], why, "{word}");
    }
}

#[tokio::test]
async fn an_update_from_a_stale_version_conflicts_and_one_without_a_version_does_not() {
    let server = start().await;
    let first = server.config_map("a", json!({ "k": "1" })).await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut second = first.clone();
    second["data"] = json!({ "k": "2" });
    let second = server.put(&path, second).await.ok();
    assert_ne!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let status = server.put(&path, first).await.refused(409, "Conflict");
    assert!(status["message"].as_str().unwrap().contains("the object has been modified"));
    server.put(&path, config_map("a", json!({ "k": "3" }))).await.ok();
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_the_version() {
    let server = start().await;
    let before = server.config_map("a", json!({ "k": "1" })).await;
    let after = server.put(&format!("{CONFIG_MAPS}/a"), before.clone()).await.ok();
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn immutable_metadata_survives_an_update_and_another_uid_conflicts() {
    let server = start().await;
    let before = server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut body = config_map("a", json!({ "x": "y" }));
    body["metadata"]["creationTimestamp"] = json!("2000-01-01T00:00:00Z");
    let after = server.put(&path, body.clone()).await.ok();
    for field in ["uid", "creationTimestamp"] {
        assert_eq!(before["metadata"][field], after["metadata"][field]);
    }
    body["metadata"]["uid"] = json!("11111111-1111-1111-1111-111111111111");
    server.put(&path, body).await.refused(409, "Conflict");
}

#[tokio::test]
async fn generation_counts_changes_of_the_specification_and_of_a_deployments_annotations() {
    let server = start().await;
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap();
    let created = server.post(DEPLOYMENTS, deployment("web")).await.ok();
    assert_eq!(generation(&created), 1);
    let path = format!("{DEPLOYMENTS}/web");
    let labelled = server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await.ok();
    assert_eq!(generation(&labelled), 1);
    let scaled = server.merge(&path, json!({ "spec": { "replicas": 5 } })).await.ok();
    assert_eq!(generation(&scaled), 2);
    let reported = server.merge(&format!("{path}/status"), json!({ "status": { "replicas": 5 } })).await.ok();
    assert_eq!(generation(&reported), 2);
    assert_eq!(reported["status"]["replicas"], 5);
    let annotations = json!({ "metadata": { "annotations": { "a": "b" } } });
    let annotated = server.merge(&format!("{path}/status"), annotations).await.ok();
    assert_eq!(generation(&annotated), 2);
    let annotations = json!({ "metadata": { "annotations": { "a": "c" } } });
    assert_eq!(generation(&server.merge(&path, annotations).await.ok()), 3);
}

#[tokio::test]
async fn status_and_the_rest_are_written_apart() {
    let server = start().await;
    // Nothing runs by it, so that no controller writes its status meanwhile.
    let schedule = |day: &str| format!("0 0 {day} 1 *");
    let template = deployment("web")["spec"]["template"]["spec"]["containers"].clone();
    let job = json!({ "template": { "spec": { "restartPolicy": "Never", "containers": template } } });
    let last = |year: &str| json!({ "lastScheduleTime": format!("{year}-01-01T00:00:00Z") });
    let body = json!({ "metadata": { "name": "c" }, "status": last("2009"),
        "spec": { "suspend": true, "schedule": schedule("1"), "jobTemplate": { "spec": job } } });
    let list = "/apis/batch/v1/namespaces/default/cronjobs";
    let created = server.post(list, body).await.ok();
    assert_eq!(created["status"]["lastScheduleTime"], Value::Null);
    let path = format!("{list}/c");
    let change = json!({ "spec": { "schedule": schedule("7") }, "status": last("2007") });
    let by_status = server.merge(&format!("{path}/status"), change).await.ok();
    assert_eq!(
        (&by_status["spec"]["schedule"], &by_status["status"]),
        (&json!(schedule("1")), &last("2007"))
    );
    let change = json!({ "spec": { "schedule": schedule("8") }, "status": last("2008") });
    let by_main = server.merge(&path, change).await.ok();
    assert_eq!((&by_main["spec"]["schedule"], &by_main["status"]), (&json!(schedule("8")), &last("2007")));
}

#[tokio::test]
async fn scale_is_read_and_written_in_its_own_shape() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web/scale");
    let scale = server.get(&path).await.ok();
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["status"]["selector"], "app=web");
    let scale = server.merge(&path, json!({ "spec": { "replicas": 4 } })).await.ok();
    assert_eq!(scale["spec"]["replicas"], 4);
    let deployment = server.get(&format!("{DEPLOYMENTS}/web")).await.ok();
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]),
        (&json!(4), &json!(2))
    );
    server.merge(&path, json!({ "spec": { "replicas": -1 } })).await.refused(422, "Invalid");
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/x/scale")).await.code, 404);
}

#[tokio::test]
async fn the_selector_of_a_scale_has_labels_and_expressions() {
    let server = start().await;
    let mut body = deployment("web");
    body["spec"]["selector"]["matchExpressions"] = json!([
        { "key": "tier", "operator": "NotIn", "values": ["db", "cache"] }, { "key": "zone", "operator": "Exists" },
        { "key": "beta", "operator": "DoesNotExist" },
    ]);
    let status = server.post(DEPLOYMENTS, body.clone()).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.template.metadata.labels", "it has no zone");
    body["spec"]["template"]["metadata"]["labels"]["zone"] = json!("x");
    server.post(DEPLOYMENTS, body).await.ok();
    let scale = server.get(&format!("{DEPLOYMENTS}/web/scale")).await.ok();
    assert_eq!(scale["status"]["selector"], "app=web,!beta,tier notin (cache,db),zone");
}

#[tokio::test]
async fn a_pod_says_from_the_start_how_well_it_is_served() {
    let server = start().await;
    for (name, resources, class) in [
        ("a", json!({}), "BestEffort"),
        ("b", json!({ "requests": { "cpu": "1" } }), "Burstable"),
        ("c", json!({ "limits": { "cpu": "1", "memory": "1Gi" } }), "Guaranteed"),
    ] {
        let mut body = pod(name);
        body["spec"]["containers"][0]["resources"] = resources;
        assert_eq!(server.post(PODS, body).await.ok()["status"]["qosClass"], class);
    }
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let server = start().await;
    let dry = server.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a", json!({}))).await;
    assert_eq!(dry.code, 201);
    server.get(&format!("{CONFIG_MAPS}/a")).await.refused(404, "NotFound");
    let before = server.config_map("a", json!({ "k": "1" })).await;
    let path = format!("{CONFIG_MAPS}/a?dryRun=All");
    let dry = server.merge(&path, json!({ "data": { "k": "2" } })).await.ok();
    assert_eq!(dry["data"]["k"], "2");
    server.apply(&path, "m", config_map("a", json!({ "n": "1" }))).await.ok();
    server.delete(&path).await.ok();
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.ok(), before);
    server.delete(&format!("{CONFIG_MAPS}/a?dryRun=Some")).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_delete_answers_with_a_status_and_the_object_is_gone() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let status = server.delete(&format!("{CONFIG_MAPS}/a")).await.ok();
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    server.get(&format!("{CONFIG_MAPS}/a")).await.refused(404, "NotFound");
    server.delete(&format!("{CONFIG_MAPS}/a")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_delete_with_a_precondition_that_fails_conflicts() {
    let server = start().await;
    let created = server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    for precondition in [json!({ "uid": "other" }), json!({ "resourceVersion": "1" })] {
        let options = json!({ "preconditions": precondition }).to_string();
        let json_type = [("content-type", "application/json")];
        server.send("DELETE", &path, &json_type, options).await.refused(409, "Conflict");
    }
    let options = json!({ "preconditions": { "uid": created["metadata"]["uid"] } }).to_string();
    server.send("DELETE", &path, &[("content-type", "application/json")], options).await.ok();
}

#[tokio::test]
async fn finalizers_hold_an_object_back_until_the_last_is_gone() {
    let server = start().await;
    let mut body = config_map("a", json!({}));
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(CONFIG_MAPS, body).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let pending = server.delete(&path).await.ok();
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let again = server.delete(&path).await.ok();
    assert_eq!(pending["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"]);
    let more = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } });
    server.merge(&path, more).await.refused(422, "Invalid");
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
    server.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn deletecollection_takes_what_the_selector_matches() {
    let server = start().await;
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut body = lease(name);
        body["metadata"]["labels"] = json!({ "app": app });
        server.post(LEASES, body).await.ok();
    }
    let list = server.delete(&format!("{LEASES}?labelSelector=app%3Dx")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let left = server.get(LEASES).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn evicting_a_pod_deletes_it_and_binding_sets_its_node() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    for subresource in ["binding", "eviction"] {
        let nameless = server.post(&format!("{PODS}/p/{subresource}"), json!({})).await;
        let message = nameless.refused(400, "BadRequest")["message"].as_str().unwrap().to_lowercase();
        assert_eq!(message, format!("name in url does not match name in {subresource} object"));
    }
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    server.post(&format!("{PODS}/p/binding"), binding.clone()).await.ok();
    assert_eq!(server.get(&format!("{PODS}/p")).await.ok()["spec"]["nodeName"], "n1");
    server.post(&format!("{PODS}/p/binding"), binding).await.refused(409, "Conflict");
    server.post(&format!("{PODS}/p/eviction"), json!({ "metadata": { "name": "p" } })).await.ok();
    let pending = server.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(pending["metadata"]["deletionGracePeriodSeconds"], 30);
    let now = json!({ "metadata": { "name": "p" }, "deleteOptions": { "gracePeriodSeconds": 0 } });
    server.post(&format!("{PODS}/p/eviction"), now).await.ok();
    server.get(&format!("{PODS}/p")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn methods_and_media_types_that_fit_nothing_are_refused() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    server.put(CONFIG_MAPS, json!({})).await.refused(405, "MethodNotAllowed");
    let path = format!("{CONFIG_MAPS}/a");
    server.patch(&path, "text", json!({})).await.refused(415, "UnsupportedMediaType");
    server.get_as(&path, "text/html").await.refused(406, "NotAcceptable");
    let big = vec![b' '; 4 * 1024 * 1024];
    let answer = server.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], big).await;
    answer.refused(413, "RequestEntityTooLarge");
}

#[tokio::test]
async fn the_two_event_apis_show_the_same_events() {
    let server = start().await;
    let first = json!({ "metadata": { "name": "e" }, "reason": "Tested", "message": "hello", "type": "Normal",
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" } });
    server.post("/api/v1/namespaces/default/events", first).await.ok();
    let seen = server.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.ok();
    assert_eq!(seen["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&seen["note"], &seen["regarding"]["name"]), (&json!("hello"), &json!("p")));
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let mut later = event("f", "Tested", "new");
    later["regarding"]["name"] = json!("p");
    server.post(events, later).await.ok();
    let path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp";
    let list = server.get(path).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][1]["message"], "new");
}

#[tokio::test]
async fn a_secret_in_plain_text_is_stored_encoded() {
    let server = start().await;
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "k": "hello" } });
    let stored = server.post("/api/v1/namespaces/default/secrets", secret).await.ok();
    assert_eq!(stored["data"], json!({ "k": "aGVsbG8=" }));
    assert_eq!((&stored["type"], stored.get("stringData")), (&json!("Opaque"), None));
}

#[tokio::test]
async fn a_deployment_whose_selector_misses_its_template_is_invalid() {
    let server = start().await;
    let mut body = deployment("web");
    body["spec"]["template"]["metadata"]["labels"] = json!({ "app": "other" });
    let status = server.post(DEPLOYMENTS, body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.template.metadata.labels");
}

#[tokio::test]
async fn a_lease_is_replaced_only_by_who_knows_its_version() {
    let server = start().await;
    let lease = |holder: &str, version: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "l", "resourceVersion": version}, "spec": {"holderIdentity": holder}})
    };
    let path = format!("{LEASES}/l");
    let first = server.put(&path, lease("a", "7")).await;
    assert_eq!(first.code, 201, "an update creates a Lease, whichever version it expects");
    let first = first.ok();
    server.post(LEASES, lease("b", "")).await.refused(409, "AlreadyExists");
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let second = server.put(&path, lease("a, renewed", version)).await.ok();
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    server.put(&path, lease("b", version)).await.refused(409, "Conflict");
    assert_eq!(server.get(&path).await.ok()["spec"]["holderIdentity"], "a, renewed");
}
