//! One named example of everything that crosses the wire. Golden vectors are made of them, and hostile input starts
//! from them.

use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, LossReason, Origin, Quality, Reading, Seq,
    SeqRange, Tick, Value, ValueKind,
    ack::{BlockAck, BlockOutcome, Credit, Outcome, RejectReason},
    block::Block,
    frame::{
        BoardCounters, BoardTime, ChannelList, Deadband, Down, Heartbeat, Hello, HelloMark, Lost, Readings,
        SamplePacker, Settings, SettingsCode, SettingsResult, Standing, Up, Welcome,
        keyed::{Call, Challenge, DeviceKey, Nonce, Session},
    },
    rules::{RulesAnswer, RulesDown, RulesName, RulesUp, Verdict, VerdictRaise, Verdicts},
    settings::{
        ChannelSettings, DesiredChannel, DesiredSettings, ReportedChannel, ReportedSettings, SettingsOutcome,
    },
};

#[path = "block_samples.rs"]
mod block_samples;

/// Blocks, with their names and what they hold.
pub fn blocks() -> Vec<(&'static str, &'static str, Block)> {
    block_samples::blocks()
}

pub const BOOT: BootId = BootId(0x0123_4567_89ab_cdef);

pub fn origin(device: &str, boot: BootId) -> Origin {
    Origin::new(DeviceId::new(device).expect("a slug"), boot)
}

fn channel<U>(name: &str, unit: U, kind: ValueKind, scale: u8) -> ChannelDecl<U> {
    ChannelDecl { name: ChannelName::new(name).expect("a name"), unit, kind, scale }
}

pub fn decimal(mantissa: i64, scale: u8) -> Value {
    Value::Decimal { mantissa, scale }
}

pub fn reading(seq: u64, channel: u8, tick: u64, value: Value) -> Reading {
    Reading { seq: Seq(seq), channel: ChannelIndex(channel), tick: Tick(tick), value, quality: Quality::Good }
}

/// Two rounds of three channels, as a small board measures them.
pub fn board_readings() -> Vec<Reading> {
    let mut readings = Vec::new();
    for (round, (cold, wet)) in (0..).zip([(2145, 480), (2146, 479)]) {
        let (seq, tick) = (100 + 3 * round, 60_000 + 1000 * round);
        readings.push(reading(seq, 0, tick, decimal(cold, 2)));
        readings.push(reading(seq + 1, 1, tick, decimal(wet, 1)));
        readings.push(reading(seq + 2, 2, tick, Value::Bool(round == 1)));
    }
    readings
}

