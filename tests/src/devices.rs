//! Which boards an agent welcomes: its list, with keys, and whom it holds.

use std::fs;

use serde_json::Value;

use crate::chain::{Chain, Part};

/// Runs `tidegate-agent devices …`; what it prints.
pub fn devices(agent: &Part, arguments: &[&str]) -> String {
    let output = agent.command(&[&["devices"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// `more` are further arguments, such as `--replace`.
pub fn give_key(chain: &Chain, name: &str, key: &str, more: &[&str]) -> String {
    let file = chain.folder().join("key");
    fs::write(&file, format!("{key}\n")).expect("the temporary folder can be written");
    devices(&chain.agent, &[&["key", name, "--from", &file.display().to_string()], more].concat())
}

/// Waits until the agent holds this device for this reason.
pub async fn held(chain: &Chain, name: &str, why: &str) -> Value {
    let find =
        |status: &Value| status["pending"].as_array()?.iter().find(|one| one["device"] == name).cloned();
    let is = |status: &Value| find(status).is_some_and(|one| one["held"] == why);
    let status = chain.agent_status().get_when(&format!("{name} held as {why}"), "/status", is).await;
    find(&status).expect("it was there")
}
