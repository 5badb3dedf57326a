//! Reads cargo test's output: which program ran, and its `test result:` line. A program that ends without one has
//! crashed, and counts as one failed test.

use std::fmt;

const RESULT: &str = "test result: ";

#[derive(Default)]
pub struct Summary {
    running: Option<String>,
    results: Vec<String>,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Summary {
    pub fn read(&mut self, line: &str) {
        if let Some(name) = program(line) {
            self.close();
            self.running = Some(name);
        } else if let Some(counts) = line.strip_prefix(RESULT) {
            let name = self.running.take().unwrap_or_default();
            let (passed, failed, ignored) =
                (count(counts, " passed"), count(counts, " failed"), count(counts, " ignored"));
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
            if passed + failed + ignored > 0 {
                self.results.push(format!("{line}  [{name}]"));
            }
        }
    }

    /// Call when the output has ended.
    pub fn close(&mut self) {
        if let Some(name) = self.running.take() {
            self.failed += 1;
            self.results.push(format!("no result, it ended early  [{name}]"));
        }
    }

    pub fn total(&self) -> String {
        let skipped = if self.ignored > 0 { format!(", {} skipped", self.ignored) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }

    pub fn ran_nothing(&self) -> bool {
        self.passed + self.failed == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            writeln!(f, "{result}")?;
        }
        writeln!(f, "\n{}", self.total())
    }
}

/// The name in `Running tests/x.rs (target/debug/deps/x-0123)` or `Doc-tests x`.
fn program(line: &str) -> Option<String> {
    let line = line.strip_prefix("   ")?.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} documentation"));
    }
    let (source, path) = line.strip_prefix("Running ")?.split_once(" (")?;
    let file = path.trim_end_matches(')').rsplit('/').next()?;
    let crate_name = file.rsplit_once('-').map_or(file, |(name, _hash)| name);
    Some(format!("{crate_name} {source}"))
}

fn count(counts: &str, word: &str) -> u64 {
    let before = counts.split(';').find_map(|part| part.strip_suffix(word));
    before.and_then(|text| text.rsplit(' ').next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling tidegate-agent v0.1.0
     Running unittests src/lib.rs (target/debug/deps/tidegate_agent-0a1b)
test queue::tests::keeps ... ok
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.53s
     Running tests/chain.rs (target/debug/deps/chain-77)
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 4.00s
   Doc-tests tidegate_agent
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn read(output: &str) -> Summary {
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.read(line));
        summary.close();
        summary
    }

    #[test]
    fn counts_are_added_over_programs_and_the_total_stands_alone() {
        let shown = read(OUTPUT).to_string();
        assert!(shown.contains("finished in 0.53s  [tidegate_agent unittests src/lib.rs]\n"), "{shown}");
        assert!(shown.contains("test result: FAILED. 3 passed; 2 failed"), "{shown}");
        assert!(!shown.contains("documentation"), "programs without tests are not listed: {shown}");
        assert!(shown.ends_with("\n15 passed, 2 failed, 1 skipped\n"), "{shown}");
    }

    #[test]
    fn a_program_without_a_result_counts_as_failed() {
        let crashed = OUTPUT.replace("test result: ok. 12", "signal: 6, SIGABRT: 12");
        let summary = read(&crashed);
        assert_eq!(summary.total(), "3 passed, 3 failed");
        assert!(summary.to_string().contains("ended early  [tidegate_agent"));
    }

    #[test]
    fn output_without_a_test_is_nothing() {
        assert!(read("    Finished `test` profile in 0.1s\n").ran_nothing());
    }
}
