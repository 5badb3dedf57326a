//! The command line, as a user runs it.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

use crate::programs::program;

pub fn tidegate(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("tidegate"));
    command.args(["--url", url]).args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end that reads this line.
pub fn output_with_line(command: &mut Command, line: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // It may end without reading it.
    let _sent = writeln!(child.stdin.take().expect("piped"), "{line}");
    child.wait_with_output().expect("it ends")
}

/// A command that goes on until it is killed.
pub struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("tidegate starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Its next line, which is JSON.
    pub fn next_line(&mut self) -> Value {
        let line = self.lines.next().expect("it goes on").expect("UTF-8");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
