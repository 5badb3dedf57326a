//! File descriptors: every connection is one, and many systems start a process with 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For files, pages, a service's own connections.
const OTHERS: u64 = 256;

/// Raises this process's limit as far as `connections` need. Where the system allows fewer, says so, with the `setting` that
/// could be lowered, and how many connections there is room for: what else needs a descriptor must not be left without one.
pub fn make_room(connections: usize, setting: &str) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let allowed = raised(limit.current, limit.maximum, wanted(connections));
    let now = if allowed == limit.current {
        allowed
    } else {
        let raised = Rlimit { current: allowed, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| allowed)
    };
    let room = room(connections, now);
    if let Some(shortage) = shortage_in(connections, room, setting) {
        tracing::warn!(connections = room, wanted = connections, "{shortage}");
    }
    room
}

/// What [`make_room`] would say, without changing anything.
pub fn shortage(connections: usize, setting: &str) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = raised(limit.current, limit.maximum, wanted(connections));
    shortage_in(connections, room(connections, allowed), setting)
}

fn wanted(connections: usize) -> u64 {
    (connections as u64).saturating_add(OTHERS)
}

fn shortage_in(connections: usize, room: usize, setting: &str) -> Option<String> {
    (room < connections).then(|| {
        format!(
            "the system allows this process too few file descriptors for {connections} connections, there is room for {room}: \
             raise its limit (ulimit -Hn, LimitNOFILE), or lower {setting}"
        )
    })
}

/// The soft limit to have; `None` is without limit.
fn raised(soft: Option<u64>, hard: Option<u64>, wanted: u64) -> Option<u64> {
    let soft = soft?;
    Some(soft.max(wanted.min(hard.unwrap_or(wanted))))
}

fn room(connections: usize, limit: Option<u64>) -> usize {
    let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(OTHERS).max(1));
    connections.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_allowed_and_never_lowered() {
        for (soft, hard, wanted, raised_to) in [
            (Some(1_024), Some(524_288), 17_664, Some(17_664)),
            (Some(1_024), Some(4_096), 17_664, Some(4_096)),
            (Some(1_024), None, 17_664, Some(17_664)),
            (Some(65_536), Some(524_288), 17_664, Some(65_536)),
            (None, None, 17_664, None),
        ] {
            assert_eq!(raised(soft, hard, wanted), raised_to, "{soft:?} {hard:?}");
        }
    }

    #[test]
    fn a_shortage_is_told_with_both_remedies() {
        let told = shortage_in(10_000, 3_840, "limits.max_connections").unwrap();
        for part in ["10000", "room for 3840", "LimitNOFILE", "limits.max_connections"] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(shortage_in(10_000, 10_000, "limits.max_connections"), None);
    }

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(room(17_408, Some(17_664)), 17_408);
        assert_eq!(room(17_408, Some(4_096)), 3_840);
        assert_eq!(room(17_408, Some(100)), 1, "one may always ask");
        assert_eq!(room(17_408, None), 17_408);
    }
}
