//! Node.js with other people's modules, from npm.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::programs::workspace;

fn modules() -> PathBuf {
    std::env::var_os("TIDEGATE_TEST_NODE_MODULES")
        .map_or_else(|| workspace().join("target/tools/node/node_modules"), PathBuf::from)
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules());
    command
}

/// `node`, for which `require(module)` works.
///
/// # Panics
/// When it does not; the message names the command that sees to it.
pub fn node_with(module: &str) -> Command {
    let requires = node().args(["-e", &format!("require({module:?})")]).stderr(Stdio::null()).status();
    assert!(
        requires.is_ok_and(|status| status.success()),
        "no node with {module} in {}: `cargo xtask test` installs both (or set TIDEGATE_TEST_NODE_MODULES)",
        modules().display()
    );
    node()
}
