//! Libraries that only one file of a crate may name, so that they can be replaced there, and libraries that a crate
//! must not name at all. Comments may name what they like.

use super::Source;

struct Confined {
    /// A folder of sources.
    within: &'static str,
    library: &'static str,
    files_at_most: usize,
}

const fn confined(within: &'static str, library: &'static str, files_at_most: usize) -> Confined {
    Confined { within, library, files_at_most }
}

const CONFINED: &[Confined] = &[
    confined("agent/src/", "rumqttc", 1),
    confined("agent/src/", "heed", 1),
    confined("agent/src/", "gpiocdev", 1),
    confined("cloud-ingest/src/", "rumqttc", 1),
    confined("cloud-ingest/src/", "heed", 1),
    confined("agent/src/", "rumqttd", 0),
    confined("cloud-ingest/src/", "rumqttd", 0),
    confined("broker/src/", "heed", 0),
    confined("simulator/src/", "heed", 0),
    confined("cli/src/", "heed", 0),
    confined("protocol/src/", "tokio", 0),
    confined("alarms/src/", "tokio", 0),
    confined("alarms/src/", "std::time", 0),
    confined("access/src/", "tokio", 0),
    confined("access/src/", "std::time", 0),
    confined("access/src/", "std::fs", 0),
    confined("firmware/src/", "tokio", 0),
];

pub fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for Confined { within, library, files_at_most } in CONFINED {
        let mut naming: Vec<&str> = sources
            .iter()
            .filter(|source| source.path.starts_with(within) && source.path.ends_with(".rs"))
            .filter(|source| source.text.lines().any(|line| names(line, library)))
            .map(|source| source.path.as_str())
            .collect();
        // A file and the folder of its modules are one place.
        let all = naming.clone();
        naming.retain(|path| !all.iter().any(|file| is_in_folder_of(path, file)));
        if naming.len() > *files_at_most {
            let allowed = if *files_at_most == 0 { "no file" } else { "one file" };
            problems.push(format!("{allowed} of {within} may name {library}, found {}", naming.join(", ")));
        }
    }
    problems
}

/// Whether `path` is a module below `file`: `queue/store/pin.rs` is below `queue/store.rs`.
fn is_in_folder_of(path: &str, file: &str) -> bool {
    let folder = file.strip_suffix(".rs").unwrap_or(file);
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether code on this line names the library as a whole word.
fn names(line: &str, library: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_part_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(library).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + library.len()..].chars().next();
        !before.is_some_and(is_part_of_a_word) && !after.is_some_and(is_part_of_a_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn one_file_may_name_the_client_and_a_second_may_not() {
        let uplink = source("agent/src/uplink.rs", "use rumqttc::AsyncClient;\n");
        let second = source("agent/src/lanes.rs", "    let e: rumqttc::Event = x;\n");
        assert!(check(&[uplink]).is_empty());
        let both = [source("agent/src/uplink.rs", "use rumqttc::Event;\n"), second];
        let expected =
            "one file of agent/src/ may name rumqttc, found agent/src/uplink.rs, agent/src/lanes.rs";
        assert_eq!(check(&both), [expected]);
    }

    #[test]
    fn the_modules_below_a_file_are_the_same_place() {
        let text = "use heed::Env;\n";
        let store = source("agent/src/queue/store.rs", text);
        let below = source("agent/src/queue/store/pin.rs", text);
        assert!(check(&[store, below]).is_empty());
        let store = source("agent/src/queue/store.rs", text);
        let beside = source("agent/src/queue/store_pin.rs", text);
        assert_eq!(check(&[store, beside]).len(), 1);
    }

    #[test]
    fn comments_and_longer_words_do_not_count() {
        assert!(!names("// heed needs one writer", "heed"));
        assert!(!names("let heeded = unheed(my_heed);", "heed"));
        assert!(names("use heed::Env; // the store", "heed"));
    }
}
