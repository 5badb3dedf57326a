//! docs/mqtt.md: every statement of the standard stands there once, and what it names as shown by a test is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tidegate_tests::programs::workspace;

/// The sections of MQTT 3.1.1 that have numbered statements (appendix B), and how many.
const STATEMENTS: [(&str, usize); 39] = [
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

struct Row {
    statements: Vec<String>,
    tests: Vec<String>,
    result: String,
}

/// The rows of all tables of the page.
fn rows() -> Vec<Row> {
    let path = workspace().join("docs/mqtt.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| MQTT-");
    page.lines().filter(is_row).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [statements, _, tests, result] = cells[..] else { panic!("four cells, not {cells:?}") };
    let list = |cell: &str| -> Vec<String> {
        cell.split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let bare = |test: &str| {
        let name = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
        name.unwrap_or_else(|| panic!("not the name of a test: {test}")).to_owned()
    };
    Row {
        statements: list(statements),
        tests: list(tests).iter().map(|test| bare(test)).collect(),
        result: result.to_owned(),
    }
}

/// The names of all test functions in a folder of Rust files.
fn collect_tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of this repository") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect_tests(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let mut lines = text.lines().map(str::trim_start);
            while lines.by_ref().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
            {
                let function = lines.by_ref().find(|line| line.contains("fn ")).expect("a function follows");
                let name = function.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
                names.insert(name.expect("it has a name").to_owned());
            }
        }
    }
}

#[test]
fn every_statement_of_the_standard_stands_in_the_table_once() {
    let listed: Vec<String> = rows().into_iter().flat_map(|row| row.statements).collect();
    let standard = STATEMENTS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |number| format!("{section}-{number}")));
    let standard: Vec<String> = standard.collect();
    let missing: Vec<_> = standard.iter().filter(|statement| !listed.contains(statement)).collect();
    assert!(missing.is_empty(), "not in docs/mqtt.md: {missing:?}");
    let of_no_standard: Vec<_> = listed.iter().filter(|statement| !standard.contains(statement)).collect();
    assert!(of_no_standard.is_empty(), "no statements of the standard: {of_no_standard:?}");
    assert_eq!(listed.len(), standard.len(), "each once");
}

#[test]
fn every_result_is_shown_by_tests_that_exist() {
    let mut tests = BTreeSet::new();
    for folder in ["broker/src", "broker/tests", "tests/tests"] {
        collect_tests(&workspace().join(folder), &mut tests);
    }
    for Row { statements, tests: named, result } in rows() {
        let unknown: Vec<_> = named.iter().filter(|name| !tests.contains(*name)).collect();
        assert!(unknown.is_empty(), "{statements:?}: no tests are called {unknown:?}");
        let nothing_to_show = result.starts_with("a client's duty") || result.starts_with("not applicable: ");
        let is_a_result = result.starts_with("holds") || result.starts_with("does not hold: ");
        assert!(is_a_result || nothing_to_show, "{statements:?}: {result:?} is no result");
        assert!(nothing_to_show || !named.is_empty(), "{statements:?} {result}: who says so?");
    }
}
