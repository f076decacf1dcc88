//! SHA-256, as names of what has been hashed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// A SHA-256; shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a text, and all that a reader has.
    pub(crate) fn of_reader(before: &str, reader: &mut impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(before);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self(hash.finalize().into())),
                Ok(read) => hash.update(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Of what a value hashes. Unlike the standard library's hashers it is the same in every process.
    pub(crate) fn of_value(value: &impl Hash) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        value.hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not what is asked for: the whole digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}
