//! Floods of connections, slow ones, and ones that vanish.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::siege::{Besieged, Flow, MIB, THERE};
use crate::raw::{Raw, connect, dial, packet, publish, subscribe};
use crate::support::PATIENCE;
use crate::trusted::Trusted;

/// Sends byte by byte until the far end hangs up.
async fn trickle(mut stream: TcpStream, bytes: Vec<u8>) {
    for byte in bytes.iter().cycle() {
        let mut answer = [0; 64];
        tokio::select! {
            read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                if stream.write_all(&[*byte]).await.is_err() { return }
            }
        }
    }
}

async fn all_are_cut_off(trickling: Vec<impl Future<Output = ()> + Send + 'static>) {
    let tasks: Vec<_> = trickling.into_iter().map(tokio::spawn).collect();
    for task in tasks {
        timeout(PATIENCE, task).await.expect("it is cut off").expect("it does not panic");
    }
}

#[tokio::test]
async fn a_connect_that_comes_byte_by_byte_has_no_more_time_than_another() {
    const SLOW: usize = 100;
    let mut broker = Besieged::start("limits.connect_timeout_ms = 500\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        // Longer than it gets through in its time.
        let bytes = packet(0x10, &[connect("viewer", "slow", 60), vec![7; 10_000]].concat());
        slow.push(trickle(dial(broker.mqtt, THERE).await, bytes));
    }
    flow.goes_on().await;
    all_are_cut_off(slow).await;
    broker
        .until("tidegate_broker_connections_refused_total{reason=\"connect-timeout\"}", |n| n == SLOW as u64)
        .await;
    broker.assert_grew_by_at_most(before, 0);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn a_tls_handshake_that_comes_byte_by_byte_has_no_more_time_than_another() {
    const SLOW: u64 = 100;
    let trusted = Trusted::new();
    let mut broker = Besieged::start_trusted(&trusted, "limits.connect_timeout_ms = 2000\n");
    let mut flow = Flow::start_trusted(&broker, &trusted).await;
    let before = broker.resident();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        // A handshake record of 16,000 bytes that begins like a ClientHello.
        let hello = [&[0x16, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c, 3, 3][..], &[7; 16_000]].concat();
        slow.push(trickle(dial(broker.mqtt, THERE).await, hello));
    }
    flow.goes_on().await;
    all_are_cut_off(slow).await;
    let failed = "tidegate_broker_tls_handshakes_failed_total{reason=\"timeout\"}";
    broker.until(failed, |count| count == SLOW).await;
    broker.assert_withstood(flow, before, 0).await;
}

