//! What the README says: the example configurations in deploy/ make a working system of separate programs.

use std::process::{Command, Output};

use tidegate_tests::{
    api::number,
    chain::Chain,
    programs::{program, workspace},
};

fn run(name: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(program(name)).args(arguments).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} {arguments:?}: {status}\n{out}{err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_and_the_readmes_commands_work_together() {
    let mut chain = Chain::from_examples();
    chain.start();
    let (link, url) = (chain.board_link().to_string(), chain.api().url());
    run("tidegate-sim", &["fleet", "--connect", &link, "--boards", "20", "--rate", "10", "--for", "2s"]);

    let devices = run("tidegate", &["--url", &url, "devices"]);
    // Twenty boards, this computer, and the heading.
    assert_eq!(devices.lines().count(), 22, "{devices}");
    let audit = run("tidegate", &["--url", &url, "audit", "--wait", "30s"]);
    assert!(audit.contains(" 0 declared lost, "), "{audit}");

    let asked: Vec<&str> = README_READINGS.split(' ').collect();
    let readings = run("tidegate", &[&["--url", &url], asked.as_slice()].concat());
    assert!(readings.lines().count() > 2, "the README's example shows readings: {readings}");
    let status = chain.agent_status().get("/status").await;
    assert!(number(&status, "/counters/readings_received") > 0, "{status}");
}

const README_READINGS: &str = "readings sim-001 temperature --since 10m";

#[test]
fn the_readme_shows_the_command_that_is_tried_here() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("there is a README");
    assert!(readme.contains(&format!("tidegate {README_READINGS}")), "the README shows another command");
}

#[test]
fn every_example_passes_its_own_check() {
    for part in ["broker", "ingest", "agent"] {
        let file = workspace().join(format!("deploy/{part}.toml")).display().to_string();
        run(&format!("tidegate-{part}"), &["check", "--config", &file]);
    }
}
