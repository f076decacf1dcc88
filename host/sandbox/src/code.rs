//! Machine code in an open file, on its way from the compiler to the engine.
//!
//! Loading machine code is the one thing in this crate that trusts its input: a [`Code`] comes from nowhere
//! but the compiler and the verified entries of the compile cache, and what is loaded is the very file that
//! was verified, whatever has become of its name.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, SealFlags};
use wasmtime::Engine;
use wasmtime::component::Component;

/// An open file that holds compiled code for an engine such as ours.
#[derive(Debug)]
pub(crate) struct Code {
    file: File,
}

impl Code {
    /// The caller vouches for the content: the compiler wrote it, or it is what the compiler once wrote.
    pub(crate) fn vouched(file: File) -> Self {
        Self { file }
    }

    /// Code that was compiled in this process.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut file = memory_file()?;
        file.write_all(bytes)?;
        seal(&file)?;
        Ok(Self { file })
    }

    /// From its beginning.
    pub(crate) fn reader(&self) -> io::Result<&File> {
        (&self.file).rewind()?;
        Ok(&self.file)
    }

    /// Maps the code: pages are read when they are needed, and shared with whoever maps the same file.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // The file that is open here, not whatever has its name by now.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        #[allow(unsafe_code, reason = "machine code cannot be checked, only traced to who made it")]
        // SAFETY: the file holds what wasmtime's own compiler wrote, for an engine that wasmtime itself
        // compares with this one: `Code` is made from the compiler's output, and from files of the compile
        // cache whose content has the digest that it had when the compiler wrote it. Nobody changes it while
        // it is mapped: one in memory is sealed, and one of the cache is in a folder that only we may write
        // to, where files are made whole under another name, and replaced, but never written to again.
        unsafe {
            Component::deserialize_file(engine, path)
        }
    }
}

/// An empty file that is nowhere but in memory and behind this descriptor.
pub(crate) fn memory_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(File::from(rustix::fs::memfd_create("wheelhouse-code", flags)?))
}

/// From now on nobody can change the file in memory, not even who still holds it open.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}
