//! What an ingest, or whoever answers in its place, streams to `tidegate`.

#[path = "../../cli/src/sse.rs"]
mod sse;

use sse::{Event, MAX_DATA_BYTES, MAX_LINE_BYTES, Parser, TooLong};

/// The first byte says how the others are cut.
pub fn event_stream(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(
        read(stream.chunks(usize::from(cut % 32) + 1)),
        whole,
        "events do not depend on how they come"
    );
    let Ok(events) = whole else { return assert!(stream.len() > MAX_LINE_BYTES) };
    let mut written = Vec::new();
    for event in &events {
        assert!(event.data.len() <= MAX_DATA_BYTES.min(3 * stream.len()));
        assert!(!event.name.contains(['\n', '\r']) && !event.data.contains('\r'));
        write(event, &mut written);
    }
    assert_eq!(read(std::iter::once(&written[..])), Ok(events), "what was read can be said again");
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Event>, TooLong> {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for piece in pieces {
        events.extend(parser.push(piece)?);
    }
    Ok(events)
}

/// A server's side.
fn write(event: &Event, out: &mut Vec<u8>) {
    let mut field = |name: &str, value: &str| out.extend(format!("{name}: {value}\n").into_bytes());
    if !event.name.is_empty() {
        field("event", &event.name);
    }
    if let Some(id) = &event.id {
        field("id", id);
    }
    // An event of nothing but its id has no data, or empty data: both come as the same.
    event.data.split('\n').for_each(|line| field("data", line));
    out.push(b'\n');
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    [
        ("events", "\x03: hello\n\nid: 7\nevent: alarm\ndata: {\"a\":1}\n\n"),
        ("ends-of-lines", "\x01data: one\r\ndata: two\r\n\r\nid: 9\n\ndata:x\r\r"),
        ("reset", "\x08event: reset\ndata: {\"reason\":\"expired\"}\n\nevent: snapshot-end\nid: 41\ndata: {\"alarms\":0}\n\n"),
        ("odd", "\x02data\n:\nid\nid: \0\nevent:  two\n\n\u{feff}data: é\n\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}
