//! Settings from the cloud to boards, and what becomes of them.

use tidegate_protocol::{
    BootId, ChannelDecl, ChannelName, DeviceId, ValueKind,
    frame::{Down, Settings, SettingsCode, SettingsResult, Standing},
    settings::{ChannelSettings, DesiredChannel, DesiredSettings, ReportedChannel, SettingsOutcome},
};

use super::bench::{Bench, settings};
use crate::core::{BoardFrame, CommitFailure, Event, LinkId, MAX_DESIRED};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn each(period_ms: u32) -> Option<ChannelSettings> {
    Some(ChannelSettings { enabled: true, period_ms, report_deadband: None, max_silence_ms: 0 })
}

fn wanted(device: &str, name: &str, revision: u32, settings: Option<ChannelSettings>) -> DesiredChannel {
    DesiredChannel { device: DeviceId::new(device).unwrap(), channel: channel(name), revision, settings }
}

fn reported(device: &str, name: &str, revision: u32, outcome: SettingsOutcome) -> ReportedChannel {
    ReportedChannel { device: DeviceId::new(device).unwrap(), channel: channel(name), revision, outcome }
}

/// The cloud says what it wants, or asks again; what is reported at once.
fn ask(bench: &mut Bench, channels: &[DesiredChannel]) -> Vec<ReportedChannel> {
    bench.event(Event::SettingsWanted(DesiredSettings { channels: channels.to_vec() }));
    std::mem::take(&mut bench.reported)
}

/// Settings frames since the last look: revision, index, period.
fn told(bench: &mut Bench) -> Vec<(u32, u8, u32)> {
    let frames = std::mem::take(&mut bench.frames);
    let settings = frames.into_iter().filter_map(|(_, frame)| match frame {
        Down::Settings { settings: Settings { revision, channel, period_ms, .. }, .. } => {
            Some((revision, channel, period_ms))
        }
        _ => None,
    });
    settings.collect()
}

fn answers(bench: &mut Bench, channel: u8, revision: u32, code: SettingsCode) -> Vec<ReportedChannel> {
    let frames = vec![BoardFrame::SettingsResult {
        boot: bench.tag(1),
        result: SettingsResult { channel, revision, code },
    }];
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames });
    std::mem::take(&mut bench.reported)
}

/// A board with these channels says hello on link 1.
fn hello(bench: &mut Bench, boot: u64, names: &[&str]) {
    hello_on(bench, 1, boot, names);
}

fn hello_on(bench: &mut Bench, link: u64, boot: u64, names: &[&str]) {
    let decl =
        |name: &&str| ChannelDecl { name: channel(name), unit: "Cel".into(), kind: ValueKind::F64, scale: 0 };
    bench.introduce(
        link,
        BoardFrame::Hello {
            device: DeviceId::new("board").unwrap(),
            tag: String::new(),
            firmware: String::new(),
            boot: Some(BootId(boot)),
            standing: Standing::Present,
            proven: false,
            fresh: BootId(99),
            floor: 0,
            next: 0,
            channels: names.iter().map(decl).collect(),
        },
    );
}

#[test]
fn a_board_is_told_under_its_own_index_and_its_answer_goes_up_once() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["level", "temperature"]);
    let temperature = [wanted("board", "temperature", 3, each(500))];
    assert_eq!(ask(&mut bench, &temperature), [reported("board", "temperature", 3, SettingsOutcome::Held)]);
    assert_eq!(told(&mut bench), [(3, 1, 500)]);
    let applied = [reported("board", "temperature", 3, SettingsOutcome::Applied)];
    assert_eq!(answers(&mut bench, 1, 3, SettingsCode::Applied), applied);
    // As on a line that two gateways share: the other one asked, too.
    assert!(answers(&mut bench, 1, 3, SettingsCode::Applied).is_empty(), "said once");
    // What was reported was lost: the cloud asks again, and the board need not.
    assert_eq!(ask(&mut bench, &temperature), applied);
    bench.heartbeat(1, 0, 0, 100);
    assert!(told(&mut bench).is_empty());
}

