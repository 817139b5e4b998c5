//! What is counted of requests.

use mosaic_ports::{Figures as _, Reading, Spread};

use super::*;

/// The readings of a figure, each with the values of its labels; of histograms, how many measurements there are.
fn readings(figures: &HttpFigures, name: &str) -> Vec<(String, u64)> {
    let figures = figures.figures();
    let figure = figures.iter().find(|figure| figure.name == name).unwrap();
    let readings = figure.series.iter().map(|series| {
        let values: Vec<_> = series.labels.iter().map(|(_, value)| value.as_ref()).collect();
        let reading = match &series.reading {
            Reading::Counter(count) | Reading::Gauge(count) | Reading::Histogram(Spread { count, .. }) => {
                *count
            }
            other => panic!("{other:?}"),
        };
        (values.join(" "), reading)
    });
    readings.collect()
}

fn reading(figures: &HttpFigures, name: &str) -> u64 {
    readings(figures, name)[0].1
}

#[actix_web::test]
async fn a_request_is_counted_by_the_pattern_of_its_route() {
    let server = run(&settings());
    for (method, path) in [
        ("GET", "/items/word"),
        ("GET", "/api/items/word"),
        ("HEAD", "/items/word"),
        ("PUT", "/items/word"),
        ("GET", "/items/other"),
        ("GET", "/items/special"),
        ("DELETE", "/items/word"),
        ("BREW", "/items/word"),
        ("GET", "/nothing/here"),
        ("GET", "/panic"),
        ("GET", "/openapi.json"),
        ("GET", "/docs/nothing"),
    ] {
        server.request(method, path, "", "").await;
    }
    let expected = [
        ("GET /docs/{file:.*} 404", 1),
        ("GET /items/special 200", 1),
        ("GET /items/{id} 200", 2),
        ("GET /items/{id} 422", 1),
        ("HEAD /items/{id} 200", 1),
        ("PUT /items/{id} 200", 1),
        ("GET /openapi.json 200", 1),
        ("GET /panic 500", 1),
        ("GET unknown 404", 1),
        ("DELETE unknown 405", 1),
        ("other unknown 405", 1),
    ];
    let expected = expected.map(|(labels, count)| (labels.to_owned(), count));
    assert_eq!(readings(&server.figures, "mosaic_http_requests_total"), expected);
    let timed = readings(&server.figures, "mosaic_http_request_duration_seconds");
    assert!(timed.contains(&("GET /items/{id}".to_owned(), 3)), "{timed:?}");
    let problems = readings(&server.figures, "mosaic_http_problems_total");
    for problem in [("internal", 1), ("method_not_allowed", 2), ("unknown_route", 2)] {
        assert!(
            problems.contains(&(problem.0.to_owned(), problem.1)),
            "{problems:?}"
        );
    }
    server.handle.stop(true).await;
}

#[actix_web::test]
async fn who_hangs_up_is_counted_and_does_not_go_on_running() {
    let server = run(&settings());
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    server.gate.entered.notified().await;
    assert_eq!(reading(&server.figures, "mosaic_http_requests_in_flight"), 1);
    drop(stream);
    let given_up = async {
        while reading(&server.figures, "mosaic_http_requests_abandoned_total") == 0 {
            rt::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    assert_eq!(reading(&server.figures, "mosaic_http_requests_in_flight"), 0);
    assert_eq!(readings(&server.figures, "mosaic_http_requests_total"), []);
    server.handle.stop(true).await;
}
