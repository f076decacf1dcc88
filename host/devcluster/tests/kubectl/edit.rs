//! Create, edit and replace: whole objects, from files, from standard input and from an editor.

use crate::support::*;

#[tokio::test]
async fn create_takes_several_documents_from_files_folders_and_standard_input() {
    let kubectl = Kubectl::start().await;
    assert_eq!(kubectl.with("create -f -", WEB).await, "deployment.apps/web created\nservice/web created\n");
    let again = kubectl.run_with("create -f -", WEB).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("deployments.apps \"web\" already exists"), "{}", again.stderr);
    assert!(again.stderr.contains("services \"web\" already exists"), "{}", again.stderr);
    let other = SETTINGS.replace("name: settings", "name: other");
    let file = kubectl.file("both.yaml", &format!("{SETTINGS}---{other}"));
    assert_eq!(
        kubectl.run(&format!("create -f {file}")).await,
        "configmap/settings created\nconfigmap/other created\n"
    );
    let json = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"made-"}}"#;
    let file = kubectl.file("made.json", json);
    assert!(kubectl.run(&format!("create -f {file}")).await.starts_with("configmap/made-"));
    kubectl.done().await;
}

#[tokio::test]
async fn create_says_what_is_unknown_and_what_is_invalid() {
    let kubectl = Kubectl::start().await;
    let nameless = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: UPPER}}";
    let refused = kubectl.fails("create -f -", nameless).await;
    assert!(
        refused.contains("The ConfigMap \"UPPER\" is invalid: metadata.name: Invalid value"),
        "{refused}"
    );
    let unknown = kubectl
        .fails("create --validate=false -f -", "---\n{apiVersion: v1, kind: Nothing, metadata: {name: a}}")
        .await;
    assert!(unknown.contains("no matches for kind \"Nothing\" in version \"v1\""), "{unknown}");
    kubectl.done().await;
}

#[tokio::test]
async fn edit_stores_what_the_editor_leaves() {
    let mut kubectl = Kubectl::start().await;
    kubectl.with("create -f -", SETTINGS).await;
    kubectl.program("KUBE_EDITOR", "sed -i 's/colour: red/colour: blue/' \"$1\"");
    assert_eq!(kubectl.run("edit cm settings").await, "configmap/settings edited\n");
    assert_eq!(kubectl.at("cm settings", ".data.colour").await, "blue");
    let unchanged = kubectl.run_with("edit cm settings", "").await;
    assert_eq!((unchanged.code, unchanged.stderr.as_str()), (Some(0), "Edit cancelled, no changes made.\n"));
    kubectl.done().await;
}

#[tokio::test]
async fn an_edit_that_is_refused_is_shown_to_the_editor_again_with_the_reason() {
    let mut kubectl = Kubectl::start().await;
    kubectl.with("create -f -", &SETTINGS.replace("\ndata:", "\nimmutable: true\ndata:")).await;
    let seen = kubectl.file("seen", "");
    // The second time it leaves the file as it is, which ends the edit.
    let script = format!(
        "cp \"$1\" {seen}; grep -q 'was not valid' \"$1\" || sed -i 's/colour: red/colour: blue/' \"$1\""
    );
    kubectl.program("EDITOR", &script);
    let refused = kubectl.run_with("edit cm settings", "").await;
    assert_eq!(refused.code, Some(1), "{}{}", refused.stdout, refused.stderr);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("field is immutable when `immutable` is set"), "{seen}");
    assert_eq!(kubectl.at("cm settings", ".data.colour").await, "red");
    kubectl.done().await;
}

#[tokio::test]
async fn replace_puts_another_object_in_the_place_and_needs_one() {
    let kubectl = Kubectl::start().await;
    assert!(kubectl.fails("replace -f -", SETTINGS).await.contains("configmaps \"settings\" not found"));
    kubectl.with("create -f -", SETTINGS).await;
    let smaller = SETTINGS.replace("colour: red, ", "");
    assert_eq!(kubectl.with("replace -f -", &smaller).await, "configmap/settings replaced\n");
    assert_eq!(kubectl.at("cm settings", ".data").await, r#"{"size":"small"}"#);
    let stale = SETTINGS.replace("name: settings,", "name: settings, resourceVersion: \"1\",");
    let refused = kubectl.fails("replace -f -", &stale).await;
    assert!(
        refused.contains("the object has been modified; please apply your changes to the latest"),
        "{refused}"
    );
    kubectl.done().await;
}

#[tokio::test]
async fn replace_by_force_makes_a_new_object() {
    let kubectl = Kubectl::start().await;
    kubectl.with("apply -f -", SETTINGS).await;
    let before = kubectl.at("cm settings", ".metadata.uid").await;
    let replaced = kubectl.with("replace --force -f -", &SETTINGS.replace("red", "blue")).await;
    assert_eq!(replaced, "configmap \"settings\" deleted\nconfigmap/settings replaced\n");
    assert_ne!(kubectl.at("cm settings", ".metadata.uid").await, before);
    assert_eq!(kubectl.at("cm settings", ".data.colour").await, "blue");
    kubectl.done().await;
}
