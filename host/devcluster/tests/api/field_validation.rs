//! Built-in kinds have types: what is unknown is dropped and told, and what does not fit is refused.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, start};

fn misspelt(name: &str) -> Value {
    let mut web = deployment(name);
    web["spec"]["replcias"] = json!(3);
    web["spec"]["template"]["spec"]["containers"][0]["imag"] = json!("x");
    web
}

const UNKNOWN: &str =
    r#"unknown field "spec.replcias", unknown field "spec.template.spec.containers[0].imag""#;

async fn refused_as(server: &Server, path: &str, body: Value, code: u16, message: &str) {
    let reason = if code == 400 { "BadRequest" } else { "Invalid" };
    assert_eq!(server.post(path, body).await.refused(code, reason)["message"], message);
}

fn unfit(kind: &str, why: &str) -> String {
    format!("{kind} in version \"v1\" cannot be handled as a {kind}: {why}")
}

#[tokio::test]
async fn an_unknown_field_is_refused_if_asked_for() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let message = unfit("Deployment", &format!("strict decoding error: {UNKNOWN}"));
    refused_as(&server, &path, misspelt("web"), 400, &message).await;
    server.get(&format!("{DEPLOYMENTS}/web")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn an_unknown_field_is_warned_of_and_dropped_by_default() {
    let server = start().await;
    for path in [DEPLOYMENTS.to_owned(), format!("{DEPLOYMENTS}?fieldValidation=Warn")] {
        let answer = server.post(&path, misspelt("web")).await;
        let expected = [
            r#"299 - "unknown field \"spec.replcias\"""#,
            r#"299 - "unknown field \"spec.template.spec.containers[0].imag\"""#,
        ];
        assert_eq!(answer.warnings, expected);
        let web = answer.ok();
        assert!(web["spec"].get("replcias").is_none());
        assert!(web["spec"]["template"]["spec"]["containers"][0].get("imag").is_none());
        server.delete(&format!("{DEPLOYMENTS}/web")).await.ok();
        server.eventually_gone(&format!("{DEPLOYMENTS}/web")).await;
    }
}

#[tokio::test]
async fn an_unknown_field_is_dropped_in_silence_if_asked_for() {
    let server = start().await;
    let answer = server.post(&format!("{DEPLOYMENTS}?fieldValidation=Ignore"), misspelt("web")).await;
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    assert!(answer.ok()["spec"].get("replcias").is_none());
}

#[tokio::test]
async fn unknown_fields_of_metadata_and_of_the_object_are_unknown_too() {
    let server = start().await;
    let mut map = config_map("m", json!({ "a": "1" }));
    map["spec"] = json!({});
    map["metadata"]["lables"] = json!({ "a": "b" });
    let answer = server.post(CONFIG_MAPS, map).await;
    let expected = [r#"299 - "unknown field \"metadata.lables\"""#, r#"299 - "unknown field \"spec\"""#];
    assert_eq!(answer.warnings, expected);
    let map = answer.ok();
    assert!(map.get("spec").is_none() && map["metadata"].get("lables").is_none(), "{map}");
}

#[tokio::test]
async fn an_update_is_held_to_the_type_as_a_create_is() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let refusal = server.put(&format!("{path}?fieldValidation=Strict"), misspelt("web")).await;
    let message = unfit("Deployment", &format!("strict decoding error: {UNKNOWN}"));
    assert_eq!(refusal.refused(400, "BadRequest")["message"], message);
    let answer = server.put(&path, misspelt("web")).await;
    assert_eq!(answer.warnings.len(), 2, "{:?}", answer.warnings);
    assert!(answer.ok()["spec"].get("replcias").is_none());
}

#[tokio::test]
async fn a_wrong_type_is_told_with_the_field_and_its_type() {
    let server = start().await;
    let mut web = deployment("web");
    web["spec"]["replicas"] = json!("three");
    let why = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32";
    refused_as(&server, DEPLOYMENTS, web, 400, &unfit("Deployment", why)).await;
    let mut web = deployment("web");
    web["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": 1 }]);
    let why = "json: cannot unmarshal number into Go struct field \
               EnvVar.spec.template.spec.containers.env.value of type string";
    refused_as(&server, DEPLOYMENTS, web, 400, &unfit("Deployment", why)).await;
    let mut web = deployment("web");
    web["spec"]["template"]["spec"]["containers"] = json!({ "name": "app" });
    let why = "json: cannot unmarshal object into Go struct field \
               PodSpec.spec.template.spec.containers of type []v1.Container";
    refused_as(&server, DEPLOYMENTS, web, 400, &unfit("Deployment", why)).await;
    let mut web = deployment("web");
    web["spec"]["replicas"] = json!(1.5);
    let why =
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32";
    refused_as(&server, DEPLOYMENTS, web, 400, &unfit("Deployment", why)).await;
}

