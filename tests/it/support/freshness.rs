//! Finding the examples' programs.
//!
//! `cargo test` builds them beside the tests. Told to run one program of tests alone (`--test it`) it does not, and
//! an old program would be tested, or none be found: then they are built here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::SystemTime;

/// The program of an example, not older than its sources.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if ["axum", "actix", "tonic"].iter().any(|name| is_stale(&path(name))) {
            build();
        }
    });
    path(name)
}

fn path(name: &str) -> PathBuf {
    // target/debug/deps/it-0123456789abcdef
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}

fn is_stale(program: &Path) -> bool {
    let Ok(built) = fs::metadata(program).and_then(|metadata| metadata.modified()) else { return true };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["src", "crates", "examples", "Cargo.lock"].iter().any(|part| newest(&root.join(part)) > built)
}

fn newest(path: &Path) -> SystemTime {
    let own = fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Tests are no part of a program.
    let sources = entries.filter(|entry| entry.file_name() != "tests").map(|entry| entry.path());
    sources
        .filter(|path| path.is_dir() || path.extension().is_some_and(is_source))
        .map(|path| newest(&path))
        .fold(if path.is_dir() { SystemTime::UNIX_EPOCH } else { own }, SystemTime::max)
}

fn is_source(extension: &std::ffi::OsStr) -> bool {
    ["rs", "lua", "toml", "proto"].iter().any(|known| extension == *known)
}

fn build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "keygate", "--examples"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(status.success(), "the examples do not build: {status}");
}