#[test]
fn heartbeats_repeat_until_the_board_answers() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    ask(&mut bench, &[wanted("board", "temperature", 1, each(500))]);
    for _ in 0..2 {
        assert_eq!(told(&mut bench), [(1, 0, 500)]);
        bench.heartbeat(1, 0, 0, 100);
    }
    assert_eq!(told(&mut bench).len(), 1);
    answers(&mut bench, 0, 1, SettingsCode::BadPeriod);
    bench.heartbeat(1, 0, 0, 100);
    assert!(told(&mut bench).is_empty(), "a refusal is an answer");
}

#[test]
fn a_new_boot_is_told_again_under_its_own_index() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    ask(&mut bench, &[wanted("board", "temperature", 1, each(500))]);
    answers(&mut bench, 0, 1, SettingsCode::Applied);
    told(&mut bench);
    hello(&mut bench, 7, &["temperature"]);
    assert!(told(&mut bench).is_empty(), "the same boot has it");
    // By another link it may come from a gateway that has older settings.
    hello_on(&mut bench, 2, 7, &["temperature"]);
    assert_eq!(told(&mut bench), [(1, 0, 500)]);
    hello(&mut bench, 8, &["level", "temperature"]);
    assert_eq!(told(&mut bench), [(1, 1, 500)]);
    let applied = [reported("board", "temperature", 1, SettingsOutcome::Applied)];
    assert_eq!(answers(&mut bench, 1, 1, SettingsCode::Applied), applied);
}

#[test]
fn a_refusal_travels_with_its_code() {
    for (code, outcome) in [
        (SettingsCode::BadPeriod, SettingsOutcome::BadPeriod),
        (SettingsCode::BadDeadband, SettingsOutcome::BadDeadband),
        (SettingsCode::UnknownChannel, SettingsOutcome::UnknownChannel),
    ] {
        let mut bench = Bench::new(settings());
        hello(&mut bench, 7, &["temperature"]);
        ask(&mut bench, &[wanted("board", "temperature", 1, each(1))]);
        assert_eq!(answers(&mut bench, 0, 1, code), [reported("board", "temperature", 1, outcome)]);
    }
}

#[test]
fn a_channel_that_the_board_does_not_declare_is_answered_for_it() {
    let mut bench = Bench::new(settings());
    let humidity = [wanted("board", "humidity", 1, each(500))];
    assert_eq!(ask(&mut bench, &humidity), [reported("board", "humidity", 1, SettingsOutcome::Held)]);
    hello(&mut bench, 7, &["temperature"]);
    let unknown = [reported("board", "humidity", 1, SettingsOutcome::UnknownChannel)];
    assert_eq!(std::mem::take(&mut bench.reported), unknown);
    assert_eq!(ask(&mut bench, &humidity), unknown);
    assert!(told(&mut bench).is_empty());
    // Newer firmware has it.
    hello(&mut bench, 8, &["humidity"]);
    assert_eq!(told(&mut bench), [(1, 0, 500)]);
}

#[test]
fn of_two_revisions_the_higher_one_holds_and_late_answers_are_of_none() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    ask(&mut bench, &[wanted("board", "temperature", 2, each(200))]);
    let held = ask(&mut bench, &[wanted("board", "temperature", 1, each(100))]);
    assert_eq!(
        held,
        [reported("board", "temperature", 2, SettingsOutcome::Held)],
        "what it has, and not the older"
    );
    ask(&mut bench, &[wanted("board", "temperature", 3, each(300))]);
    assert_eq!(told(&mut bench), [(2, 0, 200), (3, 0, 300)]);
    assert!(answers(&mut bench, 0, 2, SettingsCode::Applied).is_empty());
    assert_eq!(told(&mut bench), [(3, 0, 300)], "whoever set it back, that is not what is wanted");
    assert!(
        answers(&mut bench, 0, 4, SettingsCode::Applied).is_empty(),
        "of another gateway that knows more"
    );
    assert!(told(&mut bench).is_empty());
    let refused = [reported("board", "temperature", 3, SettingsOutcome::BadPeriod)];
    assert_eq!(answers(&mut bench, 0, 3, SettingsCode::BadPeriod), refused);
    // A cloud that was restored decides anew under a number that it gave before.
    let anew = ask(&mut bench, &[wanted("board", "temperature", 3, each(900))]);
    assert_eq!(anew, [reported("board", "temperature", 3, SettingsOutcome::Held)]);
    assert_eq!(told(&mut bench), [(3, 0, 900)]);
}

