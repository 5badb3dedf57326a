//! What must hold of a rules file, whatever is in it, in one place for the fuzzer and for the seeded test: no panic;
//! what is refused says why and what to do; what is accepted is stored as it is, and judges any reading.

use tidegate_alarms::{
    EffectiveFrom, ReadingAt, Rule, RuleBook, RuleErrors, RuleSet, RulesSettings, State, TransitionKind,
};
use tidegate_protocol::{
    BootId, ChannelName, DeviceId, Quality, Seq, SiteId, Tick, Value, WIRE_VERSION, frame::crc::crc32c,
};

/// The text of a file.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(settings) = toml::from_str::<RulesSettings>(text) else { return };
    match RuleSet::from_settings(settings) {
        Ok(rules) => check(&rules),
        Err(errors) => explained(&errors),
    }
}

/// A document of rules as gateways get it, once more with its checksum put right.
pub fn document(bytes: &[u8]) {
    let mut signed = [&[WIRE_VERSION], bytes].concat();
    signed.extend_from_slice(&crc32c(&signed).to_le_bytes());
    for bytes in [bytes, &signed] {
        let Ok(book) = RuleBook::from_document(bytes) else { continue };
        for rule in book.rules() {
            assert!(rule.boundaries().is_sorted());
            rule.revisions().iter().filter_map(|revised| revised.rule.as_deref()).for_each(judge);
        }
        let again = book.document().expect("what was received can be sent");
        // Not a number is not itself.
        let read = RuleBook::from_document(&again).expect("what was sent is read");
        assert_eq!(format!("{read:?}"), format!("{book:?}"));
    }
}

fn explained(errors: &RuleErrors) {
    for error in errors.iter() {
        let (key, said) = (error.key_path(), error.to_string());
        assert!(key.starts_with("rule[") || key.starts_with("labels["), "{key}");
        assert!(said.contains(&error.key) && !error.problem.remedy().is_empty(), "{said}");
    }
}

fn check(rules: &RuleSet) {
    let _ = rules.warnings();
    for (from, rule) in rules.written() {
        let stored = postcard::to_allocvec(&**rule).expect("it is stored");
        let read: Rule = postcard::from_bytes(&stored).expect("what was stored is read");
        assert_eq!((&read, read.revision()), (&**rule, rule.revision()));
        judge(rule);
        assert!(*from <= EffectiveFrom::UnixMs(i64::MAX));
    }
    let mut book = RuleBook::default();
    book.merge(rules, 0);
    assert!(book.merge(rules, 1).is_empty(), "the same file changed something");
    let name = "a";
    let (site, device) = (SiteId::new(name).expect("a name"), DeviceId::new(name).expect("a name"));
    let channel = ChannelName::new(name).expect("a name");
    for rule in book.matching(site, device, channel, "", "") {
        assert!(rule.boundaries().is_sorted());
        let _ = rule.at(Some(i64::MIN));
    }
}

/// Raises and clears take turns, and a state that was stored between goes on the same.
fn judge(rule: &Rule) {
    let mut state = State::default();
    let mut is_up = false;
    for seq in 0..40_u64 {
        let value = [0.0, 1.0, 1e9, -1e9, f64::INFINITY, f64::NAN, 0.5, -0.0][seq as usize % 8];
        let tick = Tick(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (seq % 64));
        let boot = BootId(1 + seq / 20);
        let reading =
            ReadingAt { boot, seq: Seq(seq), tick, value: Value::F64(value), quality: Quality::Good };
        let stored = postcard::to_allocvec(&state).expect("it is stored");
        let mut again: State = postcard::from_bytes(&stored).expect("what was stored is read");
        let found = rule.step(&mut state, &reading);
        assert_eq!(rule.step(&mut again, &reading).map(|found| found.kind), found.map(|found| found.kind));
        if let Some(found) = found {
            assert_eq!(found.kind == TransitionKind::Raise, !is_up);
            is_up = !is_up;
        }
        assert_eq!(state.is_active(), is_up);
        state = rule.adopt(state);
        assert_eq!(state.is_active(), is_up);
    }
}
