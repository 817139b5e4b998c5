//! Those who listen for changes, when the server stops.

use reqwest::{Method, Response};

use crate::harness::Signal;
use crate::upkeep::support::{Place, on_both_stores};

on_both_stores! {
    a_server_that_stops_ends_the_streams_of_those_who_listen
}

/// Reads on until a text comes.
async fn read_until(stream: &mut Response, wanted: &str) {
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = stream.chunk().await.unwrap().expect("more to come");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

async fn a_server_that_stops_ends_the_streams_of_those_who_listen(place: Place) {
    let mut server = place.start();
    let phone = server.device("phone").await;
    let request = phone.request(Method::GET, "/sync/events");
    let mut stream = request.send().await.unwrap().error_for_status().unwrap();
    read_until(&mut stream, "data:").await;
    let memo = serde_json::json!({"content": "there is something to pull"});
    phone.post("/memos", &memo).await.ok();
    read_until(&mut stream, "data:").await;
    server.signal(Signal::TERM);
    // In good order: a stream that is cut off by the time limit for requests in flight ends with an error.
    while stream.chunk().await.unwrap().is_some() {}
    let ended = tokio::task::spawn_blocking(move || server.wait());
    let (status, log) = ended.await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    place.remove().await;
}