#[tokio::test]
async fn wrong_types_of_maps_and_numbers_out_of_range_are_refused() {
    let server = start().await;
    let why = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
    refused_as(&server, CONFIG_MAPS, config_map("m", json!({ "a": 1 })), 400, &unfit("ConfigMap", why)).await;
    let why = "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string";
    refused_as(&server, CONFIG_MAPS, config_map("m", json!(["a"])), 400, &unfit("ConfigMap", why)).await;
    let mut map = config_map("m", json!({}));
    map["metadata"]["labels"] = json!({ "a": true });
    let why = "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string";
    refused_as(&server, CONFIG_MAPS, map, 400, &unfit("ConfigMap", why)).await;
    let mut web = deployment("web");
    web["spec"]["replicas"] = json!(4_294_967_296_u64);
    let why = "json: cannot unmarshal number 4294967296 into Go struct field \
               DeploymentSpec.spec.replicas of type int32";
    refused_as(&server, DEPLOYMENTS, web, 400, &unfit("Deployment", why)).await;
}

#[tokio::test]
async fn quantities_are_text_or_numbers_that_can_be_read() {
    let server = start().await;
    let with = |name: &str, cpu: Value| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
        pod
    };
    for (name, cpu, stored) in [("a", json!("100m"), "100m"), ("b", json!(2), "2")] {
        let pod = server.post(PODS, with(name, cpu)).await.ok();
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"], stored);
    }
    let form = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    for bad in [json!("lots"), json!(""), json!(true), json!({ "a": 1 })] {
        refused_as(&server, PODS, with("c", bad), 400, &unfit("Pod", form)).await;
    }
    let suffix = unfit("Pod", "unable to parse quantity's suffix");
    refused_as(&server, PODS, with("c", json!("1mm")), 400, &suffix).await;
}

#[tokio::test]
async fn a_target_port_is_a_number_or_a_name() {
    let server = start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, port: Value| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "ports": [{ "port": 80, "targetPort": port }] } })
    };
    for (name, port) in [("a", json!(8080)), ("b", json!("http"))] {
        let stored = server.post(services, service(name, port.clone())).await.ok();
        assert_eq!(stored["spec"]["ports"][0]["targetPort"], port);
    }
    let why =
        "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32";
    refused_as(&server, services, service("c", json!(true)), 400, &unfit("Service", why)).await;
}

#[tokio::test]
async fn times_and_base64_are_parsed() {
    let server = start().await;
    let mut map = config_map("m", json!({}));
    map["metadata"]["creationTimestamp"] = json!("yesterday");
    let layout = "2006-01-02T15:04:05Z07:00";
    let why = format!("parsing time \"yesterday\" as \"{layout}\": cannot parse \"yesterday\" as \"2006\"");
    refused_as(&server, CONFIG_MAPS, map, 400, &unfit("ConfigMap", &why)).await;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" },
        "data": { "a": "not-base64!" } });
    let why = unfit("Secret", "illegal base64 data at input byte 3");
    refused_as(&server, "/api/v1/namespaces/default/secrets", secret, 400, &why).await;
}

#[tokio::test]
async fn a_null_reads_as_absent() {
    let server = start().await;
    let mut web = deployment("web");
    web["metadata"]["creationTimestamp"] = Value::Null;
    web["spec"]["replicas"] = Value::Null;
    web["spec"]["template"]["spec"]["volumes"] = Value::Null;
    web["status"] = Value::Null;
    let answer = server.post(&format!("{DEPLOYMENTS}?fieldValidation=Strict"), web).await;
    let web = answer.ok();
    assert_eq!(web["spec"]["replicas"], 1);
    assert!(web["spec"]["template"]["spec"].get("volumes").is_none());
}

#[tokio::test]
async fn what_has_no_type_is_taken_as_it_is() {
    let server = start().await;
    let data = json!({ "any": { "thing": [1, null, "x"] }, "none": null });
    let revision = json!({ "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": { "name": "r" },
        "revision": 1, "data": data });
    let path = "/apis/apps/v1/namespaces/default/controllerrevisions?fieldValidation=Strict";
    assert_eq!(server.post(path, revision).await.ok()["data"], data);
}

