//! Points at which a test may kill the process, as a power cut would.
//!
//! `TIDEGATE_FAILPOINT="agent-after-commit:3"` sends SIGKILL to the process itself when it passes the point
//! `agent-after-commit` for the third time; without `:n` at the first. What goes on afterwards can be met again: `:*3` is each
//! third time. Only builds with debug assertions look at
//! it: in a release build [`hit`] is empty.
//!
//! Each program names its points in an enum of its own and calls `hit(FailPoint::AfterCommit.name())`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms one point.
pub const VARIABLE: &str = "TIDEGATE_FAILPOINT";

/// Passes the point; does not return if it is armed and its count is reached.
pub fn hit(point: &'static str) {
    if cfg!(debug_assertions) && armed().is_some_and(|armed| armed.passes(point)) {
        die();
    }
}

/// Whether what follows the point is to fail, as a broken disk would make it: the same variable arms it, and the program
/// goes on with the error. Never in a release build.
#[must_use]
pub fn fails(point: &'static str) -> bool {
    cfg!(debug_assertions) && armed().is_some_and(|armed| armed.passes(point))
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().map(Armed::parse)).as_ref()
}

struct Armed {
    point: String,
    times: Times,
    hits: AtomicU64,
}

enum Times {
    At(u64),
    Each(u64),
}

impl Armed {
    /// A count that is not a number counts as part of the name, so a typing error arms nothing by accident.
    fn parse(text: &str) -> Self {
        let counted = text.rsplit_once(':').and_then(|(point, times)| Some((point, Times::parse(times)?)));
        let (point, times) = counted.unwrap_or((text, Times::At(1)));
        Self { point: point.to_owned(), times, hits: AtomicU64::new(0) }
    }

    fn passes(&self, point: &str) -> bool {
        if point != self.point {
            return false;
        }
        let hit = self.hits.fetch_add(1, Ordering::Relaxed) + 1;
        match self.times {
            Times::At(time) => hit == time,
            Times::Each(times) => hit.is_multiple_of(times),
        }
    }
}

impl Times {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|count| *count > 0);
        match text.strip_prefix('*') {
            Some(each) => number(each).map(Self::Each),
            None => number(text).map(Self::At),
        }
    }
}

/// SIGKILL, so that no destructor, flush or exit handler runs: what a test wants to see survive is only what
/// was already on disk or on the wire.
fn die() -> ! {
    #[cfg(unix)]
    {
        let _unreachable =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::Armed;

    fn passes(spec: &str, hits: &[&str]) -> Vec<bool> {
        let armed = Armed::parse(spec);
        hits.iter().map(|point| armed.passes(point)).collect()
    }

    #[test]
    fn dies_at_the_named_hit_of_the_named_point_only() {
        assert_eq!(passes("a", &["b", "a", "a"]), [false, true, false]);
        assert_eq!(passes("a:3", &["a", "b", "a", "a"]), [false, false, false, true]);
        assert_eq!(passes("a:*2", &["a", "a", "b", "a", "a"]), [false, true, false, false, true]);
        assert_eq!(passes("a:x", &["a", "a:x"]), [false, true]);
    }
}
