//! Where the program is that is tested.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program: `PORTCULLIS_BIN` where it is set, else the one next to this test, which is built first, as only the tests of
/// its own package have it built by cargo.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("PORTCULLIS_BIN").map_or_else(build, PathBuf::from))
}

/// A test lies in `TARGET/PROFILE/deps`, the program in `TARGET/PROFILE`.
fn build() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("a test lies in TARGET/PROFILE/deps");
    let target = profile.parent().expect("a profile lies in TARGET");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "portcullis", "--bin", "portcullis", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
    assert!(status.success(), "the program cannot be built");
    profile.join("portcullis")
}
