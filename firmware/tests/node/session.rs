//! The node's conversation with a gateway, word for word.

use crate::support::seen::{Seen, ack, offer, sent, spoken, tell, welcome};
use tidegate_firmware::{
    Identity, Node, NodeConfig, NodeError, Sampled, Sampling, WallTime, channel, limit::Limit,
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, LossReason, Quality, Tick, Value, ValueKind,
    frame::{BoardCounters, Deadband, Down, Heartbeat, HelloMark, Lost},
    id::{ChannelIndex, Seq, SeqRange},
};

type TestNode<'a> = Node<'a, 2, Vec<u8>>;

const BOOT: u64 = 0xb007;

fn channels() -> [ChannelDecl<&'static str>; 2] {
    [
        channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap(),
        channel("door", "", ValueKind::Bool, 0).unwrap(),
    ]
}

fn identity() -> Identity<'static> {
    Identity { device: DeviceId::new("pump-3").unwrap(), tag: "P-3", firmware: "test 1" }
}

fn node<'a>(channels: &'a [ChannelDecl<&'a str>], boot: Option<u64>, ring_bytes: usize) -> TestNode<'a> {
    Node::new(identity(), boot.map(BootId), channels, vec![0; ring_bytes], NodeConfig::DEFAULT).unwrap()
}

fn welcomed<'a>(channels: &'a [ChannelDecl<&'a str>], ring_bytes: usize) -> TestNode<'a> {
    let mut node = node(channels, Some(BOOT), ring_bytes);
    node.link_up(Tick(0));
    sent(&mut node, 0);
    tell(&mut node, 0, &welcome(BOOT));
    node
}

/// Takes `count` readings of the temperature, four bytes each in the ring.
fn measure(node: &mut TestNode<'_>, count: u64, at_ms: u64) {
    for step in 0..count {
        let value = Value::Decimal { mantissa: 2_000 + step as i64 % 50, scale: 2 };
        node.sample(ChannelIndex(0), value, Quality::Good, Tick(at_ms)).unwrap();
    }
}

fn lost(boot: u64, range: std::ops::Range<u64>, floor: u64, next: u64) -> Seen {
    let (range, boot, reason) = (SeqRange::from(range), BootId(boot).tag(), LossReason::RingOverflow);
    Seen::Lost(Lost { boot, range, reason, floor: Seq(floor), next: Seq(next) })
}

#[test]
fn hello_is_repeated_with_back_off_and_nothing_else_is_said_before_the_welcome() {
    let channels = channels();
    let mut node = node(&channels, Some(BOOT), 1_024);
    measure(&mut node, 3, 0);
    assert_eq!(sent(&mut node, 0), []);
    node.link_up(Tick(100));
    let hello = Seen::Hello {
        boot: Some(BootId(BOOT)),
        floor: 0,
        next: 3,
        channels: vec!["temperature".to_owned(), "door".to_owned()],
    };
    let mut said = Vec::new();
    for now in (100..40_000).step_by(100) {
        for seen in sent(&mut node, now) {
            assert_eq!(seen, hello);
            said.push(now - 100);
        }
    }
    assert_eq!(said, [0, 1_000, 3_000, 7_000, 15_000, 23_000, 31_000, 39_000]);
    tell(&mut node, 40_000, &welcome(BOOT));
    let spoken = sent(&mut node, 40_000);
    assert!(matches!(spoken[0], Seen::Heartbeat(_)), "the first heartbeat comes before readings");
    assert_eq!(spoken[1..], [Seen::readings(0, 3, 0, 3)]);
    assert_eq!(sent(&mut node, 40_001), []);
}

#[test]
fn heartbeats_tell_floor_ring_and_unreadable_frames() {
    let channels = channels();
    let mut node = welcomed(&channels, 1_024);
    measure(&mut node, 10, 0);
    sent(&mut node, 0);
    node.receive(Tick(10), &[1, 2, 3, 0, 0, 0, 9, 9, 0]);
    tell(&mut node, 20, &ack(BOOT, 4));
    // A frame cut in the middle by a link that came back.
    node.receive(Tick(20), &[7, 7, 7]);
    assert_eq!(
        spoken(&mut node, 4_999),
        [Seen::readings(4, 6, 4, 10)],
        "nothing was acknowledged since 20 ms"
    );
    let expected = Heartbeat {
        boot: BootId(BOOT).tag(),
        floor: Seq(4),
        next: Seq(10),
        tick: Tick(5_000),
        // 1,024 bytes, less six readings of four bytes.
        ring_free: 250,
        clock: None,
        counters: BoardCounters { bad_frames: 2, repeated: 6, ..BoardCounters::default() },
    };
    assert_eq!(sent(&mut node, 5_000), [Seen::Heartbeat(expected)]);
    assert!(sent(&mut node, 9_999).iter().all(|seen| !matches!(seen, Seen::Heartbeat(_))));
    assert!(matches!(sent(&mut node, 10_000)[..], [Seen::Heartbeat(_)]));
}

#[test]
fn an_acknowledgement_of_another_boot_or_beyond_what_was_sent_releases_nothing() {
    let channels = channels();
    let mut node = welcomed(&channels, 1_024);
    measure(&mut node, 5, 0);
    tell(&mut node, 0, &ack(BOOT, 5));
    assert_eq!(node.floor(), Seq(0), "not sent yet");
    sent(&mut node, 0);
    tell(&mut node, 1, &ack(BOOT + 1, 5));
    tell(&mut node, 1, &ack(BOOT, 6));
    assert_eq!((node.floor(), node.counters().refused_acks), (Seq(0), 3));
    tell(&mut node, 1, &ack(BOOT, 5));
    assert!(node.is_drained());
    tell(&mut node, 2, &ack(BOOT, 2));
    assert_eq!((node.floor(), node.counters().refused_acks), (Seq(5), 3));
}

#[test]
fn what_is_not_acknowledged_is_repeated_in_part_while_new_readings_go_on() {
    let channels = channels();
    let mut node = welcomed(&channels, 16 * 1_024);
    measure(&mut node, 1_000, 0);
    let first: u16 = spoken(&mut node, 0).iter().map(count).sum();
    assert_eq!(first, 1_000);
    assert_eq!(spoken(&mut node, 3_999), []);
    measure(&mut node, 10, 4_000);
    let repeated = spoken(&mut node, 4_000);
    assert_eq!(repeated[0], Seen::readings(1_000, 10, 0, 1_010));
    assert_eq!(starts(&repeated)[1], 0);
    assert_eq!(repeated.iter().map(count).sum::<u16>(), 256 + 10);
    // Back-off: eight seconds, then sixteen.
    assert_eq!(spoken(&mut node, 11_999), []);
    assert_eq!(starts(&spoken(&mut node, 12_000)).first(), Some(&0));
    // An acknowledgement that ends in a hole: what follows the hole is repeated at once.
    tell(&mut node, 12_100, &ack(BOOT, 300));
    assert_eq!(starts(&spoken(&mut node, 12_100)).first(), Some(&300));
    // One that covers all that was repeated ends it, and the back-off begins anew.
    tell(&mut node, 12_200, &ack(BOOT, 1_010));
    assert_eq!(spoken(&mut node, 12_200), []);
    measure(&mut node, 1, 12_300);
    assert_eq!(spoken(&mut node, 12_300), [Seen::readings(1_010, 1, 1_010, 1_011)]);
    assert_eq!(spoken(&mut node, 16_300), [Seen::readings(1_010, 1, 1_010, 1_011)]);
}

#[test]
fn what_was_held_when_the_gateway_came_follows_what_is_new() {
    let channels = channels();
    let mut node = node(&channels, Some(BOOT), 16 * 1_024);
    measure(&mut node, 500, 0);
    node.link_up(Tick(100));
    sent(&mut node, 100);
    tell(&mut node, 110, &welcome(BOOT));
    measure(&mut node, 3, 110);
    let said = spoken(&mut node, 110);
    assert_eq!(said[0], Seen::readings(500, 3, 0, 503));
    assert_eq!(starts(&said)[1], 0);
    assert_eq!(said.iter().map(count).sum::<u16>(), 503);
    assert_eq!(node.counters().repeated, 0);
    tell(&mut node, 200, &ack(BOOT, 503));
    assert!(node.is_drained());
}

/// A line so noisy that no long frame comes through whole lets short ones pass.
#[test]
fn the_frames_of_a_repeat_become_shorter_while_nothing_is_acknowledged_and_stay_so_until_the_line_is_calm() {
    let channels = channels();
    let mut node = welcomed(&channels, 16 * 1_024);
    measure(&mut node, 1_000, 0);
    spoken(&mut node, 0);
    let longest = |seen: &[Seen]| seen.iter().map(count).max().unwrap_or_default();
    let at = [4_000, 12_000, 28_000, 60_000, 120_000];
    let lengths = at.map(|now_ms| longest(&spoken(&mut node, now_ms)));
    let [whole, half, quarter, eighth, again] = lengths;
    assert!(half <= whole / 2 + 1 && quarter <= half / 2 + 1 && eighth <= quarter / 2 + 1, "{lengths:?}");
    assert_eq!(eighth, again, "not shorter than that");
    assert!(eighth > 0);
    // What passes at last leaves holes behind it: as short, at once.
    tell(&mut node, 120_100, &ack(BOOT, 100));
    let onwards = spoken(&mut node, 120_100);
    assert_eq!((starts(&onwards).first(), longest(&onwards)), (Some(&100), eighth));
    // All is there; but what gets lost soon after is not repeated long first, to a gateway that comes anew neither.
    tell(&mut node, 120_200, &ack(BOOT, 1_000));
    measure(&mut node, 200, 120_300);
    spoken(&mut node, 120_300);
    assert_eq!(longest(&spoken(&mut node, 124_300)), eighth);
    node.link_up(Tick(125_000));
    sent(&mut node, 125_000);
    tell(&mut node, 125_000, &welcome(BOOT));
    assert_eq!(longest(&spoken(&mut node, 125_000)), eighth);
    // After a minute of calm as long as before.
    tell(&mut node, 190_000, &ack(BOOT, 1_200));
    measure(&mut node, 200, 190_000);
    spoken(&mut node, 190_000);
    assert_eq!(longest(&spoken(&mut node, 194_000)), whole);
}

fn count(seen: &Seen) -> u16 {
    if let Seen::Readings { count, .. } = seen { *count } else { 0 }
}

fn starts(seen: &[Seen]) -> Vec<u64> {
    seen.iter()
        .filter_map(|seen| if let Seen::Readings { first, .. } = seen { Some(*first) } else { None })
        .collect()
}

#[test]
fn a_gateway_that_forgot_the_board_gets_everything_from_the_floor_again() {
    let channels = channels();
    let mut node = welcomed(&channels, 1_024);
    measure(&mut node, 6, 0);
    sent(&mut node, 0);
    tell(&mut node, 10, &ack(BOOT, 2));
    tell(&mut node, 20, &Down::Identify);
    tell(&mut node, 20, &Down::Identify);
    let said = sent(&mut node, 20);
    assert!(matches!(said[..], [Seen::Hello { floor: 2, next: 6, .. }]), "{said:?}");
    tell(&mut node, 30, &welcome(BOOT));
    assert_eq!(spoken(&mut node, 30), [Seen::readings(2, 4, 2, 6)]);
    assert_eq!(node.counters().repeated, 4);
}

#[test]
fn a_loss_is_kept_at_the_floor_and_declared_until_it_is_acknowledged() {
    let channels = channels();
    // Room for 22 readings of four bytes.
    let mut node = welcomed(&channels, 88);
    node.link_down();
    measure(&mut node, 30, 0);
    assert_eq!((node.floor(), node.lost(), node.held()), (Seq(0), SeqRange::new(0, 8), SeqRange::new(8, 30)));
    node.link_up(Tick(100));
    let said = sent(&mut node, 100);
    assert!(matches!(said[..], [Seen::Hello { floor: 0, next: 30, .. }]), "{said:?}");
    tell(&mut node, 100, &welcome(BOOT));
    let said = spoken(&mut node, 100);
    assert_eq!(said[0], lost(BOOT, 0..8, 0, 30));
    assert_eq!(starts(&said).first(), Some(&8));
    // The declaration got lost, or is not safe yet: it comes again with the repeat, and after a new link.
    assert_eq!(spoken(&mut node, 4_100)[0], lost(BOOT, 0..8, 0, 30));
    node.link_up(Tick(5_000));
    sent(&mut node, 5_000);
    tell(&mut node, 5_000, &welcome(BOOT));
    assert_eq!(spoken(&mut node, 5_000)[0], lost(BOOT, 0..8, 0, 30));
    // It grows; that is not told for each reading.
    measure(&mut node, 2, 0);
    let growing = |seen: &Seen| matches!(seen, Seen::Lost(_));
    assert!(!spoken(&mut node, 5_010).iter().any(growing));
    assert_eq!(spoken(&mut node, 5_250)[0], lost(BOOT, 0..10, 0, 32));
    // An acknowledgement that ends inside keeps the rest of the declaration.
    tell(&mut node, 5_300, &ack(BOOT, 8));
    assert_eq!((node.floor(), node.lost()), (Seq(8), SeqRange::new(8, 10)));
    tell(&mut node, 5_310, &ack(BOOT, 12));
    assert_eq!(
        (node.floor(), node.lost(), node.held()),
        (Seq(12), SeqRange::new(12, 12), SeqRange::new(12, 32))
    );
    assert!(!spoken(&mut node, 70_000).iter().any(growing));
}

#[test]
fn a_board_without_a_boot_waits_for_one_and_keeps_it() {
    let channels = channels();
    let mut node = node(&channels, None, 1_024);
    measure(&mut node, 3, 0);
    node.link_up(Tick(0));
    assert!(matches!(sent(&mut node, 0)[..], [Seen::Hello { boot: None, floor: 0, next: 3, .. }]));
    tell(&mut node, 5, &offer(None, 77));
    assert!(matches!(
        sent(&mut node, 5)[..],
        [Seen::Hello { boot: Some(BootId(77)), floor: 0, next: 3, .. }]
    ));
    // The other gateway on its line offers one, too, and then hears which it took.
    tell(&mut node, 6, &offer(None, 78));
    assert_eq!(sent(&mut node, 6), []);
    tell(&mut node, 7, &welcome(77));
    assert_eq!(spoken(&mut node, 7), [Seen::readings(0, 3, 0, 3)]);
    assert_eq!(node.counters().reassigned_boots, 0);
    node.link_up(Tick(50));
    assert!(matches!(sent(&mut node, 50)[..], [Seen::Hello { boot: Some(BootId(77)), .. }]));
}

#[test]
fn a_fresh_boot_from_the_gateway_numbers_what_is_held_from_zero() {
    let channels = channels();
    let mut node = welcomed(&channels, 88);
    measure(&mut node, 20, 0);
    sent(&mut node, 0);
    tell(&mut node, 0, &ack(BOOT, 12));
    measure(&mut node, 18, 0);
    assert_eq!((node.lost(), node.held()), (SeqRange::new(12, 16), SeqRange::new(16, 38)));
    node.link_up(Tick(10));
    sent(&mut node, 10);
    tell(&mut node, 10, &offer(HelloMark::of(Some(BootId(BOOT)), Seq(38)), 99));
    assert!(matches!(
        sent(&mut node, 10)[..],
        [Seen::Hello { boot: Some(BootId(99)), floor: 0, next: 26, .. }]
    ));
    tell(&mut node, 10, &welcome(99));
    let said = spoken(&mut node, 10);
    assert_eq!(said[0], lost(99, 0..4, 0, 26));
    assert_eq!(starts(&said).first(), Some(&4));
    // What the boot before was told counts for nothing in this one.
    tell(&mut node, 11, &ack(BOOT, 20));
    tell(&mut node, 11, &ack(99, 27));
    assert_eq!(node.floor(), Seq(0));
    tell(&mut node, 12, &ack(99, 26));
    assert!(node.is_drained());
    assert_eq!(node.counters().reassigned_boots, 1);
}

#[test]
fn an_offer_that_does_not_answer_the_last_hello_is_not_taken() {
    let channels = channels();
    let mut node = welcomed(&channels, 1_024);
    measure(&mut node, 3, 0);
    node.link_up(Tick(10));
    sent(&mut node, 10);
    let late = [
        // A copy of the first Hello that was held up: the gateway has had readings since.
        offer(HelloMark::of(Some(BootId(BOOT)), Seq(0)), 31),
        // One of before this board had a boot, and one of the boot before.
        offer(None, 32),
        offer(HelloMark::of(Some(BootId(BOOT - 1)), Seq(3)), 33),
    ];
    late.iter().for_each(|offer| tell(&mut node, 11, offer));
    assert_eq!(sent(&mut node, 11), []);
    tell(&mut node, 12, &welcome(BOOT));
    assert!(node.is_welcomed());
    late.iter().for_each(|offer| tell(&mut node, 13, offer));
    assert!(node.is_welcomed());
    assert_eq!(node.boot(), Some(BootId(BOOT)));
}

#[test]
fn an_offer_of_a_second_gateway_is_taken_though_the_first_welcomed_the_board() {
    let channels = channels();
    let mut node = welcomed(&channels, 1_024);
    sent(&mut node, 0);
    tell(&mut node, 1, &welcome(BOOT));
    assert_eq!(sent(&mut node, 1), []);
    tell(&mut node, 2, &offer(HelloMark::of(Some(BootId(BOOT)), Seq(0)), 31));
    assert!(!node.is_welcomed());
    assert!(matches!(sent(&mut node, 2)[..], [Seen::Hello { boot: Some(BootId(31)), .. }]));
    assert_eq!(node.counters().reassigned_boots, 1);
}

#[test]
fn readings_wait_for_company_no_longer_than_they_may() {
    let channels = channels();
    let config = NodeConfig { linger_ms: 100, ..NodeConfig::DEFAULT };
    let mut node = TestNode::new(identity(), Some(BootId(BOOT)), &channels, vec![0; 4_096], config).unwrap();
    node.link_up(Tick(0));
    sent(&mut node, 0);
    tell(&mut node, 0, &welcome(BOOT));
    sent(&mut node, 0);
    measure(&mut node, 1, 10);
    assert_eq!(spoken(&mut node, 10), []);
    assert_eq!(node.next_wakeup(Tick(10)), Some(Tick(110)));
    measure(&mut node, 1, 60);
    assert_eq!(spoken(&mut node, 109), []);
    assert_eq!(spoken(&mut node, 110), [Seen::readings(0, 2, 0, 2)]);
    // A full frame waits for nobody; the rest of it does.
    measure(&mut node, 60, 200);
    let said = spoken(&mut node, 200);
    assert_eq!(said.len(), 1);
    assert_eq!(spoken(&mut node, 300).iter().chain(&said).map(count).sum::<u16>(), 60);
}

#[test]
fn what_crosses_a_limit_waits_for_no_company_and_no_deadband() {
    let channels = channels();
    let config = NodeConfig { linger_ms: 100, ..NodeConfig::DEFAULT };
    let mut node = TestNode::new(identity(), Some(BootId(BOOT)), &channels, vec![0; 4_096], config).unwrap();
    let decimal = |mantissa| Value::Decimal { mantissa, scale: channels[0].scale };
    let sampling =
        Sampling { report_deadband: Some(Deadband::Absolute(decimal(10))), ..Sampling::on_event() };
    node.set_sampling(ChannelIndex(0), sampling).unwrap();
    node.link_up(Tick(0));
    sent(&mut node, 0);
    tell(&mut node, 0, &welcome(BOOT));
    sent(&mut node, 0);
    let mut limit = Limit::above(60, 5);
    let mut sample = |node: &mut TestNode<'_>, mantissa, now| {
        let sample = if limit.crosses(mantissa) { TestNode::sample_at_once } else { TestNode::sample };
        sample(node, ChannelIndex(0), decimal(mantissa), Quality::Good, Tick(now)).unwrap()
    };
    assert_eq!(sample(&mut node, 58, 10), Sampled::Kept(Seq(0)));
    assert_eq!(spoken(&mut node, 10), []);
    assert_eq!(sample(&mut node, 61, 20), Sampled::Kept(Seq(1)));
    assert_eq!(node.next_wakeup(Tick(20)), Some(Tick(20)));
    assert_eq!(spoken(&mut node, 20), [Seen::readings(0, 2, 0, 2)], "with what waited before it");
    // Measured from what was reported last, and the next ones wait again.
    assert_eq!(sample(&mut node, 70, 30), Sampled::HeldBack);
    assert_eq!(sample(&mut node, 71, 40), Sampled::Kept(Seq(2)));
    assert_eq!(spoken(&mut node, 40), []);
}

#[test]
fn wall_time_comes_from_the_gateway_with_the_question_s_own_delay_in_its_error() {
    let channels = channels();
    let mut node = node(&channels, Some(BOOT), 1_024);
    node.link_up(Tick(1_000));
    sent(&mut node, 1_000);
    assert_eq!(node.wall_time(Tick(1_000)), None);
    tell(&mut node, 1_040, &welcome(BOOT));
    let heard = WallTime { unix_ms: 1_700_000_000_000, error_ms: 45 };
    assert_eq!(node.wall_time(Tick(1_040)), Some(heard));
    tell(&mut node, 2_000, &Down::Time { unix_ms: 1_700_000_000_900, error_ms: 2 });
    assert_eq!(node.wall_time(Tick(2_000)), Some(WallTime { unix_ms: 1_700_000_000_900, error_ms: 2 }));
}

#[test]
fn mistakes_in_the_firmware_are_told_when_the_node_is_built() {
    let build = |channels: &[ChannelDecl<&'static str>], ring: usize, tag: &'static str| {
        let identity = Identity { tag, ..identity() };
        let leaked: &'static [ChannelDecl<&'static str>] = Vec::leak(channels.to_vec());
        Node::<60, _>::new(identity, None, leaked, vec![0; ring], NodeConfig::DEFAULT)
            .map(|node| node.transmit_len())
    };
    let many = |count: usize| {
        let name = |at| format!("a-channel-with-a-very-long-nam{at:02}");
        (0..count).map(|at| channel(&name(at), "Cel", ValueKind::F32, 0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(build(&many(3), 88, ""), Ok(2 + 41 + 6 + 6 + 3 * 39));
    assert_eq!(build(&many(61), 88, ""), Err(NodeError::HelloTooLong));
    let short = channel("c", "", ValueKind::Bool, 0).unwrap();
    assert_eq!(build(&[short; 61], 88, ""), Err(NodeError::TooManyChannels));
    assert_eq!(build(&many(1), 87, ""), Err(NodeError::RingTooSmall));
    let bad = channel("c", "a unit that is far too long", ValueKind::Bool, 0).unwrap();
    assert_eq!(build(&[bad], 88, ""), Err(NodeError::BadChannel));
    assert_eq!(build(&[short; 2], 88, ""), Err(NodeError::BadChannel), "two channels of one name");
    let long = "a tag that nobody would paint on a machine, since it goes on and on and on";
    assert_eq!(build(&many(1), 88, long), Err(NodeError::TextTooLong));
}
