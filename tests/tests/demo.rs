//! `tidegate demo`, as a newcomer runs it and as a script does.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::Value;
use tidegate_tests::programs::program;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("tidegate"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn a_short_demo_with_an_outage_ends_in_one_json_object() {
    let output =
        demo(&["--for", "5s", "--outage", "2s", "--port", "0", "--json"]).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("one JSON object and nothing else");
    let count = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("no {key} in {report}"));
    assert_eq!((count("outstanding"), count("conflicts"), count("lost_declared")), (0, 0, 0), "{report}");
    assert!(count("stored") > 0 && count("stored") == count("measured"), "{report}");
    assert!(count("alarms_raised") > 0, "{report}");
    for key in ["wire_bytes_per_reading", "agent_disk_bytes_per_reading", "backlog_drain_seconds"] {
        assert!(report[key].is_f64(), "{key}: {report}");
    }
    assert!(
        report["alarm_latency_ms"]["p50"].is_f64() || report["alarm_latency_ms"]["samples"] == 0,
        "{report}"
    );
    assert_eq!(err, "", "a demo without trouble has nothing to say on standard error");
}

#[test]
fn a_secure_demo_enrols_its_gateways_and_loses_nothing_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("UTF-8");
    let output =
        demo(&["--secure", "--for", "4s", "--outage", "1s", "--port", "0", "--json", "--data", data])
            .output()
            .expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*err), (Some(0), ""), "{out}");
    let report: Value = serde_json::from_str(&out).expect("one JSON object and nothing else");
    assert!(report["stored"].as_u64() > Some(0) && report["stored"] == report["measured"], "{report}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    for name in ["gw-a", "gw-b"] {
        assert!(read(&format!("{name}.pem")).contains("BEGIN PRIVATE KEY"));
    }
    for name in ["broker.toml", "ingest.toml", "gw-a.toml"] {
        let text = read(name);
        assert!(text.contains("tls]") && !text.contains("password"), "{text}");
    }
}

#[test]
fn people_get_the_address_alarms_and_an_audit_and_ctrl_c_ends_it_cleanly() {
    let mut child =
        demo(&["--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let first = lines.next().expect("a first line");
    assert!(first.starts_with("Tidegate runs: open http://127.0.0.1:"), "{first}");
    lines.find(|line| line.contains("RAISED")).expect("an alarm comes");
    let id = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: a signal to a child that was not waited for, so the id is still its own.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::kill(id, libc::SIGINT) };
    assert_eq!(sent, 0);
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().expect("it ends").success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("Complete: ")), "{rest:?}");
}

#[test]
fn a_busy_port_and_an_unwritable_folder_are_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below_a_file = file.join("data").display().to_string();
    for (arguments, expected) in [
        (["--port", port.as_str()], format!("tidegate: port {port} cannot be used")),
        (["--data", below_a_file.as_str()], format!("tidegate: cannot write to {below_a_file}")),
    ] {
        let mut child = demo(&arguments)
            .args(["--for", "1s"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (mut out, mut err) = (String::new(), String::new());
        child.stdout.take().expect("piped").read_to_string(&mut out).expect("UTF-8");
        child.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
        assert_eq!((child.wait().expect("it ends").code(), out.as_str()), (Some(2), ""), "{err}");
        assert!(err.starts_with(&expected) && err.lines().count() == 1, "{err}");
    }
}
