//! What a connection does with requests that come early, slowly, in old forms, in doubtful ones, or with a question first.

use super::*;

/// Everything that a server answers to these bytes, until it has said nothing for a while or closes.
async fn told(server: &Running, bytes: &[u8]) -> String {
    let mut stream = server.connect().await;
    stream.write_all(bytes).await.unwrap();
    rest_of(&mut stream).await
}

async fn rest_of(stream: &mut TcpStream) -> String {
    String::from_utf8(read_to_end(stream).await).unwrap()
}

const GET: &str = "GET /bytes HTTP/1.1\r\nhost: x\r\n\r\n";
const HEAD: &str = "HEAD /bytes HTTP/1.1\r\nhost: x\r\n\r\n";
const LAST: &str = "GET /items/special HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[actix_web::test]
async fn each_of_several_pipelined_requests_is_answered_as_if_it_were_alone() {
    let server = run(&settings());
    let post = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n{\"text\": \"POST\"}";
    let chunked = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"tex\r\nb\r\nt\": \"POST\"}\r\n0\r\n\r\n";
    for requests in [
        vec![GET, HEAD],
        vec![HEAD, GET],
        vec![HEAD, post, GET, chunked, HEAD, HEAD, GET, post],
    ] {
        let bodies = requests.iter().filter(|request| **request == GET).count();
        let posts = requests
            .iter()
            .filter(|request| request.starts_with("POST"))
            .count();
        let all = [requests.concat().as_str(), LAST].concat();
        let mut answers = vec![told(&server, all.as_bytes()).await];
        // The same, a byte at a time, and cut in two.
        let mut stream = server.connect().await;
        stream.set_nodelay(true).unwrap();
        for byte in all.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
            rt::task::yield_now().await;
        }
        answers.push(rest_of(&mut stream).await);
        for answer in answers {
            assert_eq!(
                answer.matches("HTTP/1.1 200").count(),
                requests.len() + 1,
                "{answer}"
            );
            assert_eq!(
                answer.matches("long long ").count(),
                bodies * 1_000,
                "{requests:?}"
            );
            assert_eq!(
                answer.matches("{\"text\":\"POST\"}").count(),
                posts,
                "{requests:?}"
            );
            assert!(answer.ends_with("special"), "{answer}");
        }
    }
}

/// Connections that have sent large heads keep the memory of them: there is a limit for all of them together, which leaves those
/// with small ones alone.
#[actix_web::test]
async fn large_heads_share_a_budget_for_as_long_as_their_connections_last() {
    let server = run(&HttpSettings {
        memory_budget: 0,
        ..settings()
    });
    let large = format!(
        "GET /bytes HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n",
        "a".repeat(38_000)
    );
    let ask = async || {
        let mut stream = server.connect().await;
        stream.write_all(large.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        (stream, String::from_utf8(status.to_vec()).unwrap())
    };
    let mut open = Vec::new();
    for _ in 0..4 {
        let (stream, status) = ask().await;
        assert_eq!(status, "HTTP/1.1 200");
        open.push(stream);
    }
    let refused = server.raw(&large).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &"busy".into()));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(server.get("/items/special").await.status, 200);
    open.pop();
    let freed = async { while ask().await.1 != "HTTP/1.1 200" {} };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("a closed connection gives back what it held");
}

#[actix_web::test]
async fn a_request_is_not_looked_at_before_the_one_before_it_is_answered() {
    let server = run(&settings());
    let mut stream = server.connect().await;
    let requests = ["GET /held HTTP/1.1\r\nhost: x\r\n\r\n", "nonsense\r\n\r\n"].concat();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let entered = tokio::time::timeout(PATIENCE, server.gate.entered.notified());
    entered.await.expect("the first one is looked at");
    server.gate.open.notify_one();
    let answers = rest_of(&mut stream).await;
    let (first, second) = answers.split_once("finished").unwrap();
    assert!(
        first.starts_with("HTTP/1.1 200") && second.starts_with("HTTP/1.1 400"),
        "{answers}"
    );
}

