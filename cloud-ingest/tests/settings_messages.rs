//! What people read when a settings or rules file is refused: the file, the key, the line, what is wrong, what to do.

use tidegate_ingest::Config;

/// The message for these files, with the folder's name left out.
fn message(settings: &str, rules: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ingest.toml");
    std::fs::write(&file, settings).expect("it writes");
    std::fs::write(folder.path().join("rules.toml"), rules).expect("it writes");
    let error = Config::load(&file).expect_err("it is refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn settings(text: &str) -> String {
    message(&format!("data_dir = \"data\"\n{text}"), "")
}

fn rules(text: &str) -> String {
    message("data_dir = \"data\"\nrules = \"rules.toml\"\n", text)
}

#[test]
fn settings_that_are_refused_say_why() {
    insta::assert_snapshot!(message("rules = \"rules.toml\"", ""), @r#"ingest.toml: data_dir: missing; add `data_dir = …`"#);
    insta::assert_snapshot!(settings("[jurnal]\n"), @r#"ingest.toml: jurnal (line 2): unknown key; did you mean "journal"?"#);
    insta::assert_snapshot!(settings("[journal]\nmap_size = 1\n"), @r#"ingest.toml: journal.map_size (line 3): unknown key; did you mean "map_size_bytes"?"#);
    insta::assert_snapshot!(settings("[journal]\nmap_size_bytes = 1000\n"), @r#"ingest.toml: journal.map_size_bytes (line 3): 1000 bytes are too few for the journal's map; give at least 67108864"#);
    insta::assert_snapshot!(settings("[journal]\nmap_size_bytes = 100000000\nquota_bytes = 100000000\n"), @r#"ingest.toml: journal.quota_bytes (line 4): 100000000 leaves no room in a map of 100000000; give at most nine tenths of it, 90000000"#);
    insta::assert_snapshot!(settings("[journal]\ncommit_interval_ms = \"2ms\"\n"), @r#"ingest.toml: journal.commit_interval_ms (line 3): string "2ms" does not fit here; give a whole number, 0 or more"#);
    insta::assert_snapshot!(settings("[journal]\ncredit_bytes = 1\n"), @r#"ingest.toml: journal.credit_bytes (line 3): 1 bytes are less than one block; give at least 524288"#);
    insta::assert_snapshot!(settings("[journal]\nmax_origins_per_gateway = 4095\n"), @r#"ingest.toml: journal.max_origins_per_gateway (line 3): 4095 boots are no bound for one gateway; give 4096 (one block) to 1000000"#);
    insta::assert_snapshot!(settings("[lake]\nroll_interval_ms = 1\n"), @r#"ingest.toml: lake.roll_interval_ms (line 3): 1 would make a file for almost every block; give at least 100"#);
    insta::assert_snapshot!(settings("[retention]\nlake_days = 40000\n"), @r#"ingest.toml: retention.lake_days (line 3): 40000 days are more than 36500; give 0 to keep it for ever"#);
    insta::assert_snapshot!(settings("[silence]\ngateway_offline_after_ms = 0\n"), @r#"ingest.toml: silence.gateway_offline_after_ms (line 3): 0 ms is no time after which something is called silent; give 1000 to 3600000"#);
    insta::assert_snapshot!(settings("[silence]\nsettle_ms = 999\n"), @r#"ingest.toml: silence.settle_ms (line 3): 999 ms is no time after which something is called silent; give 1000 to 3600000"#);
    insta::assert_snapshot!(settings("[silence]\nbehind_after_ms = 3600001\n"), @r#"ingest.toml: silence.behind_after_ms (line 3): 3600001 ms is no time after which something is called silent; give 1000 to 3600000"#);
    insta::assert_snapshot!(settings("[broker]\naddress = \"localhost\"\n"), @r#"ingest.toml: broker.address (line 3): "localhost" is not host:port; write it as "127.0.0.1:1883""#);
    insta::assert_snapshot!(settings("[broker]\naddress = \"broker.example:1883\"\n"), @r#"ingest.toml: broker.address (line 3): readings and passwords would go to broker.example in clear; add [broker.tls] with `ca`, `certificate` and `key`, or `insecure = true` to [broker] if nobody else can be on that network"#);
    insta::assert_snapshot!(settings("[broker]\naddress = \"broker.example:8883\"\ntls = { ca = \"ca.pem\", key = \"a.key\" }\n"), @r#"ingest.toml: broker.tls.key (line 4): there is a key without its certificate; add `certificate = …`"#);
    insta::assert_snapshot!(settings("[broker]\npassword = \"x\"\n"), @r#"ingest.toml: broker.user (line 2): there is a password and no user; add `user = "ingest"`"#);
    insta::assert_snapshot!(settings("[broker]\nuser = \"ingest\"\npassword_file = \"nowhere\"\n"), @r#"ingest.toml: broker.password_file (line 4): cannot read nowhere (No such file or directory (os error 2)); create the file with the secret on one line, readable by this program's user"#);
    insta::assert_snapshot!(settings("[http]\nlisten = \"8080\"\n"), @r#"ingest.toml: http.listen (line 3): "8080" is not an address with a port; write it as "127.0.0.1:8080" or "[::1]:8080""#);
    insta::assert_snapshot!(settings("[http]\nlisten = \"0.0.0.0:8080\"\n"), @r#"ingest.toml: http.listen (line 3): passwords, tokens and readings would come to 0.0.0.0:8080 in clear; add [http.tls] with `certificate` and `key`, listen on 127.0.0.1, or add `insecure = true` to [http] if nobody else can be on that network"#);
    insta::assert_snapshot!(settings("[http]\nlisten = \"0.0.0.0:8080\"\ntls = { certificate = \"a.pem\", key = \"a.key\" }\n"), @r#"ingest.toml: http.listen (line 3): whoever reaches 0.0.0.0:8080 could read everything; add [auth] and make a first user with `tidegate-ingest users add`, or listen on 127.0.0.1"#);
    insta::assert_snapshot!(settings("[http]\nlisten = \"0.0.0.0:8080\"\ninsecure = true\n"), @r#"ingest.toml: http.listen (line 3): whoever reaches 0.0.0.0:8080 could read everything; add [auth] and make a first user with `tidegate-ingest users add`, or listen on 127.0.0.1"#);
    insta::assert_snapshot!(settings("[auth]\n[http]\nlisten = \"0.0.0.0:8080\"\n"), @r#"ingest.toml: http.listen (line 4): passwords, tokens and readings would come to 0.0.0.0:8080 in clear; add [http.tls] with `certificate` and `key`, listen on 127.0.0.1, or add `insecure = true` to [http] if nobody else can be on that network"#);
    insta::assert_snapshot!(settings("[http]\ntls = { certificate = \"nowhere.pem\", key = \"a.key\" }\n"), @r#"ingest.toml: http.tls.certificate (line 3): nowhere.pem: it cannot be read (No such file or directory (os error 2)); correct the path, or replace the file"#);
    insta::assert_snapshot!(settings("[auth]\nsession_hours = 0\n"), @r#"ingest.toml: auth.session_hours (line 3): 0 hours are no session's length; give 1 to 168"#);
    insta::assert_snapshot!(settings("[auth]\nsession_idle_minutes = 721\n"), @r#"ingest.toml: auth.session_idle_minutes (line 3): 721 minutes are 0, or more than a session lasts; give 1 or more, and no more than session_hours"#);
    insta::assert_snapshot!(settings("[http]\nmax_event_streams = 0\n"), @r#"ingest.toml: http.max_event_streams (line 3): 0 is not a number of event streams that can be open; give 1 to 65535"#);
    insta::assert_snapshot!(settings("rules = \"no-rules.toml\"\n"), @r#"ingest.toml: rules (line 2): there is no file at no-rules.toml; create it, or correct the path"#);
}

#[test]
fn rules_that_are_refused_say_why() {
    insta::assert_snapshot!(rules("[[rule]]\nid = \"hot\"\n"), @r#"rules.toml: rule[0].above (line 1): rule "hot": the rule has no condition; add one of above = x, below = x, outside = [low, high], inside = [low, high], equals = x, not_equals = x, rate = { … }, deviation = { … }, stale = { … }"#);
    insta::assert_snapshot!(rules("[[rule]]\nid = \"hot\"\nabove = 1.0\nbelow = 0.0\n"), @r#"rules.toml: rule[0].below (line 4): rule "hot": the rule has two conditions, above and below; keep one and put the other into a rule of its own"#);
    insta::assert_snapshot!(rules("[[rule]]\nid = \"hot\"\nabove = 1.0\ndeadbnad = 1.0\n"), @r#"rules.toml: rule[0].deadbnad (line 4): unknown key; did you mean "deadband"?"#);
    insta::assert_snapshot!(
        rules("[[rule]]\nid = \"hot\"\nabove = 1.0\n[[rule]]\nid = \"hot\"\nabove = 2.0\n"), @r#"rules.toml: rule[1].id (line 5): rule "hot": rule[0] has this id already; give each rule an id of its own, or say with effective_from when each revision of it begins"#
    );
    insta::assert_snapshot!(rules("[[rule]]\nid = \"never\"\noutside = [10.0, 11.0]\ndeadband = 5.0\n"), @r#"rules.toml: rule[0].deadband (line 4): rule "never": with a deadband of 5 no value between 10 and 11 clears the alarm; give at most 0.5"#);
}

#[test]
fn whoever_says_that_it_is_insecure_gets_it_and_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ingest.toml");
    let policy = |text: &str| {
        std::fs::write(&file, format!("data_dir = \"data\"\n{text}")).expect("it writes");
        Config::load(&file).expect("it is taken").http.policy
    };
    let clear = policy("[auth]\n[http]\nlisten = \"0.0.0.0:8080\"\ninsecure = true\n");
    assert!(clear.asks && clear.warning().is_some_and(|said| said.starts_with("INSECURE")));
    let local = policy("");
    assert!(local.warning().is_some_and(|said| said.contains("nobody is asked")));
    assert_eq!(policy("[auth]\n").warning(), None);
}

#[test]
fn the_example_files_are_good() {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ingest.toml");
    let config = Config::load(&deploy).expect("the example is good");
    assert!(!config.rules.rules().is_empty());
    assert_eq!(config.rules.unknown_units().count(), 0);
    // The example says that it shows the defaults.
    let defaults = tempfile::tempdir().expect("a folder");
    let file = defaults.path().join("ingest.toml");
    std::fs::write(&file, "data_dir = \"data\"\n").expect("it writes");
    let plain = Config::load(&file).expect("it is good");
    assert_eq!(
        format!("{:?} {:?} {:?} {:?}", plain.journal, plain.lake, plain.retention, plain.http),
        format!("{:?} {:?} {:?} {:?}", config.journal, config.lake, config.retention, config.http)
    );
    assert_eq!(plain.silence, config.silence);
    assert_eq!(
        (plain.silence.offline_after_ms, plain.silence.settle_ms, plain.silence.lag_ms),
        (15_000, 10_000, 5_000)
    );
    assert_eq!((plain.broker.port, plain.broker.client_id), (config.broker.port, config.broker.client_id));
}
