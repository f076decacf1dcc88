//! What `kubectl` knows of built-in kinds from the server, and what it is told of mistakes.

use crate::support::{Kubectl, WEB};

#[tokio::test]
async fn explain_shows_the_fields_of_a_built_in_kind() {
    let kubectl = Kubectl::start().await;
    let text = kubectl.run("explain deployment.spec").await;
    for wanted in [
        "GROUP:      apps\nKIND:       Deployment\nVERSION:    v1\n",
        "FIELD: spec <DeploymentSpec>",
        "  replicas\t<integer>\n    Number of desired pods.",
        "  selector\t<LabelSelector> -required-\n",
        "  template\t<PodTemplateSpec> -required-\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    let text = kubectl.run("explain pod.spec.containers.resources.limits").await;
    assert!(text.contains("FIELD: limits <map[string]Quantity>"), "{text}");
    let text = kubectl.run("explain service.spec.ports.targetPort").await;
    assert!(text.contains("FIELD: targetPort <IntOrString>"), "{text}");
    let text = kubectl.run("explain pod.spec.containers.imagePullPolicy").await;
    assert!(text.contains("ENUM:\n    Always\n    IfNotPresent\n    Never\n"), "{text}");
    let text = kubectl.run("explain pod").await;
    assert!(text.contains("  metadata\t<ObjectMeta>\n"), "{text}");
    let text = kubectl.run("explain hpa").await;
    assert!(text.contains("VERSION:    v2\n"), "{text}");
    kubectl.done().await;
}

#[tokio::test]
async fn explain_shows_all_that_is_below_a_field() {
    let kubectl = Kubectl::start().await;
    let text = kubectl.run("explain pod.spec.containers --recursive").await;
    for wanted in [
        "FIELD: containers <[]Container>",
        "  env\t<[]EnvVar>\n    name\t<string> -required-",
        "\t<string>\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(
        text.contains("      secretKeyRef\t<SecretKeySelector>\n        key\t<string> -required-"),
        "{text}"
    );
    // A schema of a custom resource has schemas in it: that must end.
    let text = kubectl.run("explain crd.spec.versions.schema --recursive").await;
    assert!(text.contains("openAPIV3Schema\t<JSONSchemaProps>"), "{text}");
    kubectl.done().await;
}

#[tokio::test]
async fn explain_of_a_field_that_is_not_there_says_so() {
    let kubectl = Kubectl::start().await;
    let error = kubectl.fails("explain deployment.spec.replcias", "").await;
    assert_eq!(error, "error: field \"replcias\" does not exist\n");
    kubectl.done().await;
}

#[tokio::test]
async fn apply_refuses_a_misspelt_field_and_warns_if_asked_to() {
    let kubectl = Kubectl::start().await;
    let misspelt = WEB.replace("replicas:", "replcias:");
    let error = kubectl.fails("apply -f -", &misspelt).await;
    let wanted = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
                  unknown field \"spec.replcias\"";
    assert!(error.contains(wanted), "{error}");
    let output = kubectl.run_with("apply --validate=warn -f -", &misspelt).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stderr, "Warning: unknown field \"spec.replcias\"\n");
    assert!(output.stdout.contains("deployment.apps/web "), "{}", output.stdout);
    let text = kubectl.with("apply --validate=ignore -f -", &misspelt).await;
    assert!(text.contains("deployment.apps/web "), "{text}");
    kubectl.done().await;
}

#[tokio::test]
async fn create_refuses_a_wrong_type_with_the_words_of_a_cluster() {
    let kubectl = Kubectl::start().await;
    let error = kubectl.fails("create -f -", &WEB.replace("replicas: 2", "replicas: three")).await;
    let wanted = "Error from server (BadRequest): error when creating \"STDIN\": Deployment in version \"v1\" cannot \
                  be handled as a Deployment: json: cannot unmarshal string into Go struct field \
                  DeploymentSpec.spec.replicas of type int32";
    assert!(error.contains(wanted), "{error}");
    let error = kubectl.fails("create -f -", &WEB.replace("image: \"nginx:1\"", "image: 1")).await;
    assert!(error.contains("Container.spec.template.spec.containers.image of type string"), "{error}");
    kubectl.done().await;
}

