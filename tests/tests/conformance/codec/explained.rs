//! Where mqtt-packet and we differ, and who is right by the standard. It reads more than the standard allows, as a library
//! for clients of several versions of MQTT may; a server must close the connection (MQTT-4.8.0-1).

use serde_json::Value;
use tidegate_broker::mqtt::{Decoded, Malformed};

use super::{MAX_PACKET_BYTES, comparable, shown};

pub struct Class {
    pub name: &'static str,
    /// Where the standard, or a limit of ours, says so.
    pub reference: &'static str,
    /// Whether our verdict is this one, and what they read shows why.
    is_it: fn(&Seen<'_>) -> bool,
}

/// A packet that they read, or wait for the end of, and we do not.
struct Seen<'a> {
    bytes: &'a [u8],
    ours: &'a Result<Decoded, Malformed>,
    packet: &'a Value,
    error: &'a Value,
}

impl Seen<'_> {
    fn refused_as(&self, why: Malformed) -> bool {
        *self.ours == Err(why)
    }

    fn kind(&self) -> &str {
        self.packet["type"].as_str().unwrap_or_default()
    }

    /// Every text that they read.
    fn texts(&self) -> Vec<&str> {
        let packet = self.packet;
        let filters = packet["filters"].as_array().into_iter().flatten();
        let filters = filters.map(|filter| filter.get(0).unwrap_or(filter));
        let single = [&packet["clientId"], &packet["username"], &packet["topic"], &packet["will"]["topic"]];
        single.into_iter().chain(filters).filter_map(Value::as_str).collect()
    }

    fn topic(&self) -> Option<&str> {
        self.packet["topic"].as_str().or_else(|| self.packet["will"]["topic"].as_str())
    }

    fn body_bytes(&self) -> usize {
        let length_bytes = self.bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
        self.bytes.len() - 1 - length_bytes
    }

    /// What the fields that they read take, in packets that end with a field of known length.
    fn content_bytes(&self) -> Option<usize> {
        let text = |value: &Value| value.as_str().map(|text| 2 + text.len());
        let binary = |value: &Value| value.as_str().map(|hex| 2 + hex.len() / 2);
        match self.kind() {
            "pingreq" | "disconnect" => Some(0),
            "puback" | "pubrec" | "pubrel" | "pubcomp" => Some(2),
            "connect" => {
                let packet = self.packet;
                let fields = [
                    text(&packet["clientId"]),
                    text(&packet["will"]["topic"]),
                    binary(&packet["will"]["payload"]),
                    text(&packet["username"]),
                    binary(&packet["password"]),
                ];
                Some(10 + fields.into_iter().flatten().sum::<usize>())
            }
            _ => None,
        }
    }
}

