//! File descriptors: every connection is one, and many systems start a process with 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the store, the lake's files, the broker's connection and deliveries.
const OTHERS: u64 = 256;

/// Raises this process's limit as far as `connections` need. Where the system allows fewer, says so, and how many
/// connections there is room for: what else needs a descriptor must not be left without one.
pub fn make_room(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (connections as u64).saturating_add(OTHERS);
    let allowed = raised(limit.current, limit.maximum, wanted);
    let now = if allowed == limit.current {
        allowed
    } else {
        let raised = Rlimit { current: allowed, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| allowed)
    };
    let room = room(connections, now);
    if room < connections {
        tracing::warn!(
            connections = room,
            wanted = connections,
            "the system allows this process too few file descriptors: raise its limit (ulimit -Hn, LimitNOFILE), \
             or lower http.max_event_streams"
        );
    }
    room
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
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(room(17_408, Some(17_664)), 17_408);
        assert_eq!(room(17_408, Some(4_096)), 3_840);
        assert_eq!(room(17_408, Some(100)), 1, "one may always ask");
        assert_eq!(room(17_408, None), 17_408);
    }
}
