//! A board's image in QEMU, its serial line joined to whatever listens. `cargo xtask test` builds the images and says where
//! they are.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use toml::Table;

use crate::programs::workspace;

const FIRMWARE: &str = "TIDEGATE_TEST_FIRMWARE";
const QEMU: &str = "TIDEGATE_TEST_QEMU";

/// A running board. Dropping it pulls its plug.
pub struct Emulated(Child);

impl Emulated {
    /// A board of `firmware/boards` whose serial line is a TCP connection to `link`, made anew when it breaks.
    pub fn start(board: &str, link: SocketAddr) -> Self {
        Self::start_image(board, board, link)
    }

    /// The same, built with its feature `key`.
    pub fn start_keyed(board: &str, link: SocketAddr) -> Self {
        Self::start_image(board, &format!("{board}-key"), link)
    }

    fn start_image(board: &str, image: &str, link: SocketAddr) -> Self {
        let elf = required(FIRMWARE).join(board).join(format!("{image}.elf"));
        assert!(elf.exists(), "{} is missing: run `cargo xtask firmware build`", elf.display());
        let qemu = required(QEMU);
        let mut command = Command::new(&qemu);
        command.args(["-M", &machine(board), "-display", "none", "-monitor", "none", "-serial"]);
        command.arg(format!("tcp:{link},nodelay,reconnect=1"));
        command.arg("-kernel").arg(&elf).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{QEMU} names {}: {error}", qemu.display())))
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// QEMU's name for it.
fn machine(board: &str) -> String {
    let file = workspace().join("firmware/boards/boards.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let boards: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let machine = boards.get(board).and_then(|board| board.get("qemu")).and_then(|name| name.as_str());
    machine.unwrap_or_else(|| panic!("{} names no QEMU machine for {board}", file.display())).to_owned()
}

fn required(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!(
            "{variable} is not set: run this test by `cargo xtask test`, which builds the images and sets it"
        ),
    }
}
