use super::*;
use jiff::civil::date;
use std::fs;

const TAKEN: Date = date(2026, 11, 28);

/// Of pump something that was mended and something that was not, of valve what was withdrawn, of siren what no version is without.
fn database() -> Database {
    let folder = tempfile::tempdir().unwrap();
    for (id, package, about, versions) in [
        ("RUSTSEC-2026-0001", "pump", "", r#"patched = [">= 1.2.3, < 1.3.0", ">= 1.3.1"]"#),
        (
            "RUSTSEC-2025-0002",
            "pump",
            r#"informational = "unmaintained""#,
            "patched = []\nunaffected = ['< 1.0.0']",
        ),
        ("RUSTSEC-2024-0003", "valve", r#"withdrawn = "2025-01-01""#, "patched = []"),
        ("RUSTSEC-2024-0004", "siren", "", "patched = []"),
    ] {
        let folder = folder.path().join("crates").join(package);
        fs::create_dir_all(&folder).unwrap();
        let head = format!("id = \"{id}\"\npackage = \"{package}\"\ndate = \"2024-01-01\"\n{about}");
        let text =
            format!("```toml\n[advisory]\n{head}\n[versions]\n{versions}\n```\n# {package}\n\nWords.\n");
        fs::write(folder.join(format!("{id}.md")), text).unwrap();
    }
    Database::open(folder.path()).unwrap()
}

/// Two lock files of these crates, and of one of this repository's own, which has the name of a crate with a record.
fn lock(packages: &[(&str, &str)]) -> BTreeMap<String, Lockfile> {
    let mut text = "version = 4\n[[package]]\nname = \"siren\"\nversion = \"0.1.0\"\n".to_owned();
    for (name, version) in packages {
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        text += &format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n");
    }
    ["Cargo.lock", "fuzz/Cargo.lock"].map(|name| (name.to_owned(), text.parse().unwrap())).into()
}

fn table() -> Table {
    Table::of(&database(), TAKEN, lock(&[("pump", "1.2.3"), ("valve", "2.0.0")]).values())
}

fn faults(packages: &[(&str, &str)], excepted: &[&str]) -> Vec<String> {
    let excepted: Vec<_> = excepted.iter().map(|&id| id.to_owned()).collect();
    table().faults(&lock(packages), &excepted, TAKEN)
}

#[test]
fn a_version_with_a_record_is_named_unless_it_is_excepted() {
    let old = "RUSTSEC-2025-0002";
    let page = "https://rustsec.org/advisories";
    let everywhere = "Cargo.lock, fuzz/Cargo.lock";
    let unmaintained = |version: &str| format!("pump {version} is unmaintained, {page}/{old}: {everywhere}");
    let vulnerable = |version: &str| {
        let mended = "mended in >=1.2.3, <1.3.0 or >=1.3.1";
        format!("pump {version} is vulnerable, {page}/RUSTSEC-2026-0001, {mended}: {everywhere}")
    };
    assert_eq!(faults(&[("pump", "1.3.0")], &[]), [unmaintained("1.3.0"), vulnerable("1.3.0")]);
    assert_eq!(faults(&[("pump", "1.3.0")], &[old]), [vulnerable("1.3.0")]);
    assert_eq!(faults(&[("pump", "1.2.3")], &[]), [unmaintained("1.2.3")]);
    assert_eq!(faults(&[("pump", "0.9.0")], &[]), [vulnerable("0.9.0")]);
    assert!(faults(&[("pump", "1.2.4"), ("valve", "1.0.0")], &[old]).is_empty());
    // Every version in the file is looked at, not the newest of a name.
    assert_eq!(faults(&[("pump", "1.3.1"), ("pump", "1.3.0")], &[old]), [vulnerable("1.3.0")]);
}

#[test]
fn an_exception_that_nothing_needs_is_named() {
    let fault = "deny.toml excepts RUSTSEC-2026-0001, which nothing here has";
    assert_eq!(faults(&[("pump", "0.9.0")], &["RUSTSEC-2026-0001"]), [] as [&str; 0]);
    assert_eq!(faults(&[("pump", "1.2.3")], &["RUSTSEC-2026-0001", "RUSTSEC-2025-0002"]), [fault]);
}

#[test]
fn a_crate_that_nobody_looked_up_is_named() {
    assert_eq!(
        faults(&[("siren", "1.0.0"), ("valve", "1.0.0")], &[]),
        [format!("nobody has looked up siren; {RENEW}: Cargo.lock, fuzz/Cargo.lock")]
    );
}

#[test]
fn a_list_of_half_a_year_ago_is_too_old() {
    let with = |today| table().faults(&lock(&[("valve", "1.0.0")]), &[], today);
    assert!(with(date(2027, 5, 29)).is_empty());
    let told = with(date(2027, 5, 30)).join("\n");
    assert!(told.contains("the list is of 2026-11-28, more than 182 days ago"), "{told}");
}

#[test]
fn the_file_says_what_was_taken() {
    let text = table().to_string();
    let read: Table = toml::from_str(&text).unwrap();
    assert_eq!(read.to_string(), text);
    let body = text.split_once("[crates]\n").unwrap().1;
    assert_eq!(
        body,
        concat!(
            "pump = [\n",
            "    { id = \"RUSTSEC-2025-0002\", kind = \"unmaintained\", patched = [], unaffected = [\"<1.0.0\"] },\n",
            "    { id = \"RUSTSEC-2026-0001\", patched = [\">=1.2.3, <1.3.0\", \">=1.3.1\"], unaffected = [] },\n",
            "]\n",
            "valve = []\n",
        )
    );
    assert_eq!(format!("{:#}", table()), "2 crates, 2 advisories as of 2026-11-28");
}