#[tokio::test]
async fn diff_and_apply_merge_lists_as_their_types_say() {
    let kubectl = Kubectl::start().await;
    let service = |ports: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: dns}}\nspec: {{ports: [{ports}]}}\n")
    };
    kubectl.with("apply -f -", &service("{name: a, port: 53, protocol: UDP}, {name: b, port: 80}")).await;
    let shown = kubectl.run_with("diff -f -", &service("{name: a, port: 53, protocol: UDP}")).await;
    assert!(shown.stdout.contains("-  - name: b"), "{}{}", shown.stdout, shown.stderr);
    assert!(!shown.stdout.contains("-  - name: a"), "{}", shown.stdout);
    kubectl.with("apply -f -", &service("{name: a, port: 53, protocol: UDP}")).await;
    assert_eq!(kubectl.run("get service dns -o jsonpath={.spec.ports[*].name}").await, "a");
    let change = r#"{"spec":{"ports":[{"port":53,"name":"dns"}]}}"#;
    kubectl.run(&format!("patch service dns -p {change}")).await;
    let found =
        kubectl.run("get service dns -o jsonpath={.spec.ports[*].protocol}/{.spec.ports[*].name}").await;
    assert_eq!(found, "UDP/dns");
    kubectl.done().await;
}

#[tokio::test]
async fn a_volume_loses_its_other_source() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", WEB).await;
    let volume = |source: &str| {
        format!(r#"{{"spec":{{"template":{{"spec":{{"volumes":[{{"name":"v",{source}}}]}}}}}}}}"#)
    };
    kubectl.run(&format!("patch deployment web -p {}", volume(r#""emptyDir":{}"#))).await;
    let retained = volume(r#""$retainKeys":["name","configMap"],"configMap":{"name":"c"}"#);
    kubectl.run(&format!("patch deployment web -p {retained}")).await;
    let found = kubectl.run("get deployment web -o jsonpath={.spec.template.spec.volumes}").await;
    assert!(found.contains("configMap") && !found.contains("emptyDir"), "{found}");
    kubectl.done().await;
}

#[tokio::test]
async fn taints_are_replaced_as_one() {
    let kubectl = Kubectl::start().await;
    kubectl.run("taint node dev a=b:NoSchedule").await;
    kubectl.run("taint node dev c=d:NoExecute").await;
    let taints = kubectl.run("get node dev -o jsonpath={.spec.taints[*].key}").await;
    assert!(taints == "a c" || taints == "c a", "{taints}");
    kubectl.run("taint node dev a-").await;
    assert_eq!(kubectl.run("get node dev -o jsonpath={.spec.taints[*].key}").await, "c");
    kubectl.done().await;
}

#[tokio::test]
async fn a_node_port_that_is_asked_for_is_given_and_taken_then() {
    let kubectl = Kubectl::start().await;
    kubectl.run("create service nodeport web --tcp=80:80 --node-port=32741").await;
    assert_eq!(kubectl.at("service web", ".spec.ports[*].nodePort").await, "32741");
    let taken = kubectl.fails("create service nodeport other --tcp=80:80 --node-port=32741", "").await;
    assert!(taken.contains("nodePort: Invalid value: 32741: provided port is already allocated"), "{taken}");
    kubectl.run("delete service web").await;
    kubectl.done().await;
}

#[tokio::test]
async fn certificates_are_approved_and_denied() {
    let kubectl = Kubectl::start().await;
    for (name, verb, state) in [("one", "approve", "Approved"), ("two", "deny", "Denied")] {
        let name = format!("{name}-{}.example.com", kubectl.namespace());
        let spec = format!(
            "{{request: {REQUEST}, signerName: example.com/signer, usages: [client auth], username: eve}}"
        );
        let object = "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n";
        kubectl.with("create -f -", &format!("{object}metadata: {{name: {name}}}\nspec: {spec}\n")).await;
        let who = kubectl.at(&format!("csr {name}"), ".spec.username").await;
        assert!(!who.is_empty() && who != "eve", "whoever asked: {who}");
        let said = kubectl.run(&format!("certificate {verb} {name}")).await;
        let past = state.to_lowercase();
        assert_eq!(said, format!("certificatesigningrequest.certificates.k8s.io/{name} {past}\n"));
        let shown = kubectl.run(&format!("get csr {name}")).await;
        assert!(shown.contains(state), "{shown}");
        assert_eq!(kubectl.at(&format!("csr {name}"), ".spec.signerName").await, "example.com/signer");
        let since = kubectl.at(&format!("csr {name}"), ".status.conditions[0].lastTransitionTime").await;
        assert!(!since.is_empty());
        kubectl.run(&format!("delete csr {name}")).await;
    }
    kubectl.done().await;
}

/// The `PKCS#10` request of somebody called `jane`, as PEM, in Base64.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHT01FSUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFt\
    RnVaVEFxTUFVR0F5dGxjQU1oQUVMRFNTU01FN2hxNlBNOApHeFN4RWhjQTlRR1ZockVRc0xNWXJMWE9XeUNvb0FBd0JRWURLMlZ3QTBFQWtK\
    S0tCM3M0Qm9LbUs5bVJJMGI3CnN1Um1EWXk3ZWd0TVg2cHAvU1Q1Y1BGbm1HYjVrK2o2Um1GdURjSzB2aTlpb1ltY3Uwd2V5VTlTTWFpTUE5\
    SzkKQmc9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
