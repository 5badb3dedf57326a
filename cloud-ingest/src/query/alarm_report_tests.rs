//! The report over a store: which events it reads, and what stands.

use tidegate_alarms::{AlarmEvent, AlarmState, Glob, Priority, lifecycle::Action, report::AlarmName};

use super::{
    alarm_report::{AlarmReportRequest, CONTEXT_MS, ListedView, MAX_LISTED, STANDING_MS, StandingView},
    alarms_tests::{BOARDS, acknowledge, act, key, served},
};
use crate::{clock, events::AlarmNames};

const HOUR: i64 = 3_600_000;

fn over(from_unix_ms: i64, to_unix_ms: i64, now_unix_ms: i64) -> AlarmReportRequest {
    AlarmReportRequest { names: AlarmNames::default(), from_unix_ms, to_unix_ms, now_unix_ms }
}

fn boards(listed: &ListedView) -> Vec<&str> {
    listed.alarms.iter().map(|alarm| &alarm.alarm.device.as_str()[6..]).collect()
}

/// Boards 0 to 6 are raised at second 0 to 6; those with an odd number clear ten seconds later.
#[test]
fn a_stretch_is_counted_and_what_stands_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    acknowledge(&query, 0).unwrap();
    let until_unix_ms = clock::unix_ms() + HOUR;
    act(&query, 2, Action::Shelve { until_unix_ms }).unwrap();

    // A second after board 3 was raised for a day.
    let told = query.alarm_report(&over(0, 5_000, 3_000 + STANDING_MS + 1_000)).unwrap();
    assert_eq!((told.report.raises, told.report.clears, told.report.acknowledgements), (5, 0, 0));
    assert_eq!(told.report.priorities[1].raises, 5, "all are high");
    let now = &told.now;
    let high = now.priorities[1];
    assert_eq!((high.priority, high.active, high.unacknowledged), (Priority::High, 4, 6));
    assert_eq!((now.standing.count, boards(&now.standing)), (2, vec!["0", "2"]));
    assert_eq!(boards(&now.stale_unacknowledged), ["1", "2", "3"]);
    assert_eq!(boards(&now.shelved), ["2"]);
    let shelved = &now.shelved.alarms[0];
    assert_eq!((shelved.state, shelved.raised_unix_ms), (AlarmState::Shelved, Some(2_000)));
    assert_eq!(shelved.shelved_until_unix_ms, Some(until_unix_ms));

    let told = query.alarm_report(&over(0, HOUR, 0)).unwrap();
    assert_eq!((told.report.raises, told.report.clears), (BOARDS, 3));
    assert_eq!(told.now.standing.count, 0);
    let elsewhere = AlarmNames { site: Some(Glob::new("shop*")), ..AlarmNames::default() };
    let told = query.alarm_report(&AlarmReportRequest { names: elsewhere, ..over(0, HOUR, HOUR) }).unwrap();
    assert_eq!((told.report.raises, told.now.priorities[1].active), (0, 0));
}

/// What hours noted says where to begin.
#[test]
fn events_are_read_from_a_week_before_the_stretch() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    let raised = query.newest_cursor().unwrap();
    query.store.note_hour(0).unwrap();
    acknowledge(&query, 0).unwrap();
    assert!(query.newest_cursor().unwrap() > raised);
    let last = clock::unix_ms() + HOUR;
    let told = query.alarm_report(&over(last - 2 * HOUR, last, last)).unwrap().report;
    assert_eq!((told.acknowledgements, told.time_to_acknowledge.count), (1, 0), "its raise is not read");
    // In the week after the raises they are.
    let told = query.alarm_report(&over(CONTEXT_MS, CONTEXT_MS + HOUR, last)).unwrap().report;
    assert_eq!((told.raises, told.clears), (0, 0));
    let told = query.alarm_report(&over(5_000, CONTEXT_MS, last)).unwrap().report;
    assert_eq!((told.raises, told.clears), (2, 3));
}

#[test]
fn raises_are_counted_once_for_the_metrics_page() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    for (_, event) in query.events_after(0, 100).unwrap() {
        query.shown.note_raise(&event);
        query.shown.note_raise(&AlarmEvent { continues: Some(event.id), ..event });
    }
    assert_eq!(query.figures().alarm_raises, [0, BOARDS, 0, 0]);
}

#[test]
fn a_list_keeps_those_raised_first() {
    let view = |at: i64| StandingView {
        alarm: AlarmName {
            site: key(0).site,
            device: key(0).device,
            channel: key(0).channel,
            rule: key(0).rule,
        },
        priority: Priority::Low,
        state: AlarmState::Unacknowledged,
        raised_unix_ms: Some(at).filter(|at| at % 2 == 0),
        shelved_until_unix_ms: None,
    };
    let (mut listed, all) = (ListedView::default(), 4 * MAX_LISTED as i64);
    (0..all).rev().for_each(|at| listed.add(&view(at)));
    assert!(listed.alarms.len() < 2 * MAX_LISTED);
    listed.cut();
    let kept: Vec<i64> = listed.alarms.iter().filter_map(|alarm| alarm.raised_unix_ms).collect();
    assert_eq!((listed.count as i64, kept), (all, (0..MAX_LISTED as i64).map(|n| 2 * n).collect::<Vec<_>>()));
}