/// Every up frame, with its name and what it says.
pub fn each_up(mut each: impl FnMut(&str, &str, &Up<'_>)) {
    let channels = [
        channel("temperature", "Cel", ValueKind::Decimal, 2),
        channel("humidity", "%RH", ValueKind::Decimal, 1),
        channel("running", "", ValueKind::Bool, 0),
    ];
    let hello = Hello {
        device: DeviceId::new("board-7").expect("a slug"),
        tag: "TT-101A",
        firmware: "demo 1.0",
        boot: None,
        standing: Standing::Present,
        floor: Seq(0),
        next: Seq(0),
        channels: ChannelList::new(&channels).expect("few channels"),
    };
    each("up-hello", "a board without a boot says who it is and what it measures", &Up::Hello(hello));
    let known = Hello { boot: Some(BOOT), floor: Seq(90), next: Seq(106), ..hello };
    each(
        "up-hello-boot",
        "the same after a broken link: it has a boot and holds 16 readings",
        &Up::Hello(known),
    );
    let former = Hello { standing: Standing::Former, ..known };
    each(
        "up-hello-former",
        "a boot before the present one, of which it keeps 16 readings in flash",
        &Up::Hello(former),
    );

    let keeping = Hello { standing: Standing::Keeping, ..known };
    each(
        "up-hello-keeping",
        "the present boot of a board that keeps readings of one before",
        &Up::Hello(keeping),
    );

    let given = board_readings();
    let mut samples = [0; 64];
    let mut packer = SamplePacker::new(&mut samples, Tick(60_000));
    assert!(given.iter().all(|reading| packer.push(reading)));
    let (count, len) = (packer.count(), packer.len());
    let readings = Readings {
        boot: BOOT.tag(),
        first_seq: Seq(100),
        floor: Seq(90),
        next: Seq(106),
        base_tick: Tick(60_000),
        count,
        samples: &samples[..len],
    };
    each("up-readings", "two rounds of three channels, a second apart", &Up::Readings(readings));

    let mut samples = [0; 64];
    let mut packer = SamplePacker::new(&mut samples, Tick(u64::MAX));
    let late = Reading { quality: Quality::Uncertain, ..reading(7, 0, 4, Value::F32(-0.5)) };
    let early = Reading { quality: Quality::Bad, ..reading(8, 1, 3, Value::F64(f64::NAN)) };
    assert!(packer.push(&late) && packer.push(&early));
    let (count, len) = (packer.count(), packer.len());
    let odd = Readings {
        boot: BootId(u64::MAX - 1).tag(),
        first_seq: Seq(7),
        floor: Seq(7),
        next: Seq(9),
        base_tick: Tick(u64::MAX),
        count,
        samples: &samples[..len],
    };
    each("up-readings-floats", "floats of doubtful quality, ticks that wrap and go back", &Up::Readings(odd));

    let heartbeat = Heartbeat {
        boot: BOOT.tag(),
        floor: Seq(90),
        next: Seq(106),
        tick: Tick(61_500),
        ring_free: 4080,
        clock: Some(BoardTime { tick: Tick(61_000), unix_ms: 1_790_000_000_000, error_ms: 20 }),
        counters: BoardCounters { bad_frames: 1, repeated: 300, refused_acks: 0, links_lost: 2 },
    };
    each("up-heartbeat", "nothing to send; the board's own clock is told", &Up::Heartbeat(heartbeat));
    let timeless = Heartbeat { clock: None, ..heartbeat };
    each("up-heartbeat-timeless", "of a board without a clock", &Up::Heartbeat(timeless));
    let lost = Lost {
        boot: BOOT.tag(),
        range: SeqRange::new(90, 96),
        reason: LossReason::RingOverflow,
        floor: Seq(96),
        next: Seq(106),
    };
    each("up-lost", "six readings were overwritten in a full ring", &Up::Lost(lost));
    let corrupt = Lost { reason: LossReason::Corrupt, ..lost };
    each("up-lost-corrupt", "six readings in flash did not pass their checksum", &Up::Lost(corrupt));
    let codes = [
        ("", "settings were taken", SettingsCode::Applied),
        ("-unknown", "there is no such channel", SettingsCode::UnknownChannel),
        ("-period", "it cannot measure so often", SettingsCode::BadPeriod),
        ("-deadband", "the channel's values are of another kind", SettingsCode::BadDeadband),
    ];
    for (suffix, description, code) in codes {
        let result = SettingsResult { channel: 1, revision: 9, code };
        let up = Up::SettingsResult { boot: BOOT.tag(), result };
        each(&format!("up-settings-result{suffix}"), description, &up);
    }

    // What is new stands last: under a key each frame is closed by its number.
    let floats = [channel("level", "m", ValueKind::F32, 0), channel("energy", "J", ValueKind::F64, 0)];
    let floats = ChannelList::new(&floats).expect("few channels");
    let floats = Up::Hello(Hello { channels: floats, ..hello });
    each("up-hello-floats", "channels of the other kinds", &floats);
    for (suffix, reason) in [
        ("evicted", LossReason::Evicted),
        ("thinned", LossReason::Thinned),
        ("unclean-tail", LossReason::UncleanTail),
        ("written-off", LossReason::WrittenOff),
        ("rolled-back", LossReason::RolledBack),
        ("unaccounted", LossReason::Unaccounted),
    ] {
        let lost = Up::Lost(Lost { reason, ..lost });
        each(&format!("up-lost-{suffix}"), "a reason that no board of today gives", &lost);
    }
}

/// Every down frame, with its name and what it says.
pub fn downs() -> Vec<(&'static str, &'static str, Down)> {
    let settings = Settings {
        revision: 9,
        channel: 1,
        enabled: true,
        period_ms: 500,
        report_deadband: Some(Deadband::Absolute(decimal(5, 1))),
        max_silence_ms: 60_000,
    };
    let percent = Some(Deadband::Percent { hundredths: 250 });
    let off = Settings { enabled: false, report_deadband: percent, max_silence_ms: 0, ..settings };
    let float = Settings { report_deadband: Some(Deadband::Absolute(Value::F32(0.25))), ..settings };
    let double = Settings { report_deadband: Some(Deadband::Absolute(Value::F64(0.1))), ..settings };
    let bool = Settings { report_deadband: Some(Deadband::Absolute(Value::Bool(true))), ..settings };
    let every = Settings { report_deadband: None, ..settings };
    let settings_of = |settings| Down::Settings { boot: BOOT.tag(), settings };
    let answers = HelloMark::of(Some(BOOT), Seq(103));
    let welcome = Welcome { answers, boot: BOOT, unix_ms: 1_790_000_000_000, error_ms: 5 };
    let offer = Welcome { answers: None, ..welcome };
    vec![
        ("down-welcome", "the agent knows the board, and names its boot", Down::Welcome(welcome)),
        ("down-offer", "a boot for a board that has none", Down::Welcome(offer)),
        ("down-ack", "readings below 103 are safe", Down::Ack { boot: BOOT, up_to: Seq(103) }),
        ("down-settings", "how to measure channel 1", settings_of(settings)),
        ("down-settings-off", "not at all, and else by hundredths of a percent", settings_of(off)),
        ("down-settings-every", "every sample is reported", settings_of(every)),
        ("down-settings-f32", "a float's deadband", settings_of(float)),
        ("down-settings-f64", "a double's", settings_of(double)),
        ("down-settings-bool", "a bool's", settings_of(bool)),
        ("down-time", "wall time", Down::Time { unix_ms: 1_790_000_000_000, error_ms: 5 }),
        ("down-identify", "who is speaking?", Down::Identify),
    ]
}

/// Acknowledgements, with their names and what they say.
pub fn acks() -> Vec<(&'static str, &'static str, BlockAck)> {
    let credit = Credit { seq: 41, window_bytes: 262_144 };
    let outcome = |number, outcome| BlockOutcome { number, outcome };
    let rejected = |reason, parts| Outcome::Rejected { reason, parts };
    let part = (origin("board-7", BOOT), SeqRange::new(100, 103));
    let outcomes = vec![
        outcome(17, Outcome::Durable),
        outcome(18, rejected(RejectReason::Undescribed, vec![part])),
        outcome(300, rejected(RejectReason::Corrupt, Vec::new())),
    ];
    let reasons = [
        RejectReason::Undescribed,
        RejectReason::Sealed,
        RejectReason::BootConflict,
        RejectReason::Corrupt,
        RejectReason::Unsupported,
    ];
    let refused = (1..).zip(reasons).map(|(number, reason)| outcome(number, rejected(reason, Vec::new())));
    let refused = refused.collect();
    let (incarnation, epoch) = (0x1111_2222_3333_4444, 0x5555_6666_7777_8888);
    vec![
        (
            "ack-announce",
            "a new ingest announces itself",
            BlockAck { incarnation, epoch: 0, outcomes: vec![], credit, ledger: 1 },
        ),
        (
            "ack-outcomes",
            "one block durable, one in part, one not at all",
            BlockAck { incarnation, epoch, outcomes, credit, ledger: 0 },
        ),
        (
            "ack-reasons",
            "for every reason there is",
            BlockAck { incarnation, epoch, outcomes: refused, credit, ledger: 0 },
        ),
    ]
}

/// What the cloud wants of channels, with names and what it says.
pub fn desired() -> Vec<(&'static str, &'static str, DesiredSettings)> {
    let wanted = |channel, revision, settings| DesiredChannel {
        device: DeviceId::new("board-7").expect("a slug"),
        channel: ChannelName::new(channel).expect("a name"),
        revision,
        settings,
    };
    let often = ChannelSettings {
        enabled: true,
        period_ms: 500,
        report_deadband: Some(Deadband::Absolute(decimal(50, 2))),
        max_silence_ms: 60_000,
    };
    let percent = Some(Deadband::Percent { hundredths: 200 });
    let off = ChannelSettings { enabled: false, report_deadband: percent, ..often };
    let channels = vec![
        wanted("temperature", 9, Some(often)),
        wanted("humidity", 300, Some(off)),
        wanted("running", 2, None),
    ];
    let description = "one channel more often, one off, one as the firmware has it";
    vec![("settings-desired", description, DesiredSettings { channels })]
}

/// What became of settings, with names and what it says.
pub fn reported() -> Vec<(&'static str, &'static str, ReportedSettings)> {
    let of = |channel, revision, outcome| ReportedChannel {
        device: DeviceId::new("board-7").expect("a slug"),
        channel: ChannelName::new(channel).expect("a name"),
        revision,
        outcome,
    };
    let channels = vec![
        of("temperature", 9, SettingsOutcome::Applied),
        of("humidity", 299, SettingsOutcome::BadDeadband),
        of("running", 2, SettingsOutcome::Cleared),
    ];
    let every = (1..).zip(SettingsOutcome::ALL).map(|(revision, outcome)| of("speed", revision, outcome));
    let every = ReportedSettings { channels: every.collect() };
    vec![
        ("settings-reported", "one applied, one refused, one cleared", ReportedSettings { channels }),
        ("settings-outcomes", "every outcome there is", every),
    ]
}

/// Rules on their way down, with names and what they are.
pub fn rules_down() -> Vec<(&'static str, &'static str, RulesDown)> {
    let name = RulesName { edition: 12, checksum: 0x7ced_45a1 };
    vec![
        ("rules-offer", "edition 12, 40 000 bytes", RulesDown::Offer { name, bytes: 40_000 }),
        ("rules-part", "the end of it", RulesDown::Part { name, at: 39_995, part: vec![1, 2, 3, 4, 5] }),
    ]
}

/// What became of rules, with names and what it says.
pub fn rules_up() -> Vec<(&'static str, &'static str, RulesUp)> {
    let name = RulesName { edition: 12, checksum: 0x7ced_45a1 };
    vec![
        (
            "rules-wanting",
            "from byte 32 768 on",
            RulesUp { name, answer: RulesAnswer::Wanting { from: 32_768 } },
        ),
        ("rules-in-force", "committed, and judged by", RulesUp { name, answer: RulesAnswer::InForce }),
        ("rules-held", "not on the disk yet", RulesUp { name, answer: RulesAnswer::Held }),
        ("rules-unreadable", "nothing to judge by", RulesUp { name, answer: RulesAnswer::Unreadable }),
        ("rules-declined", "it has its own", RulesUp { name, answer: RulesAnswer::Declined }),
    ]
}

/// Verdicts of a gateway, with names and what they say.
pub fn verdicts() -> Vec<(&'static str, &'static str, Verdicts)> {
    let of = |channel, rule: &str, raised| Verdict {
        device: DeviceId::new("board-7").expect("a slug"),
        channel: ChannelName::new(channel).expect("a name"),
        rule: rule.to_owned(),
        raised,
    };
    let raise = VerdictRaise {
        revision: 0x0102_0304_0506_0708,
        boot: BOOT,
        seq: Seq(300),
        since_unix_ms: 1_800_000_000_000,
    };
    let verdicts = vec![of("temperature", "too-hot", Some(raise)), of("humidity", "dry", None)];
    let told = Verdicts { verdicts, epoch: 0x5555_6666_7777_8888, number: 3, begins: false };
    let anew = Verdicts { verdicts: Vec::new(), number: 4, begins: true, ..told };
    vec![
        ("verdicts", "one active, one active no more", told),
        ("verdicts-anew", "an account begins, and nothing is active", anew),
    ]
}

pub fn device_key() -> DeviceKey {
    "000102030405060708090a0b0c0d0e0f".parse().expect("a key")
}

/// The Call of a board in its third session of [`BOOT`].
pub fn call() -> Call {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&BOOT.0.to_le_bytes());
    nonce[8] = 3;
    Call { device: DeviceId::new("board-7").expect("a slug"), nonce: Nonce(nonce) }
}