#[actix_web::test]
async fn an_answer_to_http_1_0_ends_with_its_connection_and_is_not_chunked() {
    let server = run(&settings());
    for extra in ["", "accept-encoding: gzip\r\n", "connection: keep-alive\r\n"] {
        let answer = server.raw(&format!("GET /large HTTP/1.0\r\n{extra}\r\n")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        assert!(!answer.body.is_empty());
        if let Some(length) = answer.header("content-length") {
            assert_eq!(length, answer.body.len().to_string());
        }
    }
    let refused = server.raw("GET /nowhere HTTP/1.0\r\n\r\n").await;
    assert_problem(&refused, 404, "unknown_route");
}

#[actix_web::test]
async fn every_head_has_the_same_deadline_that_its_first_byte_begins() {
    let server = run(&HttpSettings {
        head_timeout: Duration::from_millis(300),
        ..settings()
    });
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut drip = b"GET /health HTTP/1.1\r\nx-long: "
        .iter()
        .chain(std::iter::repeat(&b'x'));
    let mut answer = Vec::new();
    let begun = std::time::Instant::now();
    // As long as anything is taken, a byte comes: only a deadline ends this.
    let dripped = async {
        while stream.write_all(&[*drip.next().unwrap()]).await.is_ok() {
            let mut piece = [0; 16 * 1024];
            match tokio::time::timeout(Duration::from_millis(20), stream.read(&mut piece)).await {
                Ok(Ok(read)) if read > 0 => answer.extend_from_slice(&piece[..read]),
                Ok(_) => return,
                Err(_) => {}
            }
        }
    };
    Box::pin(tokio::time::timeout(PATIENCE, dripped)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("HTTP/1.1 408") && answer.contains("request_timeout"),
        "{answer}"
    );
    assert!(begun.elapsed() < PATIENCE);
}

#[actix_web::test]
async fn a_refusal_is_an_answer_like_any_other() {
    let server = run(&settings());
    for (request, status, code) in [
        ("GET /health HTTP/1.1\nhost: x\n\n", 400, "bad_request"),
        (
            "GET /health HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
            400,
            "bad_request",
        ),
        (
            "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", 400, "bad_request"),
        (
            "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: gold\r\n\r\n",
            417,
            "expectation_failed",
        ),
    ] {
        let answer = server.raw(request).await;
        assert_problem(&answer, status, code);
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{answer:?}"
        );
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(40_000));
    assert_problem(&server.raw(&long).await, 414, "uri_too_long");
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "a".repeat(70_000));
    assert_problem(&server.raw(&large).await, 431, "headers_too_large");
}

fn expecting(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{headers}\r\n")
}

#[actix_web::test]
async fn a_client_is_told_to_send_its_body_where_somebody_reads_it_and_nowhere_else() {
    let server = run(&settings());
    let mut stream = server.connect().await;
    for headers in ["content-length: 13\r\n", "transfer-encoding: chunked\r\n"] {
        stream
            .write_all(expecting("/echo", headers).as_bytes())
            .await
            .unwrap();
        let mut word = [0; 25];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
        let body = if headers.starts_with('c') {
            "{\"text\": \"x\"}"
        } else {
            "d\r\n{\"text\": \"x\"}\r\n0\r\n\r\n"
        };
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{\"text\":\"x\"}") {
            let mut piece = [0; 1_024];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "{answer:?}");
            answer.extend_from_slice(&piece[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    for (path, headers, status, code) in [
        ("/echo", "content-length: 999999999\r\n", 413, "body_too_large"),
        (
            "/echo",
            "content-length: 9\r\ncontent-type: text/plain\r\n",
            415,
            "unsupported_media_type",
        ),
        ("/nowhere", "content-length: 9\r\n", 404, "unknown_route"),
        ("/nowhere", "transfer-encoding: chunked\r\n", 404, "unknown_route"),
        (
            "/items/special",
            "content-length: 9\r\n",
            405,
            "method_not_allowed",
        ),
    ] {
        // Its client keeps the connection open, and sends nothing more.
        let answer = server.raw(&expecting(path, headers)).await;
        assert_problem(&answer, status, code);
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    }
    // One that does not wait needs no word.
    let at_once = expecting("/echo", "connection: close\r\ncontent-length: 13\r\n") + "{\"text\": \"x\"}";
    assert_eq!(server.raw(&at_once).await.status, 200);
}