pub const CLASSES: [Class; 14] = [
    Class {
        name: "a type that only servers send",
        reference: "table 2.1",
        is_it: |seen| {
            let is_a_servers = ["connack", "suback", "unsuback", "pingresp"].contains(&seen.kind());
            is_a_servers && matches!(seen.ours, Err(Malformed::Type(2 | 9 | 11 | 13)))
        },
    },
    Class {
        name: "DUP at QoS 0",
        reference: "MQTT-3.3.1-2",
        is_it: |seen| {
            let packet = seen.packet;
            seen.refused_as(Malformed::Flags) && packet["dup"] == true && packet["qos"] == 0
        },
    },
    Class {
        name: "packet id 0",
        reference: "MQTT-2.3.1-1",
        is_it: |seen| seen.refused_as(Malformed::Id) && seen.packet["id"] == 0,
    },
    Class {
        name: "no room for a packet id, which they read as -1",
        reference: "2.3.1",
        is_it: |seen| seen.refused_as(Malformed::Short) && seen.packet["id"] == -1,
    },
    Class {
        name: "an empty topic, or one with a wildcard or NUL",
        reference: "MQTT-3.3.2-2, MQTT-4.7.1-1, MQTT-4.7.3-1, MQTT-4.7.3-2",
        is_it: |seen| {
            let bad = |topic: &str| topic.is_empty() || topic.contains(['+', '#', '\0']);
            seen.refused_as(Malformed::Topic) && seen.topic().is_some_and(bad)
        },
    },
    Class {
        name: "text that is not UTF-8, which they replace by U+FFFD",
        reference: "MQTT-1.5.3-1",
        is_it: |seen| {
            let replaced = |text: &&str| text.contains('\u{fffd}');
            seen.refused_as(Malformed::Text) && seen.texts().iter().any(replaced)
        },
    },
    Class {
        name: "NUL in a text",
        reference: "MQTT-1.5.3-2",
        is_it: |seen| seen.refused_as(Malformed::Text) && seen.texts().iter().any(|text| text.contains('\0')),
    },
    Class {
        name: "another protocol, or another level of it",
        reference: "MQTT-3.1.2-1, MQTT-3.1.2-2",
        is_it: |seen| {
            let packet = seen.packet;
            let is_ours = packet["protocolId"] == "MQTT" && packet["protocolVersion"] == 4;
            seen.refused_as(Malformed::Protocol) && (!is_ours || packet["bridge"] == true)
        },
    },
    Class {
        name: "a password without a user name",
        reference: "MQTT-3.1.2-22",
        is_it: |seen| {
            let packet = seen.packet;
            seen.refused_as(Malformed::ConnectFlags)
                && packet["username"].is_null()
                && !packet["password"].is_null()
        },
    },
    Class {
        name: "a will of QoS 3",
        reference: "MQTT-3.1.2-14",
        is_it: |seen| seen.refused_as(Malformed::QoS) && seen.packet["will"]["qos"] == 3,
    },
    Class {
        name: "no filter",
        reference: "MQTT-3.8.3-3, MQTT-3.10.3-2",
        is_it: |seen| {
            seen.refused_as(Malformed::NoFilters)
                && seen.packet["filters"].as_array().is_some_and(Vec::is_empty)
        },
    },
    Class {
        name: "bytes after the last field",
        reference: "2.2.3",
        is_it: |seen| {
            seen.refused_as(Malformed::Long)
                && seen.content_bytes().is_some_and(|bytes| bytes < seen.body_bytes())
        },
    },
    Class {
        name: "more than we take",
        reference: "limits.max_packet_bytes; no statement of the standard",
        is_it: |seen| {
            let is_more = |bytes: usize, limit: usize| bytes > limit && limit == MAX_PACKET_BYTES;
            matches!(seen.ours, Err(Malformed::Oversize { bytes, limit }) if is_more(*bytes, *limit))
        },
    },
    Class {
        name: "flags that they judge at the first byte, and we with the whole packet",
        reference: "MQTT-2.2.2-2, and MQTT-3.3.1-4 for QoS 3",
        is_it: |seen| {
            let error = seen.error.as_str().unwrap_or_default();
            let of_flags = error.starts_with("Invalid header flag bits") || error.contains("both QoS bits");
            matches!(seen.ours, Ok(Decoded::Incomplete(_))) && of_flags
        },
    },
];

pub const ALIKE: [&str; 3] = ["read alike", "awaited alike", "refused alike"];

/// One of `ALIKE`, or the class of the difference, or an error if there is none.
pub fn difference(
    bytes: &[u8],
    ours: &Result<Decoded, Malformed>,
    theirs: &Value,
) -> Result<&'static str, ()> {
    let [read, awaited, refused] = ALIKE;
    let (alike, same) = match ours {
        Ok(Decoded::Packet(packet)) => (read, shown(packet) == comparable(&theirs["packet"])),
        Ok(Decoded::Incomplete(_)) => (awaited, theirs["waits"] == true),
        Err(_) => (refused, theirs["error"].is_string()),
    };
    if same {
        return Ok(alike);
    }
    let seen = Seen { bytes, ours, packet: &theirs["packet"], error: &theirs["error"] };
    let class = CLASSES.iter().find(|class| (class.is_it)(&seen));
    class.map(|class| class.name).ok_or(())
}