/// A gateway's answer to it, and both ends of the session, the board's first.
pub fn session() -> (Challenge, Session, Session) {
    let nonce = Nonce([
        0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    ]);
    let (challenge, gateway) = call().challenged(&device_key(), nonce);
    let board = call().answered(&device_key(), &challenge).expect("the key is the same");
    (challenge, board, gateway)
}

/// A whole session as it is on the line: its exchange, all up frames, all down frames.
pub fn keyed() -> Vec<(String, String, Vec<u8>)> {
    let (challenge, mut board, mut gateway) = session();
    let mut line = [0; 512];
    let len = call().encode(&mut line).expect("room");
    let mut all =
        vec![("keyed-call".to_owned(), "A board asks for a session".to_owned(), line[..len].to_vec())];
    let len = challenge.encode(&mut line).expect("room");
    all.push(("keyed-challenge".to_owned(), "The gateway's answer".to_owned(), line[..len].to_vec()));
    each_up(|name, description, up| {
        let len = board.encode_up(up, &mut line).expect("room");
        all.push((format!("keyed-{name}"), format!("{description}, under the key"), line[..len].to_vec()));
    });
    for (name, description, down) in downs() {
        let len = gateway.encode_down(&down, &mut line).expect("room");
        all.push((format!("keyed-{name}"), format!("{description}, under the key"), line[..len].to_vec()));
    }
    all
}
