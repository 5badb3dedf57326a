//! Size, name and content of single files.

use super::Source;

const LINES_AT_MOST: usize = 450;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "util", "utils", "helper", "helpers", "manager", "misc"];

/// Folders of one particular machine. Put together here so that this file is no offender itself.
const MACHINE_PATHS: &[&str] = &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "Users/")];

pub fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        problems.extend(too_long(source));
        problems.extend(empty_name(source));
        problems.extend(machine_path(source));
    }
    problems
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let is_too_long = source.path.ends_with(".rs") && lines > LINES_AT_MOST;
    is_too_long.then(|| format!("{}: {lines} lines; split it, {LINES_AT_MOST} is the most", source.path))
}

fn empty_name(source: &Source) -> Option<String> {
    let words = source.path.split(['/', '.', '_', '-']);
    let word = words.into_iter().find(|word| EMPTY_NAMES.contains(word))?;
    Some(format!("{}: `{word}` does not say what is inside", source.path))
}

fn machine_path(source: &Source) -> Option<String> {
    for (index, line) in source.text.lines().enumerate() {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| starts_a_path(line, path)) {
            return Some(format!("{}:{}: names {path} of someone's machine", source.path, index + 1));
        }
    }
    None
}

/// Whether the folder stands at the start of a path and not inside a longer one.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "._-/}".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_rust_file_over_the_limit_is_named_with_its_length() {
        let long = "x\n".repeat(LINES_AT_MOST + 1);
        assert_eq!(
            check(&[source("a/src/b.rs", &long)]),
            ["a/src/b.rs: 451 lines; split it, 450 is the most"]
        );
        assert!(check(&[source("Cargo.lock", &long)]).is_empty());
        assert!(check(&[source("a/src/b.rs", &"x\n".repeat(LINES_AT_MOST))]).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_refused_wherever_it_stands() {
        for path in ["tests/common/mod.rs", "agent/src/utils.rs", "agent/src/queue_manager.rs"] {
            assert_eq!(check(&[source(path, "")]).len(), 1, "{path}");
        }
        assert!(check(&[source("agent/src/utility.rs", "")]).is_empty());
    }

    #[test]
    fn a_path_of_one_machine_is_found_by_line() {
        let text = format!("fine\nsee {}here\n", MACHINE_PATHS[0]);
        let problems = check(&[source("docs/x.md", &text)]);
        assert!(problems.len() == 1 && problems[0].starts_with("docs/x.md:2: "), "{problems:?}");
        let relative = format!("some{}place", MACHINE_PATHS[0]);
        assert!(check(&[source("docs/x.md", &relative)]).is_empty());
    }
}
