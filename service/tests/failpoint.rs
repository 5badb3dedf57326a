//! A failure point really kills the process, and only when armed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use tidegate_service::failpoint;

const PASSED: &str = "passed the point";

/// Runs in the child processes below; by itself it shows that an unarmed point lets everyone by.
#[test]
fn passes_the_point_twice() {
    let mut passed = 0;
    for _ in 0..2 {
        failpoint::hit("test-point");
        passed += 1;
        println!("{PASSED} {passed}");
    }
    assert_eq!(passed, 2);
}

fn child(armed: Option<&str>) -> (Option<i32>, usize) {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args(["--exact", "passes_the_point_twice", "--nocapture"]).stderr(Stdio::null());
    command.env_remove(failpoint::VARIABLE);
    if let Some(spec) = armed {
        command.env(failpoint::VARIABLE, spec);
    }
    let output = command.output().expect("the child runs");
    let passed = String::from_utf8_lossy(&output.stdout).matches(PASSED).count();
    (output.status.signal(), passed)
}

#[test]
fn an_armed_point_kills_with_sigkill_at_its_count() {
    const SIGKILL: i32 = 9;
    assert_eq!(child(None), (None, 2));
    assert_eq!(child(Some("another-point")), (None, 2));
    assert_eq!(child(Some("test-point")), (Some(SIGKILL), 0));
    assert_eq!(child(Some("test-point:2")), (Some(SIGKILL), 1));
}
