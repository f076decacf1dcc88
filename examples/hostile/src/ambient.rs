//! What there is around a program elsewhere. Sockets are not among it: a component that imports them is
//! refused as a whole.

use std::fmt::Write as _;
use std::io::Read as _;

use wheelhouse_sdk::prelude::*;

/// Takes all that is to be had; what it got.
pub(crate) fn attack() -> Result<Outcome> {
    let mut got = String::new();
    let variables: Vec<_> = std::env::vars_os().collect();
    let arguments: Vec<_> = std::env::args_os().collect();
    // What languages other than this one's library may look at.
    let environment = wasip2::cli::environment::get_environment();
    let folder = wasip2::cli::environment::initial_cwd();
    let preopened: Vec<_> =
        wasip2::filesystem::preopens::get_directories().into_iter().map(|(_, path)| path).collect();
    write!(got, "variables {variables:?} {environment:?}, arguments {arguments:?}, ")?;
    write!(got, "folder {folder:?}, preopened {preopened:?}")?;
    let mut note = |what: &str, result: std::io::Result<()>| {
        let result = if result.is_ok() { "had" } else { "refused" };
        got += &format!(", {what} {result}");
    };
    note("list", std::fs::read_dir("/").map(drop));
    note("list here", std::fs::read_dir(".").map(drop));
    note("read", std::fs::read("/etc/passwd").map(drop));
    note("read above", std::fs::read("../../../../etc/passwd").map(drop));
    note("look", std::fs::metadata("/").map(drop));
    note("write", std::fs::write("/tmp/x", "x"));
    note("write here", std::fs::write("x", "x"));
    note("make", std::fs::create_dir("/tmp/y"));
    note("link", std::fs::hard_link("/etc/passwd", "x"));
    note("remove", std::fs::remove_file("/tmp/x"));
    let mut input = Vec::new();
    let read = std::io::stdin().read_to_end(&mut input);
    got += &format!(", input {:?} {input:?}", read.map_err(|error| error.kind()));
    Err(Error::terminal(got))
}
