//! A gateway whose clock is wrong, under certificates: as a real process that is told another time by whoever it asks.

use std::process::Command;

use tidegate_tests::{
    authority::enroll_with,
    chain::Chain,
    eventually::PATIENCE,
    measured::Measured,
    secured::{enrolled, gateway},
};

/// What makes a program believe that it starts at this time. Only the wall clock is another one.
fn clock_of(time: &str) -> Vec<(&'static str, String)> {
    let mut faketime = Command::new("faketime");
    let told = faketime.args(["--exclude-monotonic", "-f", &format!("@{time}"), "env"]).output();
    let told = told.expect("`cargo xtask test` installs it (apt faketime)");
    let told = String::from_utf8(told.stdout).expect("UTF-8");
    ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"]
        .map(|name| {
            let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            (name, value.unwrap_or_else(|| panic!("no {name} in {told}")).to_owned())
        })
        .into()
}

/// `check --connect` of the agent by this clock: whether all is well, and what it says.
fn checked(chain: &Chain, clock: &[(&str, &str)]) -> (bool, String) {
    let output = chain.agent.command_with(clock, &["check", "--connect"]);
    (
        output.status.success(),
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_in_1970_enrols_connects_and_delivers() {
    let (mut chain, authority, config) = enrolled(&[], "127.0.0.1");
    let of_1970 = clock_of("1970-01-01 00:00:10");
    let of_1970: Vec<_> = of_1970.iter().map(|(name, value)| (*name, &**value)).collect();
    // All that it has it got in 1970.
    std::fs::remove_dir_all(config.parent().expect("a folder")).expect("it is there");
    let invitation = authority.run(&["gateway", "invite", &gateway()]);
    let output = enroll_with(&of_1970, &invitation, &config);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    chain.broker.start();
    let mqtt = chain.mqtt();
    chain.connect_ingest(mqtt);
    chain.connect_agent(mqtt);
    chain.ingest.start();
    chain.agent.start_with(&of_1970);
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let flow = board.wait_until(|status| status.acknowledged >= 50);
    tokio::time::timeout(PATIENCE, flow).await.expect("readings are acknowledged");
    let last = board.finish().await;
    assert_eq!((last.acknowledged, last.lost), (last.measured, 0), "{last:?}");
    let stored = |audit: &serde_json::Value| audit["totals"]["stored"] == measured.count();
    chain.api().get_when("every reading stored", "/api/v1/audit", stored).await;

    let (is_well, said) = checked(&chain, &of_1970);
    assert!(is_well && said.contains("1970-01-01"), "it says which clock it goes by: {said}");
    // One that is ahead is believed: then what the certificates say is over.
    let of_2099 = clock_of("2099-01-01 00:00:10");
    let of_2099: Vec<_> = of_2099.iter().map(|(name, value)| (*name, &**value)).collect();
    let (is_well, said) = checked(&chain, &of_2099);
    assert!(!is_well && said.contains("the clock here says 2099-01-01"), "{said}");
}
