//! The core's figures as Prometheus reads them.

use std::collections::BTreeMap;

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};

use crate::{core::View, local_actions::ActionErrors, outlook::Outlook, sources::board_serial::SerialView};

/// Gauges and counters, in the order they are shown.
pub fn text(
    view: &View,
    outlook: &Outlook,
    lines: &SerialView,
    errors: &ActionErrors,
    links_refused: &BTreeMap<&'static str, u64>,
    certificate_expiry: Option<i64>,
) -> String {
    let mut registry = Registry::with_prefix("tidegate_agent");
    let counters = &view.counters;
    let counts: [(&str, &str, u64); 24] = [
        ("readings_received", "Readings taken from sources, resends included", counters.readings_received),
        ("readings_duplicate", "Readings that were had before", counters.readings_duplicate),
        (
            "readings_again",
            "Readings had from an earlier link, sent once more to be compared",
            counters.readings_again,
        ),
        (
            "readings_differing",
            "Readings that are not what came before under the same numbers",
            counters.readings_differing,
        ),
        (
            "hellos_gone_back",
            "Hellos answered with another boot, since theirs is beyond that or is of two boards",
            counters.hellos_gone_back,
        ),
        ("readings_safe", "Readings committed here or in the cloud", counters.readings_safe),
        ("readings_acked", "Readings the cloud has", counters.readings_acked),
        ("readings_committed", "Readings written to the queue", counters.readings_committed),
        ("block_bytes_committed", "Bytes of blocks written to the queue", counters.block_bytes_committed),
        ("commits", "Transactions of the queue", counters.commits),
        ("commits_failed", "Transactions the disk refused", counters.commits_failed),
        (
            "alarm_blocks",
            "Blocks that went ahead since a rule raised or cleared in them",
            counters.alarm_blocks,
        ),
        ("blocks_acked", "Blocks the cloud has", counters.blocks_acked),
        ("blocks_rejected", "Blocks the cloud refused", counters.blocks_rejected),
        (
            "blocks_unsupported",
            "Answers that the cloud cannot read this agent's version of the wire",
            counters.blocks_unsupported,
        ),
        ("blocks_quarantined", "Blocks put into the quarantine", counters.blocks_quarantined),
        ("blocks_damaged", "Blocks in the queue that failed their checksums", counters.blocks_damaged),
        ("blocks_sent", "Blocks published", view.link.blocks_sent),
        ("blocks_resent", "Blocks published again", view.link.blocks_resent),
        ("block_bytes_sent", "Bytes of blocks published", view.link.block_bytes_sent),
        ("frames_refused", "Frames not taken, to be sent again", counters.frames_refused),
        (
            "frames_misaddressed",
            "Frames of another boot than their link speaks for, not taken",
            counters.frames_misaddressed,
        ),
        ("clock_steps", "Times that the wall clock was set", counters.clock_steps),
        ("local_samples_skipped", "Samples of local sources not taken", counters.local_samples_skipped),
    ];
    for (name, help, value) in counts {
        registry.register(name, help, ConstCounter::new(value));
    }
    let levels: [(&str, &str, u64); 13] = [
        ("uplink_up", "The broker is connected", u64::from(view.uplink_up)),
        ("outage", "Nobody acknowledges", u64::from(view.outage)),
        ("devices_pending", "Boards that are held and listed", view.pending.len() as u64),
        ("queue_blocks", "Blocks in the queue", view.queue.blocks),
        ("queue_readings", "Readings in the queue", view.queue.readings),
        ("queue_bytes", "Disk bytes of the blocks in the queue", view.queue.bytes),
        ("queue_quota_bytes", "What the queue may hold", view.queue.quota_bytes),
        ("queue_refusing", "The queue is at its quota", u64::from(view.queue.refusing)),
        ("queue_poisoned", "The disk failed in a write: restart the agent", u64::from(view.queue.poisoned)),
        ("ram_readings", "Readings in memory that are in no block yet", view.ram.readings_waiting),
        ("ram_block_bytes", "Bytes of blocks in memory", view.ram.block_bytes),
        ("blocks_in_flight", "Blocks not acknowledged", view.link.blocks_in_flight),
        ("round_trip_us", "From publish to acknowledgement, smoothed", view.link.round_trip_us.unwrap_or(0)),
    ];
    for (name, help, value) in levels {
        registry.register(name, help, ConstGauge::new(value as i64));
    }
    lanes(view, &mut registry);
    serial(lines, &mut registry);
    local_alarms(view, errors, &mut registry);
    // What is not known yet is absent.
    let known: [(&str, &str, Option<f64>); 3] = [
        ("queue_holds_days", "How long an outage may last from an empty queue on", outlook.holds_days),
        ("queue_left_days", "How long an outage may last from now on", outlook.left_days),
        (
            "disk_writes_bytes_per_day",
            "Written to the disk at the present rate",
            outlook.writes_bytes_per_day,
        ),
    ];
    for (name, help, value) in known {
        if let Some(value) = value {
            registry.register(name, help, ConstGauge::new(value));
        }
    }
    if let Some(expiry) = certificate_expiry {
        let help = "When the certificate ends that the broker is shown, in Unix time";
        let (name, unit) = ("certificate_expiry_timestamp", Unit::Seconds);
        registry.register_with_unit(name, help, unit, ConstGauge::new(expiry));
    }
    let family = |label: &'static str, counts: &std::collections::BTreeMap<&'static str, u64>| {
        let family: Family<Vec<(&str, &str)>, Counter> = Family::default();
        for (&name, &count) in counts {
            family.get_or_create(&vec![(label, name)]).inc_by(count);
        }
        family
    };
    registry.register("bad_frames", "Frames that cannot be read", family("kind", &counters.bad_frames));
    let held = family("why", &counters.hellos_held);
    registry.register("hellos_held", "Boards that asked and were not welcomed, by why", held);
    let refused = family("why", links_refused);
    registry.register("board_links_refused", "Boards that were closed at once, by the bound", refused);
    let troubles = family("kind", &counters.board_troubles);
    registry.register("board_troubles", "What boards say went wrong on their side of the link", troubles);
    registry.register("readings_lost", "Readings declared lost", family("reason", &counters.losses));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _infallible = encode(&mut text, &registry);
    text
}

