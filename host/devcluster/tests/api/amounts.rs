//! The rules of what Pods ask for, of schedules, of strategies, and of what ConfigMaps and Secrets hold.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, start};

/// The fields that an object is refused for, and why.
async fn refused(server: &Server, list: &str, body: Value) -> Vec<(String, String)> {
    let status = server.post(list, body).await.refused(422, "Invalid");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let causes = status["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

fn cause(field: &str, message: &str) -> (String, String) {
    (field.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_container_asks_for_no_more_than_it_may_have() {
    let server = start().await;
    let asking = |resources: Value| {
        let mut pod = pod("p");
        pod["spec"]["containers"][0]["resources"] = resources;
        pod
    };
    let path = "spec.containers[0].resources";
    for (resources, field, message) in [
        (
            json!({ "requests": { "cpu": "2" }, "limits": { "cpu": "1000m" } }),
            "requests",
            "Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({ "requests": { "example.com/gpu": "1" }, "limits": { "example.com/gpu": "2" } }),
            "requests",
            "Invalid value: \"1\": must be equal to example.com/gpu limit of 2",
        ),
        (
            json!({ "requests": { "example.com/gpu": "1" } }),
            "limits",
            "Required value: Limit must be set for non overcommitable resources",
        ),
        (
            json!({ "requests": { "cpu": "-1" } }),
            "requests[cpu]",
            "Invalid value: \"-1\": must be greater than or equal to 0",
        ),
    ] {
        let found = refused(&server, PODS, asking(resources)).await;
        assert_eq!(found, [cause(&format!("{path}.{field}"), message)]);
    }
    let equal =
        json!({ "requests": { "memory": "1024Mi" }, "limits": { "memory": "1Gi", "example.com/gpu": "1" } });
    server.post(PODS, asking(equal)).await.ok();
}

#[tokio::test]
async fn names_of_containers_and_places_of_volumes_are_taken_once() {
    let server = start().await;
    let mut twice = pod("p");
    twice["spec"]["initContainers"] = twice["spec"]["containers"].clone();
    twice["spec"]["volumes"] = json!([{ "name": "v" }]);
    let mount = json!({ "name": "v", "mountPath": "/a" });
    twice["spec"]["containers"][0]["volumeMounts"] = json!([mount, mount]);
    let found = refused(&server, PODS, twice).await;
    let expected = [
        cause("spec.containers[0].volumeMounts[1].mountPath", "Invalid value: \"/a\": must be unique"),
        cause("spec.initContainers[0].name", "Duplicate value: \"app\""),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_cron_job_runs_by_a_schedule() {
    let server = start().await;
    let list = "/apis/batch/v1/namespaces/default/cronjobs";
    let by = |schedule: &str| {
        json!({ "metadata": { "name": "c" }, "spec": { "schedule": schedule, "jobTemplate": { "spec": { "template": {
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } } } } })
    };
    for (schedule, why) in [
        ("nope", "expected exactly 5 fields, found 1: [nope]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("mon * * * *", "failed to parse int from mon: strconv.Atoi: parsing \"mon\": invalid syntax"),
        ("@reboot", "unrecognized descriptor: @reboot"),
    ] {
        let message = format!("Invalid value: \"{schedule}\": {why}");
        assert_eq!(refused(&server, list, by(schedule)).await, [cause("spec.schedule", &message)]);
    }
    server.post(list, by("*/5 0 1 jan mon-fri")).await.ok();
}

#[tokio::test]
async fn a_deployment_replaces_its_pods_in_one_way() {
    let server = start().await;
    let by = |strategy: Value| {
        let mut web = deployment("web");
        web["spec"]["strategy"] = strategy;
        web
    };
    let path = "spec.strategy.rollingUpdate";
    let recreate = json!({ "type": "Recreate", "rollingUpdate": { "maxSurge": 1 } });
    let why = "Forbidden: may not be specified when strategy `type` is 'Recreate'";
    assert_eq!(refused(&server, DEPLOYMENTS, by(recreate)).await, [cause(path, why)]);
    let none = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "0%" } });
    let found = refused(&server, DEPLOYMENTS, by(none)).await;
    let why = "Invalid value: \"0%\": may not be 0 when `maxSurge` is 0";
    assert_eq!(found, [cause(&format!("{path}.maxUnavailable"), why)]);
    let many = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "101%" } });
    let found = refused(&server, DEPLOYMENTS, by(many)).await;
    let why = "Invalid value: \"101%\": must not be greater than 100%";
    assert_eq!(found, [cause(&format!("{path}.maxUnavailable"), why)]);
    let why = "Unsupported value: {\"Type\":\"Foo\",\"RollingUpdate\":null}: supported values: \"Recreate\", \
               \"RollingUpdate\"";
    let found = refused(&server, DEPLOYMENTS, by(json!({ "type": "Foo" }))).await;
    assert_eq!(found, [cause("spec.strategy", why)]);
    let mut late = deployment("web");
    late["spec"]["progressDeadlineSeconds"] = json!(5);
    late["spec"]["minReadySeconds"] = json!(5);
    let why = "Invalid value: 5: must be greater than minReadySeconds";
    assert_eq!(refused(&server, DEPLOYMENTS, late).await, [cause("spec.progressDeadlineSeconds", why)]);
}

