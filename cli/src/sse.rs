//! Server-sent events (WHATWG HTML, section 9.2), decoded from chunks cut anywhere.
//!
//! A line may hold [`MAX_LINE_BYTES`] and an event's data [`MAX_DATA_BYTES`]; a server that sends more is not ours,
//! and the stream ends with an error.

pub const MAX_LINE_BYTES: usize = 64 * 1024;
pub const MAX_DATA_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; empty means `message`.
    pub name: String,
    pub data: String,
    /// The `id` field of this very event: committed events have one.
    pub id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream holds a line or an event that is too long")]
pub struct TooLong;

/// Collects chunks into events. Lines end with LF, CRLF or CR.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes a chunk; returns the events it completed. An event that only carries an id comes with empty data.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in chunk {
            let skip = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if skip => {}
                b'\n' | b'\r' => self.end_line(&mut events)?,
                _ if self.line.len() == MAX_LINE_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) || event.id.is_some() {
                events.push(event);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => return self.add_data(value),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments (an empty field name) keep the connection alive; unknown fields are ignored by the standard.
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &str) -> Result<(), TooLong> {
        if self.event.data.len() + value.len() >= MAX_DATA_BYTES {
            return Err(TooLong);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.event.data.push('\n');
        }
        self.event.data.push_str(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nid: 7\nevent: alarm\ndata: {\"a\":1}\n\ndata: one\r\ndata: two\r\n\r\nid: 9\n\ndata:x\r\r";

    fn expected() -> Vec<Event> {
        let event = |name: &str, data: &str, id: Option<&str>| Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        };
        vec![
            event("alarm", "{\"a\":1}", Some("7")),
            event("", "one\ntwo", None),
            event("", "", Some("9")),
            event("", "x", None),
        ]
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        for cut in 0..STREAM.len() {
            let (head, tail) = STREAM.as_bytes().split_at(cut);
            let mut parser = Parser::default();
            let mut events = parser.push(head).expect("short lines");
            events.extend(parser.push(tail).expect("short lines"));
            assert_eq!(events, expected(), "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; MAX_LINE_BYTES + 1]), Err(TooLong));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "y".repeat(60_000));
        assert!((0..10).any(|_| parser.push(line.as_bytes()).is_err()));
    }
}
