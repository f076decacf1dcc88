//! The compiler's process: it takes a component from its standard input, and writes machine code to its
//! standard output.
//!
//! Before it reads a byte it takes from itself what a compiler does not need: memory, time and files without
//! bound, and its priority. Whatever a component does to it then, it does to nobody else. It ends when
//! the host does.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use wasmtime::Engine;

use crate::engine::compile_config;
use crate::error::one_line;

/// How it exits when it is the component that is wrong. What is wrong is on its standard error.
pub(crate) const REFUSED: u8 = 65;
/// When it is something else.
const BROKEN: u8 = 70;

/// Files that it may have open: the three that it begins with, and a few of the system's.
const FILES: u64 = 32;

/// Bytes of address space, above what may be used.
const SET_ASIDE: u64 = 1 << 30;

/// What the host asks of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Of `SandboxConfig`, since the code depends on it.
    pub(crate) max_memory: u64,
    /// The component's size, after which the standard input is silent, but stays open.
    pub(crate) component_bytes: u64,
    /// Bytes.
    pub(crate) memory: u64,
    /// Processor time, of all threads.
    pub(crate) cpu_seconds: u64,
    /// Bytes.
    pub(crate) code_bytes: u64,
}

impl Order {
    pub(crate) fn to_args(self) -> [String; 5] {
        let numbers = [self.max_memory, self.component_bytes, self.memory, self.cpu_seconds, self.code_bytes];
        numbers.map(|number| number.to_string())
    }

    fn from_args(args: &[String]) -> Option<Self> {
        let numbers = args.iter().map(|arg| arg.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let [max_memory, component_bytes, memory, cpu_seconds, code_bytes] = *numbers.as_slice() else {
            return None;
        };
        Some(Self { max_memory, component_bytes, memory, cpu_seconds, code_bytes })
    }
}

/// Is the compiler's process, from its beginning to its end: see [`Compiler::Child`](crate::Compiler::Child).
/// The arguments are those that the host added.
pub fn compile_child(args: &[String]) -> ExitCode {
    let Some(order) = Order::from_args(args) else {
        return fail(BROKEN, "this is for the host to call, when it compiles a plugin");
    };
    if let Err(error) = confine(&order) {
        return fail(BROKEN, &format!("its limits cannot be set: {error}"));
    }
    let component = match read(&order) {
        Ok(component) => component,
        Err(error) => return fail(BROKEN, &format!("the component did not arrive: {error}")),
    };
    let max_memory = usize::try_from(order.max_memory).unwrap_or(usize::MAX);
    let engine = match Engine::new(&compile_config(max_memory)) {
        Ok(engine) => engine,
        Err(error) => return fail(BROKEN, &format!("{error:#}")),
    };
    let code = match engine.precompile_component(&component) {
        Ok(code) => code,
        Err(error) => return fail(REFUSED, &format!("{error:#}")),
    };
    let mut output = io::stdout().lock();
    match output.write_all(&code).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(BROKEN, &format!("the code cannot be written: {error}")),
    }
}

fn confine(order: &Order) -> io::Result<()> {
    let limit = |resource, most: u64| Ok::<_, io::Error>(setrlimit(resource, rlimit(most, most))?);
    // Nobody may look into what is left of it, and nothing is left of it.
    limit(Resource::Core, 0)?;
    // Memory that it can write to. Shared memory does not count as that, and there is none here; the second
    // limit is for it, and leaves room for what is only set aside, such as by the allocator for each thread.
    limit(Resource::Data, order.memory)?;
    limit(Resource::As, order.memory.saturating_add(SET_ASIDE))?;
    // The first ends it with a signal that says why, the second in any case.
    setrlimit(Resource::Cpu, rlimit(order.cpu_seconds, order.cpu_seconds.saturating_add(1)))?;
    limit(Resource::Fsize, order.code_bytes)?;
    limit(Resource::Nofile, FILES)?;
    // Whatever that of the host is.
    setpriority_process(None, 19)?;
    Ok(())
}

fn rlimit(soft: u64, hard: u64) -> Rlimit {
    Rlimit { current: Some(soft), maximum: Some(hard) }
}

fn read(order: &Order) -> io::Result<Vec<u8>> {
    let size = usize::try_from(order.component_bytes).map_err(io::Error::other)?;
    let mut component = vec![0; size];
    io::stdin().lock().read_exact(&mut component)?;
    // A host that is killed cannot end its children; but its end of the pipe goes with it. (The kernel's
    // signal to orphans would come as soon as the host's thread ends that started this process.)
    std::thread::Builder::new().name("host-watch".to_owned()).spawn(|| {
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(BROKEN.into());
    })?;
    Ok(component)
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Whether anybody reads it or not.
    let _ = writeln!(io::stderr(), "{}", one_line(message));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_command_line_and_nothing_else_is_one() {
        let order =
            Order { max_memory: 1, component_bytes: 2, memory: 3, cpu_seconds: u64::MAX, code_bytes: 5 };
        assert_eq!(Order::from_args(&order.to_args()), Some(order));
        for args in [&[][..], &["1", "2", "3", "4"], &["1", "2", "3", "4", "x"], &["1"; 6]] {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            assert_eq!(Order::from_args(&args), None, "{args:?}");
        }
    }
}
