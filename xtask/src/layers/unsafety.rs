//! `unsafe` stands in few places, and docs/security.md names each file with the reason: no more, and none that has no `unsafe` any more.

use super::Source;
use std::collections::BTreeSet;

const PAGE: &str = "docs/security.md";
const HEADING: &str = "### Unsafe code";
/// What follows the word where it opens something.
const OPENS: [&str; 5] = [" {", " impl ", " fn ", " extern ", "("];

pub fn check(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        return vec![format!("there is no {PAGE}")];
    };
    let stated = stated(&page.text);
    let rust = sources.iter().filter(|source| source.path.ends_with(".rs"));
    let found: BTreeSet<&str> =
        rust.filter(|source| source.text.lines().any(is_unsafe)).map(|source| source.path.as_str()).collect();
    let unstated =
        found.difference(&stated).map(|path| format!("{path}: `unsafe`, and no word of it in {PAGE}"));
    let gone = stated.difference(&found).map(|path| format!("{PAGE}: {path} has no `unsafe`; take it out"));
    unstated.chain(gone).collect()
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("unsafe").any(|(at, word)| {
        let begins =
            !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_\"`".contains(before));
        begins && OPENS.iter().any(|opens| code[at + word.len()..].starts_with(opens))
    })
}

/// The files in the table below the heading.
fn stated(page: &str) -> BTreeSet<&str> {
    let section = page.lines().skip_while(|line| *line != HEADING).skip(1);
    let section = section.take_while(|line| !line.starts_with('#'));
    let rows = section.filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('`').nth(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_is_unsafe_must_be_stated_and_what_is_stated_be_there() {
        let page = "### Unsafe code\n| file | why |\n|---|---|\n| `a.rs` | a map |\n| `gone.rs` | once |\n## Next\n| `b.rs` | no |\n";
        // Put together here, so that this file has no such code itself.
        let with = |text: &str| text.replace("@", "unsafe");
        let sources = [
            source(PAGE, page),
            source("a.rs", &with("let env = @ { open() };\n")),
            source("b.rs", &with("@ impl Send for X {}\n")),
            source("c.rs", &with("// @ { }\n#![forbid(@_code)]\nlet s = \"@ {\";\n@_parcels(1);\n")),
        ];
        let problems = check(&sources);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("b.rs: ") && problems[1].contains("gone.rs"), "{problems:?}");
        assert_eq!(check(&[]).len(), 1);
    }
}