#[tokio::test]
async fn a_packet_that_trickles_is_cut_off_and_costs_what_it_sent() {
    const SLOW: usize = 64;
    let mut broker = Besieged::start("limits.packet_timeout_ms = 1000\nlimits.write_timeout_ms = 500\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let mut stream = dial(broker.mqtt, THERE).await;
        stream.write_all(&connect("operator", &format!("slow{number}"), 0)).await.expect("sent");
        stream.read_exact(&mut [0; 4]).await.expect("CONNACK");
        // All of a mebibyte is promised.
        let head = publish(0x32, "home/x", 1, &vec![0; 1_000_000]);
        stream.write_all(&head[..20]).await.expect("sent");
        slow.push(trickle(stream, vec![0]));
    }
    flow.goes_on().await;
    all_are_cut_off(slow).await;
    let ended = "tidegate_broker_connections_ended_total{reason=\"packet-timeout\"}";
    broker.until(ended, |count| count == SLOW as u64).await;
    // Not the 64 MiB that were promised: what is read at once, for each.
    broker.assert_grew_by_at_most(before, SLOW as u64 * 128 * 1024);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn a_packet_may_come_slowly_as_long_as_packets_come_to_their_end() {
    let broker = Besieged::start("limits.packet_timeout_ms = 1000\nlimits.write_timeout_ms = 500\n");
    let mut slow = broker.enter(THERE, "operator", "slow").await;
    // Always in the midst of one, for longer than any may take.
    let ping_and_a_half = [0xc0, 0, 0xc0];
    slow.send(&ping_and_a_half).await;
    for _ in 0..30 {
        assert_eq!(slow.packet().await.as_deref(), Some(&[0xd0, 0][..]));
        tokio::time::sleep(Duration::from_millis(100)).await;
        slow.send(&[0, 0xc0]).await;
    }
}

#[tokio::test]
async fn a_flood_of_connections_is_closed_and_counted_and_costs_nobody_his_place() {
    const EACH: usize = 300;
    let mut broker = Besieged::start("limits.connect_timeout_ms = 60000\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut flood = Vec::new();
    for host in 2..8 {
        for _ in 0..EACH {
            flood.push(dial(broker.mqtt, Ipv4Addr::new(127, 0, 0, host)).await);
        }
    }
    // 128 of an address and 512 in all may say nothing.
    let refused = "tidegate_broker_connections_refused_total{reason=\"max-handshakes";
    broker.until(&format!("{refused}-per-address\"}}"), |count| count >= 3 * (EACH as u64 - 128)).await;
    broker.until(&format!("{refused}\"}}"), |count| count > 0).await;
    let open = broker.metric("tidegate_broker_connections").await;
    assert_eq!(open, 512 + 2, "the strangers that may be, and the honest");
    flow.goes_on().await;
    broker.assert_grew_by_at_most(before, 512 * 32 * 1024);
    drop(flood);
    broker.until("tidegate_broker_connections", |open| open == 2).await;
    assert!(broker.enter(THERE, "viewer", "honest").await.is_alive().await, "all places came back");
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

/// Closes with a reset and not a word.
fn vanish(stream: TcpStream) {
    stream.set_zero_linger().expect("an option of TCP");
}

#[tokio::test]
async fn who_vanishes_at_any_moment_leaves_nothing_behind() {
    const ROUNDS: usize = 100;
    let mut broker = Besieged::start("");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let hello = |number: usize| connect("operator", &format!("gone{number}"), 0);
    let message = publish(0x34, "home/x", 1, &[7; 10_000]);
    for round in 0..ROUNDS {
        for (number, said) in [
            vec![],
            hello(0)[..5].to_vec(),
            hello(1),
            [hello(2), subscribe(1, &[("#", 2)])].concat(),
            [hello(3), message[..5_000].to_vec()].concat(),
            [hello(4), message.clone()].concat(),
        ]
        .into_iter()
        .enumerate()
        {
            let mut stream = dial(broker.mqtt, THERE).await;
            stream.write_all(&said).await.expect("sent");
            if number > 1 && round % 2 == 0 {
                // Half of them hear that they are in.
                stream.read_exact(&mut [0; 4]).await.expect("CONNACK");
            }
            vanish(stream);
        }
    }
    flow.goes_on().await;
    broker.until("tidegate_broker_connections", |open| open == 2).await;
    broker.assert_grew_by_at_most(before, 8 * MIB);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn who_never_reads_pins_no_more_than_his_share() {
    const STUCK: usize = 64;
    const MESSAGE: usize = 64 * 1024;
    const SENT: usize = 800;
    let mut broker = Besieged::start("limits.write_timeout_ms = 2000\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut stuck = Vec::new();
    for number in 0..STUCK {
        let mut raw = broker.enter(THERE, "operator", &format!("stuck{number}")).await;
        raw.send(&subscribe(1, &[("home/#", 0)])).await;
        raw.packet().await.expect("SUBACK");
        stuck.push(raw);
    }
    let mut loud = broker.enter(THERE, "operator", "loud").await;
    for _ in 0..SENT {
        loud.send(&publish(0x32, "home/x", 1, &[7; MESSAGE])).await;
        loud.packet().await.expect("PUBACK");
    }
    flow.goes_on().await;
    let ended = "tidegate_broker_connections_ended_total{reason=\"stalled\"}";
    broker.until(ended, |count| count == STUCK as u64).await;
    // Together they pin the same 300 messages; each has half a mebibyte of written ones, and one message.
    let pinned = 300 * MESSAGE as u64 + STUCK as u64 * (MIB / 2 + MESSAGE as u64);
    broker.assert_grew_by_at_most(before, pinned);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn who_declares_256_mib_is_cut_off_by_the_header_alone() {
    const HUGE: usize = 200;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut declared = Vec::new();
    for number in 0..HUGE {
        for kind in [0x10, 0x30, 0x82, 0xa2] {
            let mut raw = Raw::dial(broker.mqtt, THERE).await;
            if kind != 0x10 {
                raw.send(&connect("operator", &format!("huge{number}"), 0)).await;
                raw.packet().await.expect("CONNACK");
            }
            raw.send(&[kind, 0xff, 0xff, 0xff, 0x7f, 0, 4]).await;
            declared.push(raw);
        }
        for mut raw in declared.drain(..) {
            assert!(raw.is_cut_off().await);
        }
    }
    broker.assert_withstood(flow, before, 0).await;
}
