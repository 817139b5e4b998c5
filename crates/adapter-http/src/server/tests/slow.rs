//! Clients that say nothing, or too much, or slowly; and a stop.

use super::*;

#[actix_web::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let server = run(&settings());
    let request = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n{";
    assert_problem(&server.raw(request).await, 413, "body_too_large");
}

#[actix_web::test]
async fn a_silent_client_is_dropped() {
    let server = run(&HttpSettings {
        head_timeout: Duration::from_millis(200),
        ..settings()
    });
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(b"GET /health HTTP/1.1\r\nhost:").await.unwrap();
    for stream in [&mut silent, &mut half] {
        let text = String::from_utf8(read_to_end(stream).await).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}

#[actix_web::test]
async fn half_a_head_on_a_used_connection_is_dropped_too() {
    let (head_timeout, keep_alive) = (Duration::from_millis(200), Duration::from_millis(200));
    let server = run(&HttpSettings {
        keep_alive,
        head_timeout,
        ..settings()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let text = String::from_utf8(read_to_end(&mut stream).await).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
}

#[actix_web::test]
async fn a_slow_answer_is_not_taken_for_a_silent_client() {
    let (head_timeout, keep_alive) = (Duration::from_millis(50), Duration::from_millis(50));
    let server = run(&HttpSettings {
        keep_alive,
        head_timeout,
        ..settings()
    });
    let held = server.get("/held");
    let release = async {
        server.gate.entered.notified().await;
        // Not synchronisation: the time that passes is what the watch must not count.
        rt::time::sleep(Duration::from_millis(400)).await;
        server.gate.open.notify_one();
    };
    let (answer, ()) = tokio::join!(held, release);
    assert_eq!(answer.body, b"finished");
}

#[actix_web::test]
async fn a_slow_body_times_out() {
    let body = BodyLimits {
        timeout: Duration::from_millis(200),
        ..BodyLimits::default()
    };
    let server = run(&HttpSettings { body, ..settings() });
    let answer = server
        .raw("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n{\"text\"")
        .await;
    assert_problem(&answer, 408, "request_timeout");
}

#[actix_web::test]
async fn a_graceful_stop_lets_requests_finish_and_does_not_wait_for_idle_connections() {
    let server = run(&settings());
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let held = server.get("/held");
    let stop = async {
        server.gate.entered.notified().await;
        let stopped = server.handle.stop(true);
        server.gate.open.notify_one();
        stopped.await;
    };
    let (answer, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(held, stop) })
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, b"finished".as_slice())
    );
    assert!(server.ended.await.unwrap().is_ok());
    assert!(TcpStream::connect(server.address).await.is_err());
}
