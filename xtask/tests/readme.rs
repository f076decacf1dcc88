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
fn what_the_readme_links_to_is_there() {
    let readme = read("README.md");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let local: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
    assert!(!local.is_empty());
    for link in local {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(link);
        assert!(path.exists(), "{link}");
    }
}
