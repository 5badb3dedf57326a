//! The named bounds of a rules file, each with the first that is too much.

use tidegate_alarms::{
    RuleSet, RulesSettings,
    settings::{MAX_LABELS, MAX_MESSAGE, MAX_RULE_ID, MAX_RULES, MAX_TEXT, MAX_VALUES},
};

/// The keys that are refused, each with what is said.
fn refused(text: &str) -> Vec<String> {
    let settings: RulesSettings = toml::from_str(text).unwrap();
    match RuleSet::from_settings(settings) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| format!("{} {}", error.key_path(), error.problem)).collect(),
    }
}

#[test]
fn so_many_entries_are_taken_and_one_more_is_refused() {
    let rules = |count: usize| {
        (0..count).map(|n| format!("[[rule]]\nid = \"r{n}\"\nabove = 1\n")).collect::<String>()
    };
    assert_eq!(refused(&rules(MAX_RULES)), Vec::<String>::new());
    assert_eq!(
        refused(&rules(MAX_RULES + 3)),
        ["rule[4096].id the file has more than 4096 rules"],
        "said once"
    );
    let labels = |count: usize| "[[labels]]\nset = { area = \"hall\" }\n".repeat(count);
    assert_eq!(refused(&labels(MAX_LABELS)), Vec::<String>::new());
    assert_eq!(refused(&labels(MAX_LABELS + 1)), ["labels[1024].set the file has more than 1024 [[labels]]"]);
}

#[test]
fn texts_and_lists_are_as_long_as_their_bounds() {
    let x = |length: usize| "x".repeat(length);
    let rule = |id: String, keys: String| format!("[[rule]]\nid = \"{id}\"\n{keys}");
    let with = |keys: String| rule("a".to_owned(), format!("above = 1\n{keys}"));
    let list = |count: usize| rule("a".to_owned(), format!("equals = {:?}", vec![1; count]));
    let label = |length: usize| format!("[[labels]]\nset = {{ area = \"{}\" }}", x(length));
    for (fits, too_long, key) in [
        (
            rule(x(MAX_RULE_ID), "above = 1".into()),
            rule(x(MAX_RULE_ID + 1), "above = 1".into()),
            "rule[0].id",
        ),
        (
            with(format!("select.tag = \"{}\"", x(MAX_TEXT))),
            with(format!("select.tag = \"{}\"", x(MAX_TEXT + 1))),
            "rule[0].select.tag",
        ),
        (
            with(format!("message = \"{}\"", x(MAX_MESSAGE))),
            with(format!("message = \"{}\"", x(MAX_MESSAGE + 1))),
            "rule[0].message",
        ),
        (list(MAX_VALUES), list(MAX_VALUES + 1), "rule[0].equals"),
        (label(MAX_TEXT), label(MAX_TEXT + 1), "labels[0].set.area"),
    ] {
        assert_eq!(refused(&fits), Vec::<String>::new());
        let found = refused(&too_long);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{key} ")), "{found:?}");
    }
}

#[test]
fn labels_are_given_by_names_and_are_something() {
    let select = "[[labels]]\nselect = { labels = { area = \"x\" } }\nset = { floor = \"1\" }";
    assert!(refused(select)[0].starts_with("labels[0].select.labels "), "{:?}", refused(select));
    assert_eq!(refused("[[labels]]\nset = {}"), ["labels[0].set no label is given"]);
}
