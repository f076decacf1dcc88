//! Whether a `kubectl` is new enough for the end-to-end tests. `cargo xtask` asks it, too, before it builds anything.

/// The oldest minor version of 1 whose commands and words the tests know.
const OLDEST: u32 = 32;

/// The version that `kubectl version --client` printed, or what is wrong with it and what to do.
pub(crate) fn supported(said: &str) -> Result<&str, String> {
    let version = said.lines().find_map(|line| line.strip_prefix("Client Version:")).map(str::trim);
    let Some(version) = version else {
        return Err(format!("`kubectl version --client` says no version: {said:?}; {}", what_to_do()));
    };
    match minor_of(version) {
        Some((major, minor)) if (major, minor) >= (1, OLDEST) => Ok(version),
        Some(_) => Err(format!("kubectl {version} is too old; {}", what_to_do())),
        None => Err(format!("kubectl {version} is of no version that is known; {}", what_to_do())),
    }
}

/// As in `v1.32.4` and `v1.33.0-rc.1+build`.
fn minor_of(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn what_to_do() -> String {
    format!(
        "install kubectl 1.{OLDEST} or newer (https://kubernetes.io/docs/tasks/tools/#kubectl) and put it first on PATH"
    )
}

#[test]
fn a_kubectl_is_new_enough_from_1_32_on() {
    let says = |version: &str| format!("Client Version: {version}\nKustomize Version: v5.5.0\n");
    for version in ["v1.32.0", "v1.32.4-dispatcher", "v1.33.0-rc.1+build", "v1.100.1", "v2.0.0"] {
        assert_eq!(supported(&says(version)), Ok(version));
    }
    for version in ["v1.31.9", "v1.3.2", "v0.99.0", "v1", "1.32.0", "v1.x.0", ""] {
        let error = supported(&says(version)).unwrap_err();
        assert!(error.contains(version) && error.contains("install kubectl 1.32 or newer"), "{error}");
    }
    assert!(supported("nothing of the kind").unwrap_err().contains("says no version"));
}