#[test]
fn what_is_cleared_is_not_told_to_the_next_boot() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    ask(&mut bench, &[wanted("board", "temperature", 1, each(500))]);
    let cleared = [wanted("board", "temperature", 2, None)];
    assert_eq!(ask(&mut bench, &cleared), [reported("board", "temperature", 2, SettingsOutcome::Cleared)]);
    told(&mut bench);
    bench.settle();
    hello(&mut bench, 8, &["temperature"]);
    assert!(told(&mut bench).is_empty());
    assert!(bench.disk.desired.is_empty());
}

#[test]
fn few_are_under_way_at_a_time_and_each_answer_brings_the_next() {
    let mut bench = Bench::new(settings());
    let names = ["a", "b", "c", "d", "e", "f"];
    hello(&mut bench, 7, &names);
    ask(&mut bench, &names.map(|name| wanted("board", name, 1, each(500))));
    let indices = |bench: &mut Bench| told(bench).iter().map(|(_, index, _)| *index).collect::<Vec<_>>();
    assert_eq!(indices(&mut bench), [0, 1, 2, 3]);
    answers(&mut bench, 1, 1, SettingsCode::Applied);
    assert_eq!(indices(&mut bench), [4]);
    bench.heartbeat(1, 0, 0, 100);
    assert_eq!(indices(&mut bench), [0, 2, 3, 4], "those that are under way, again");
}

#[test]
fn a_restarted_agent_tells_a_restarted_board_while_the_cloud_is_away() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    ask(&mut bench, &[wanted("board", "temperature", 4, each(500))]);
    // Killed before the commit it has nothing, and the cloud will ask again.
    let mut early = Bench::on(settings(), bench.disk.clone());
    hello(&mut early, 8, &["temperature"]);
    assert!(told(&mut early).is_empty());
    bench.settle();
    let mut bench = Bench::on(settings(), bench.disk);
    hello(&mut bench, 8, &["temperature"]);
    assert_eq!(told(&mut bench), [(4, 0, 500)]);
}

#[test]
fn a_disk_that_does_not_take_them_is_tried_again_later_and_holds_nothing_else_up() {
    let mut bench = Bench::new(settings());
    hello(&mut bench, 7, &["temperature"]);
    bench.settle();
    ask(&mut bench, &[wanted("board", "temperature", 1, each(500))]);
    let batch = bench.batch.take().expect("they are written at once");
    assert!(batch.desired.is_some());
    bench.event(Event::CommitFailed(CommitFailure::Full));
    // What is due for other reasons goes without them.
    bench.readings(1, 0..3);
    bench.event(Event::Flush);
    bench.pass_ms(30_000);
    assert!(bench.commit().desired.is_none());
    bench.settle();
    bench.pass_ms(40_000);
    bench.settle();
    assert_eq!(bench.disk.desired, [wanted("board", "temperature", 1, each(500))]);
}

#[test]
fn memory_for_settings_is_bounded_and_devices_that_are_heard_come_first() {
    let mut bench = Bench::new(settings());
    for number in 0..MAX_DESIRED {
        ask(
            &mut bench,
            &[wanted(&format!("elsewhere-{}", number / 64), &format!("c{number}"), 1, each(500))],
        );
    }
    let other = wanted("another", "level", 1, each(500));
    assert!(ask(&mut bench, &[other]).is_empty(), "no room, no answer");
    hello(&mut bench, 7, &["temperature"]);
    let mine = wanted("board", "temperature", 1, each(500));
    assert_eq!(ask(&mut bench, &[mine]), [reported("board", "temperature", 1, SettingsOutcome::Held)]);
    assert_eq!(told(&mut bench), [(1, 0, 500)]);
}

#[test]
fn a_source_of_the_gateways_own_takes_no_settings() {
    let mut bench = Bench::new(settings());
    let description = tidegate_protocol::block::Description {
        origin: super::bench::origin("host", 5),
        tag: String::new(),
        firmware: String::new(),
        channels: super::bench::channels(),
    };
    bench.event(Event::LocalOpened { description, flush_interval_ms: 0 });
    let answer = ask(&mut bench, &[wanted("host", "temperature", 1, each(500))]);
    assert_eq!(answer, [reported("host", "temperature", 1, SettingsOutcome::NotSettable)]);
}
