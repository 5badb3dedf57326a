//! The listener's limits, and the metrics.

use std::time::Duration;

use tidegate_alarms::AlarmEvent;
use tidegate_ingest::{api::HttpListener, view::Figures};
use tidegate_service::http::Bounds;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{PATIENCE, Served, header, raise};

fn stalling(listener: TcpListener, max_connections: usize, stall_limit: Duration) -> HttpListener {
    let bounds = Bounds {
        max_connections,
        max_connections_of_address: max_connections,
        head_limit: PATIENCE,
        body_limit: PATIENCE,
        stall_limit,
    };
    HttpListener::with_bounds(listener, bounds)
}

#[tokio::test]
async fn metrics_are_open_metrics_and_name_no_device() {
    let served = Served::start().await;
    served.source.world.lock().unwrap().figures = Figures {
        readings_stored: 12_345,
        map_used_bytes: 7,
        alarm_raises: [1, 2, 3, 4],
        alarms_active: [5, 6, 7, 8],
        alarms_unacknowledged: [9, 10, 11, 12],
        ..Figures::default()
    };
    served.get("/api/v1/readings?device=board-1").await;
    served.get("/api/v1/latest?nonsense=board-1").await;
    served.get("/board-1").await;
    let response = served.get("/metrics").await;
    assert!(header(&response, "content-type").starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        "tidegate_ingest_readings_stored_total 12345",
        "tidegate_ingest_map_used_bytes 7",
        "tidegate_ingest_alarm_raises_total{priority=\"critical\"} 1",
        "tidegate_ingest_alarms_active{priority=\"high\"} 6",
        "tidegate_ingest_alarms_unacknowledged{priority=\"low\"} 12",
        "tidegate_ingest_broker_connected 1",
        "tidegate_ingest_http_requests_total{route=\"/api/v1/readings\",status=\"200\"} 1",
        "tidegate_ingest_http_requests_total{route=\"/api/v1/latest\",status=\"400\"} 1",
        "tidegate_ingest_http_requests_total{route=\"none\",status=\"404\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("board-1"));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let stall_limit = Duration::from_millis(200);
    let served = Served::start_with(|listener| stalling(listener, 8, stall_limit)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client
        .write_all(b"GET /api/v1/events?since=beginning HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 9];
    timeout(PATIENCE, client.read_exact(&mut first)).await.unwrap().unwrap();
    // More than both sockets' buffers hold, with room for the stream to keep up until they are full.
    let event = AlarmEvent { message: "x".repeat(4_000), ..raise(1) };
    let closed = async {
        for sent in 1.. {
            served.source.commit(event.clone());
            if sent % 16 == 0 {
                tokio::task::yield_now().await;
            }
            if sent % 1024 == 0 && served.text("/metrics").await.contains("tidegate_ingest_event_streams 0\n")
            {
                break;
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("the stream stays open");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let served = Served::start_with(|listener| stalling(listener, 1, PATIENCE)).await;
    let ask = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(ask).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(ask).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, first.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // While the first lives, a third request on it is answered and the second is not.
    let mut rest = vec![0; 4096];
    let mut seen = first.read(&mut rest).await.unwrap();
    first.write_all(ask).await.unwrap();
    seen += timeout(PATIENCE, first.read(&mut rest)).await.unwrap().unwrap();
    assert!(seen > 0);
    assert_eq!(second.try_read(&mut answer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    timeout(PATIENCE, second.read_exact(&mut answer)).await.expect("no place came free").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}
