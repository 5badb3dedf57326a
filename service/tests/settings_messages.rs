//! What a person sees when a settings file is wrong. Each message names the file, the key and the remedy.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::ExposeSecret;
use serde::Deserialize;
use tidegate_service::settings::{
    SettingsError, load, load_with_env, parse, parse_secret, parse_with_env, read_secret,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    listen: String,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    max_connections: u32,
    connect_timeout_ms: u64,
    ratio: f64,
    strict: bool,
    port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    role: Role,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Gateway,
    Observer,
}

fn refused(text: &str) -> String {
    match parse::<Settings>(Path::new("broker.toml"), text) {
        Ok(settings) => panic!("accepted: {settings:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn wrong_files() {
    let cases = [
        "listen = 'a'\nlimits.max_conections = 3\n",
        "listen = 'a'\n[limits]\nzzz = 3\n",
        "listne = 'a'\n",
        "[limits]\nstrict = true\n",
        "listen = 1883\n",
        "listen = 'a'\n\n[limits]\nmax_connections = -1\n",
        "listen = 'a'\n[limits]\nconnect_timeout_ms = '5s'\n",
        "listen = 'a'\n[limits]\nport = 70000\n",
        "listen = 'a'\n[limits]\nratio = 'half'\n",
        "listen = 'a'\n[limits]\nstrict = 'yes'\n",
        "listen = 'a'\nlimits = 3\n",
        "listen = 'a'\nusers = 3\n",
        "listen = 'a'\n[[users]]\nname = 'x'\nrole = 'gateway'\n[[users]]\nname = 'y'\nrole = 'obsever'\n",
        "listen = 'a'\n[[users]]\nname = 'x'\n",
        "listen = 'a'\n[labels]\nplace = 3\n",
        "listen = 127.0.0.1\n",
        "listen = 'a'\nlisten = 'b'\n",
        "listen = 'a'\n[limits\n",
    ];
    let messages: Vec<String> = cases
        .iter()
        .map(|text| format!("{}\n  → {}", text.trim_end().replace('\n', " ⏎ "), refused(text)))
        .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

/// Whoever gets a log to read, or a screenshot of what went wrong, is to find no secret in it.
#[test]
fn a_secret_that_does_not_fit_is_not_repeated() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is never read")]
    struct Receiver {
        password: String,
        secrets: Vec<String>,
        role: Role,
    }
    let (password, secret) = ("271828182845", "whsec_ab, expected cd");
    for (text, says) in [
        (
            format!("password = {password}\n"),
            "password (line 1): integer does not fit here; give text in quotes",
        ),
        (
            format!("password = 'x'\nsecrets = '{secret}'\n"),
            "secrets (line 2): string does not fit here; give a list in square brackets",
        ),
        (
            format!("secrets = [{password}]\n"),
            "secrets[0] (line 1): integer does not fit here; give text in quotes",
        ),
    ] {
        let error = parse::<Receiver>(Path::new("a.toml"), &text).unwrap_err().to_string();
        assert_eq!(error, format!("a.toml: {says}"));
    }
    let variables = [("TIDEGATE_CASE__SECRETS".into(), secret.into())];
    let error = parse_with_env::<Receiver>(Path::new("a.toml"), "", "TIDEGATE_CASE", variables).unwrap_err();
    assert!(!error.to_string().contains("whsec") && error.key() == "secrets", "{error}");
    // Where all of a file is secret.
    for text in [format!("role = '{secret}'\n"), format!("role = {password}\n")] {
        let error = parse_secret::<Receiver>(Path::new("a.toml"), &text).unwrap_err().to_string();
        assert!(error.starts_with("a.toml: role (line 1): ") && !error.contains("whsec"), "{error}");
        assert!(!error.contains(password), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shown = |error: SettingsError| error.to_string().replace(&folder.path().display().to_string(), "…");
    let missing = folder.path().join("missing.toml");
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).expect("written");
    let messages =
        [&missing, &binary].map(|path| shown(load::<Settings>(path).expect_err("it cannot be read")));
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_programs_own_refusal_names_the_line_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("broker.toml");
    std::fs::write(&path, "listen = 'a'\n[[users]]\nname = 'x'\nrole = 'gateway'\n").expect("written");
    let error = SettingsError::invalid(&path, "users[0].name", "\"x\" is given twice", "rename one");
    assert_eq!(error.key(), "users[0].name");
    assert_eq!(
        error.to_string(),
        format!("{}: users[0].name (line 3): \"x\" is given twice; rename one", path.display())
    );
    let unsaved = SettingsError::invalid(Path::new("/nowhere/b.toml"), "listen", "bad", "do better");
    assert_eq!(unsaved.to_string(), "/nowhere/b.toml: listen: bad; do better");
}

#[test]
fn a_secret_is_read_beside_the_settings_file_without_its_line_break() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("broker.toml");
    std::fs::write(folder.path().join("secret"), "s3cret \r\n").expect("written");
    std::fs::write(folder.path().join("empty"), "\n").expect("written");
    let read = |name: &str| read_secret(&settings, "password_file", Path::new(name));
    assert_eq!(read("secret").expect("it exists").expose_secret(), "s3cret ");
    let shown = |name| {
        let error = read(name).expect_err("it is refused").to_string();
        error.replace(&folder.path().display().to_string(), "…")
    };
    insta::assert_snapshot!([shown("empty"), shown("missing")].join("\n"));
}

/// The only test that reads the process's environment; each prefix is its own.
mod environment {
    use super::*;

    const CHILD: &str = "TIDEGATE_SETTINGS_CHILD";

    /// Run by [`variables_override_the_file`] in a child process with variables set.
    #[test]
    fn child() {
        let Some(path) = std::env::var_os(CHILD) else {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("s.toml");
            std::fs::write(&path, "listen = 'a'\n").expect("written");
            let settings: Settings =
                load_with_env(&path, "TIDEGATE_UNSET_PREFIX").expect("no variable is set");
            assert_eq!(settings.listen, "a");
            return;
        };
        match load_with_env::<Settings>(Path::new(&path), "TIDEGATE_CASE") {
            Ok(settings) => println!(
                "result: {} {} {:?} {:?} {:?}",
                settings.listen,
                settings.limits.max_connections,
                settings.limits.connect_timeout_ms,
                (settings.limits.ratio, settings.limits.strict, settings.limits.port),
                (
                    settings.users.iter().map(|user| (&user.name, &user.role)).collect::<Vec<_>>(),
                    settings.labels
                ),
            ),
            Err(error) => println!("result: {error}"),
        }
    }

    fn with(variables: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.toml");
        let text = "listen = 'a'\n[limits]\nmax_connections = 1\n[[users]]\nname = 'x'\nrole = 'gateway'\n";
        std::fs::write(&path, text).expect("written");
        let output = std::process::Command::new(std::env::current_exe().expect("the test's own path"))
            .args(["--exact", "environment::child", "--nocapture"])
            .env(CHILD, &path)
            .envs(variables.iter().map(|(key, value)| (format!("TIDEGATE_CASE__{key}"), *value)))
            .output()
            .expect("the child runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.lines().find_map(|line| line.split_once("result: ").map(|(_, result)| result));
        line.expect("the child printed its result").replace(&folder.path().display().to_string(), "…")
    }

    #[test]
    fn variables_override_the_file() {
        let results = [
            with(&[]),
            with(&[("LISTEN", "127.0.0.1:1"), ("LIMITS__MAX_CONNECTIONS", "64"), ("LIMITS__STRICT", "true")]),
            with(&[("LISTEN", "12345"), ("USERS__0__NAME", "007")]),
            with(&[("LIMITS__MAX_CONNECTIONS", "many")]),
            with(&[("LIMITS__MAX_CONECTIONS", "3")]),
            with(&[("USERS__3__NAME", "y")]),
            with(&[("LISTEN__PORT", "3")]),
        ];
        insta::assert_snapshot!(results.join("\n"));
    }
}
