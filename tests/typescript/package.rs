//! The TypeScript client, built as it is published: its sources are copied below cargo's target, where `scripts/test` has
//! installed what builds it, so nothing is written into the work tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::programs;

const VARIABLE: &str = "TICKCAST_TEST_CLIENTS";
/// What is copied; folders are emptied before.
const PARTS: [&str; 9] = [
    "src",
    "test",
    "scripts",
    "example",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "LICENSE",
];

/// Where it is built; `None`, loudly, where its tools are not installed.
pub fn home() -> Option<&'static Path> {
    static HOME: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let home = programs::installed().join("typescript");
        let found =
            home.join("node_modules/typescript/package.json").is_file() && programs::find("npm").is_some();
        let home = programs::need(VARIABLE, "the TypeScript client", found.then_some(home))?;
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/typescript");
        for part in PARTS {
            copy(&from.join(part), &home.join(part));
        }
        Some(home)
    });
    HOME.as_deref()
}

/// The same with `dist` and `dist-example`.
pub fn built() -> Option<&'static Path> {
    static BUILT: LazyLock<()> = LazyLock::new(|| {
        run("build", &[]);
        run("example:build", &["--", "--logLevel", "warn"]);
    });
    let home = home()?;
    LazyLock::force(&BUILT);
    Some(home)
}

/// Runs one of the package's scripts; what it prints is the failure's reason.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let mut npm = Command::new("npm");
    let ran =
        npm.args(["run", "--silent", script]).args(arguments).current_dir(home().unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "npm run {script}:\n{said}");
    said
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    // A folder that is not there yet is none to be emptied.
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
