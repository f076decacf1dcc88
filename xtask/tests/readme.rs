//! What the README shows is what is there.
#![cfg(test)]

use std::path::Path;

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_first_plugin_is_the_one_in_examples() {
    let (readme, hello) = (read("README.md"), read("examples/hello/src/lib.rs"));
    assert!(readme.contains(hello.trim()), "copy examples/hello/src/lib.rs into README.md");
    assert!(hello.lines().count() <= 40, "a first plugin has at most 40 lines");
}

#[test]
fn what_the_documents_link_to_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut documents = vec![("README.md".to_owned(), ".")];
    for entry in std::fs::read_dir(docs).unwrap() {
        documents.push((format!("docs/{}", entry.unwrap().file_name().display()), "docs"));
    }
    for (document, folder) in &documents {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(file);
            assert!(path.exists(), "{document}: {link}");
        }
    }
    let readme = read("README.md");
    for (document, _) in documents.iter().filter(|(_, folder)| *folder == "docs") {
        assert!(readme.contains(&format!("]({document})")), "README.md leads to {document}");
    }
}

/// All that the files of a folder, and those below it, say.
fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *all += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let mut all = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host"), &mut all);
    let page = read("docs/security.md");
    // A test's name is a sentence: it has several underscores.
    let quoted = page.split('`').skip(1).step_by(2);
    let tests: Vec<&str> =
        quoted.filter(|name| name.matches('_').count() > 4 && !name.contains('{')).collect();
    assert!(tests.len() > 100, "{tests:?}");
    for test in tests {
        assert!(
            all.contains(&format!("fn {test}(")),
            "docs/security.md names a test that is not there: {test}"
        );
    }
}

#[test]
fn what_stands_beside_a_feature_of_controller_runtime_is_in_the_sdk() {
    let table = read("docs/controller-runtime.md");
    let mut sdk = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/src"), &mut sdk);
    let ours =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).map(|(_, ours)| ours);
    let mut names = 0;
    for code in ours.flat_map(|ours| ours.split('`').skip(1).step_by(2)) {
        let Some((of, name)) = code.split_once("::") else { continue };
        let name = name.split(['(', ':']).next().unwrap();
        let there = ["(", "<", ",", ":"].iter().any(|next| sdk.contains(&format!("{name}{next}")));
        assert!(there || name == "*", "{of}::{name}");
        names += 1;
    }
    assert!(names > 20, "{names}");
}
