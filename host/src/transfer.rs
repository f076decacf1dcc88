//! What `wheelhouse push` and `wheelhouse pull` have in common: their limits, and how they tell how far they are.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use wheelhouse_artifacts::{Client, Error, Limits};
use wheelhouse_sandbox::SandboxConfig;

/// Between two lines of progress.
const STEP: Duration = Duration::from_millis(100);

/// A client that tells a terminal how far it is, for components as large as a host loads.
pub(crate) fn client() -> Result<Client, Error> {
    let bytes = SandboxConfig::default().component_bytes as u64;
    let client = Client::new(Limits { bytes, ..Limits::default() })?;
    if !std::io::stderr().is_terminal() {
        return Ok(client);
    }
    let begun = Mutex::new(Instant::now());
    Ok(client.telling(move |done, of| {
        let Ok(mut last) = begun.lock() else { return };
        if last.elapsed() < STEP && Some(done) != of {
            return;
        }
        *last = Instant::now();
        let line = line(done, of);
        // Progress that cannot be told is no reason to stop. The line is written over by the next one.
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{line}\r");
    }))
}

/// Leaves no progress behind on the terminal.
pub(crate) fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\u{1b}[K");
    }
}

fn line(done: u64, of: Option<u64>) -> String {
    match of {
        Some(of) => format!("{} of {}", size(done), size(of)),
        None => size(done),
    }
}

/// In kB, as everywhere, or MB.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 10_000_000 {
        format!("{} kB", bytes.div_ceil(1000))
    } else {
        format!("{} MB", bytes.div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(line(0, Some(152_001)), "0 kB of 153 kB");
        assert_eq!(line(9_999_999, Some(12_000_000)), "10000 kB of 12 MB");
        assert_eq!(line(1, None), "1 kB");
    }
}