#[tokio::test]
async fn a_patch_that_leaves_a_wrong_type_is_invalid() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/m");
    server.config_map("m", json!({ "a": "1" })).await;
    let refusal = server.merge(&path, json!({ "data": { "a": 5 } })).await.refused(422, "Invalid");
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.starts_with(r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\","#),
        "{message}"
    );
    let why = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
    assert!(message.ends_with(why), "{message}");
    let operations = json!([{ "op": "replace", "path": "/data", "value": "x" }]);
    let refusal = server.patch(&path, "json-patch+json", operations).await.refused(422, "Invalid");
    assert_eq!(refusal["details"]["causes"][0]["field"], "patch");
    assert_eq!(server.get(&path).await.ok()["data"], json!({ "a": "1" }));
}

#[tokio::test]
async fn a_strategic_patch_that_leaves_a_wrong_type_is_shown_as_the_server_reads_it() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let strategic = "strategic-merge-patch+json";
    let refusal = server.patch(&path, strategic, json!({ "spec": { "replicas": "three" } })).await;
    let message =
        r#" "" is invalid: patch: Invalid value: "map[spec:map[replicas:three]]": unrecognized type: int32"#;
    assert_eq!(refusal.refused(422, "Invalid")["message"], message);
    let refusal = server
        .patch(&format!("{path}?fieldValidation=Strict"), strategic, json!({ "spec": { "foo": "bar" } }))
        .await;
    let message = r#" "" is invalid: patch: Invalid value: "map[spec:map[foo:bar]]": strict decoding error: unknown field "spec.foo""#;
    assert_eq!(refusal.refused(422, "Invalid")["message"], message);
    let answer = server.patch(&path, strategic, json!({ "spec": { "foo": "bar" } })).await;
    assert_eq!(answer.warnings, [r#"299 - "unknown field \"spec.foo\"""#]);
    assert!(answer.ok()["spec"].get("foo").is_none());
}

#[tokio::test]
async fn an_applied_field_that_is_not_declared_is_refused_in_every_mode() {
    let server = start().await;
    let applied = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "template": { "spec": { "foo": 1 }, "bar": 2 } } });
    for mode in ["Ignore", "Warn", "Strict"] {
        let path = format!("{DEPLOYMENTS}/web?fieldValidation={mode}");
        let refusal = server.apply(&path, "me", applied.clone()).await.refused(500, "");
        // In a map nothing is looked for behind what is not declared, and a cluster looks in any order.
        let message = refusal["message"].as_str().unwrap();
        let start = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): ";
        let found = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
        let [inner, outer] = [".spec.template.spec.foo", ".spec.template.bar"]
            .map(|at| format!("{at}: field not declared in schema"));
        let both = format!("errors:\n  {inner}\n  {outer}");
        assert!([outer.as_str(), both.as_str()].contains(&found), "{message}");
    }
}

#[tokio::test]
async fn an_applied_value_of_another_type_is_refused_with_its_path() {
    let server = start().await;
    let applied = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "replicas": "three" } });
    let refusal = server.apply(&format!("{DEPLOYMENTS}/web"), "me", applied).await.refused(500, "");
    let message = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): \
                   .spec.replicas: expected numeric (int or float), got string";
    assert_eq!(refusal["message"], message);
    let mut applied = pod("p");
    applied["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": "lots" } });
    let refusal = server.apply(&format!("{PODS}/p"), "me", applied).await.refused(500, "");
    assert!(refusal["message"].as_str().unwrap().contains("quantities must match"), "{refusal}");
}

#[tokio::test]
async fn a_status_is_held_to_its_type() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web/status");
    let strict = format!("{path}?fieldValidation=Strict");
    let patch = json!({ "status": { "replicsa": 1 } });
    let message = server.merge(&strict, patch.clone()).await.refused(422, "Invalid")["message"].to_string();
    assert!(message.contains("unknown field") && message.contains("status.replicsa"), "{message}");
    let answer = server.merge(&path, patch).await;
    assert_eq!(answer.warnings, [r#"299 - "unknown field \"status.replicsa\"""#]);
    let mut web = answer.ok();
    assert!(web["status"].get("replicsa").is_none());
    web["status"] = json!({ "conditions": [{ "type": "Ready", "status": true }] });
    // A cluster has a type of its own for it: `v1.ConditionStatus`.
    let why = "json: cannot unmarshal bool into Go struct field DeploymentCondition.status.conditions.status of type ";
    let refusal = server.put(&path, web).await.refused(400, "BadRequest");
    assert!(refusal["message"].as_str().unwrap().starts_with(&unfit("Deployment", why)), "{refusal}");
}