#[tokio::test]
async fn a_service_has_each_port_once_for_a_protocol() {
    let server = start().await;
    let list = "/api/v1/namespaces/default/services";
    let service = |protocol: &str| {
        json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "name": "a", "port": 80 },
            { "name": "b", "port": 80, "protocol": protocol }] } })
    };
    let why = "Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\
               \"NodePort\":0}";
    assert_eq!(refused(&server, list, service("TCP")).await, [cause("spec.ports[1]", why)]);
    server.post(list, service("UDP")).await.ok();
}

#[tokio::test]
async fn a_secret_has_what_its_type_says() {
    let server = start().await;
    let list = "/api/v1/namespaces/default/secrets";
    let secret = |of_type: &str, data: Value| json!({ "metadata": { "name": "s" }, "type": of_type, "stringData": data });
    let missing = |keys: &[&str]| -> Vec<_> {
        keys.iter().map(|key| cause(&format!("data[{key}]"), "Required value")).collect()
    };
    for (of_type, data, keys) in [
        ("kubernetes.io/ssh-auth", json!({ "other": "x" }), &["ssh-privatekey"][..]),
        ("kubernetes.io/ssh-auth", json!({ "ssh-privatekey": "" }), &["ssh-privatekey"]),
        ("kubernetes.io/basic-auth", json!({}), &["username", "password"]),
        ("kubernetes.io/tls", json!({ "tls.crt": "x" }), &["tls.key"]),
        ("kubernetes.io/dockercfg", json!({}), &[".dockercfg"]),
    ] {
        assert_eq!(refused(&server, list, secret(of_type, data)).await, missing(keys), "{of_type}");
    }
    let docker = secret("kubernetes.io/dockerconfigjson", json!({ ".dockerconfigjson": "x" }));
    let why =
        "Invalid value: \"<secret contents redacted>\": invalid character 'x' looking for beginning of value";
    assert_eq!(refused(&server, list, docker).await, [cause("data[.dockerconfigjson]", why)]);
    let token = secret("kubernetes.io/service-account-token", json!({}));
    let field = "metadata.annotations[kubernetes.io/service-account.name]";
    assert_eq!(refused(&server, list, token).await, [cause(field, "Required value")]);
    server.post(list, secret("kubernetes.io/basic-auth", json!({ "username": "x" }))).await.ok();
}

#[tokio::test]
async fn a_config_map_or_secret_holds_a_mebibyte_and_each_key_once() {
    const MOST: usize = 1024 * 1024;
    let server = start().await;
    let mut both = config_map("a", json!({ "k": "1" }));
    both["binaryData"] = json!({ "k": "eA==" });
    let why = "Invalid value: \"k\": duplicate of key present in binaryData";
    assert_eq!(refused(&server, CONFIG_MAPS, both).await, [cause("data[k]", why)]);
    let why = "Too long: may not be more than 1048576 bytes";
    let large = config_map("a", json!({ "k": "x".repeat(MOST + 1) }));
    assert_eq!(refused(&server, CONFIG_MAPS, large).await, [cause("[]", why)]);
    let list = "/api/v1/namespaces/default/secrets";
    let secret =
        |size: usize| json!({ "metadata": { "name": "s" }, "stringData": { "k": "x".repeat(size) } });
    assert_eq!(refused(&server, list, secret(MOST + 1)).await, [cause("data", why)]);
    server.post(list, secret(MOST)).await.ok();
    server.post(CONFIG_MAPS, config_map("a", json!({ "k": "x".repeat(MOST) }))).await.ok();
}