fn lanes(view: &View, registry: &mut Registry) {
    type Lanes<M> = Family<Vec<(&'static str, &'static str)>, M>;
    let sent = Lanes::<Counter>::default();
    let (today, spent) = (Lanes::<Gauge>::default(), Lanes::<Gauge>::default());
    for lane in &view.link.lanes {
        let label = vec![("lane", lane.lane)];
        sent.get_or_create(&label).inc_by(lane.block_bytes_sent);
        today.get_or_create(&label).set(lane.bytes_today as i64);
        spent.get_or_create(&label).set(i64::from(lane.spent));
    }
    registry.register("lane_block_bytes_sent", "Bytes of blocks published on a lane", sent);
    registry.register("lane_bytes_today", "Bytes counted against a lane's budget of the day", today);
    registry.register("lane_budget_spent", "Nothing more goes on this lane today", spent);
}

fn local_alarms(view: &View, errors: &ActionErrors, registry: &mut Registry) {
    let active: Family<Vec<(&str, &str)>, Gauge> = Family::default();
    for (&priority, &count) in &view.local_alarms {
        active.get_or_create(&vec![("priority", priority)]).set(count as i64);
    }
    registry.register("local_alarms_active", "Alarms that are active at this gateway", active);
    let rules: Family<Vec<(&str, &str)>, Gauge> = Family::default();
    rules.get_or_create(&vec![("from", view.rules.from)]).set(view.rules.rules as i64);
    registry.register(
        "rules",
        "Alarm rules in force here, by where they are from: file, cloud or none",
        rules,
    );
    let edition = Gauge::<i64>::default();
    edition.set(view.rules.edition.map_or(0, |edition| i64::try_from(edition).unwrap_or(i64::MAX)));
    registry.register("rules_edition", "The edition of the cloud's rules that is in force; 0: none", edition);
    let counts: [(&str, &str, u64); 3] = [
        (
            "local_alarms_refused",
            "Readings of alarms not kept, since as many are active as may be",
            view.counters.local_alarms_refused,
        ),
        ("local_output_errors", "Times that an output for alarms could not be set", errors.of_outputs()),
        ("local_state_file_errors", "Times that the state file could not be written", errors.of_file()),
    ];
    for (name, help, value) in counts {
        registry.register(name, help, ConstCounter::new(value));
    }
}

/// No line's path either: what is wrong with which line is in `/status`.
fn serial(view: &SerialView, registry: &mut Registry) {
    let (open, closed): (Vec<_>, Vec<_>) = view.lines.iter().partition(|line| line.open);
    let levels: [(&str, &str, usize); 2] = [
        ("serial_lines_open", "Serial lines that are open", open.len()),
        ("serial_lines_not_open", "Serial lines that are configured and not open", closed.len()),
    ];
    for (name, help, value) in levels {
        registry.register(name, help, ConstGauge::new(value as i64));
    }
    registry.register(
        "serial_opened",
        "Times that a serial line was opened",
        ConstCounter::new(view.totals.opened),
    );
    let broken = ConstCounter::new(view.totals.broken);
    registry.register("serial_broken", "Times that an open serial line broke or was unplugged", broken);
    let errors: Family<Vec<(&str, &str)>, Counter> = Family::default();
    for (kind, count) in view.totals.uart_errors.by_kind() {
        errors.get_or_create(&vec![("kind", kind)]).inc_by(count);
    }
    registry.register("serial_uart_errors", "What UARTs counted, where their drivers tell", errors);
}
