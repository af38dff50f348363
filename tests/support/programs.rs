//! Programs of others that a test needs: where they are, what is said where they are missing, and that they end with
//! the test that started them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test panics to fail")]

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where a program is, by `PATH` and where Debian puts servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What `scripts/test` installs for the clients: a folder below cargo's target, ignored by git.
pub fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("clients")
}

/// Passes on what was found. `None`, loudly, where it was not, or where `variable` says `skip`; a failure where
/// `variable` says `required`.
pub fn need<T>(variable: &str, what: &str, found: Option<T>) -> Option<T> {
    let wanted = std::env::var(variable).unwrap_or_default();
    let found = found.filter(|_| wanted != "skip");
    if found.is_none() {
        assert_ne!(wanted, "required", "{what} is not there, and {variable} says that it has to be");
        // Not eprintln: the test harness keeps that to itself when a test passes.
        let _ =
            writeln!(io::stderr(), "SKIPPED: nothing is checked with {what} here; scripts/test installs it");
    }
    found
}

/// A process that ends when this is dropped, and so does what it has started.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it in a process group of its own, with nothing to read.
    pub fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt as _;
        Self(command.stdin(Stdio::null()).process_group(0).spawn().unwrap())
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Sends a signal to all of its group.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} -- -{}", self.0.id());
        // It may be gone already.
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.0.wait();
    }
}
