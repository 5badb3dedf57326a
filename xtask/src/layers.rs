//! `cargo xtask layers`: what must stay true of the tree as a whole. It also runs as a test, so that nobody has to
//! remember it.

mod confinement;
mod dependencies;
mod files;
mod unsafety;

use crate::command::capture;
use crate::repository::Repository;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn run(repository: &Repository) -> Result<()> {
    let problems = problems(repository)?;
    if !problems.is_empty() {
        bail!("{} problems:\n  {}", problems.len(), problems.join("\n  "));
    }
    println!("layers, file sizes and file names are as they should be");
    Ok(())
}

/// A text file of the repository.
struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

fn problems(repository: &Repository) -> Result<Vec<String>> {
    let sources = sources(repository.root())?;
    let mut problems = dependencies::check(&dependencies::of_workspace(repository)?);
    problems.extend(confinement::check(&sources));
    problems.extend(files::check(&sources));
    problems.extend(unsafety::check(&sources));
    Ok(problems)
}

/// Every text file that is tracked, or would be if it were added now.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"];
    let listing = capture(Command::new("git").args(arguments).current_dir(root))?;
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    // A file that is deleted but still tracked, or that is no text, has nothing to check.
    let read =
        |path: &str| Some(Source { path: path.to_owned(), text: fs::read_to_string(root.join(path)).ok()? });
    Ok(paths.filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_its_layers_sizes_and_names() {
        let repository = Repository::locate().unwrap();
        let problems = problems(&repository).unwrap();
        assert!(problems.is_empty(), "{} problems:\n  {}", problems.len(), problems.join("\n  "));
    }
}
