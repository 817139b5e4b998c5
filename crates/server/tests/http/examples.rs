//! The examples of docs/examples.md, replayed in order.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Client, Server};

const EXAMPLES: &str = include_str!("../../../../docs/examples.md");

/// One request of a device, and what must be in the answer.
#[derive(Debug)]
struct Example {
    device: String,
    method: Method,
    path: String,
    body: Option<Value>,
    status: u16,
    answer: Option<Value>,
}

impl Example {
    /// Reads `device METHOD /path`, the body, `→ status`, what is in the answer.
    fn parse(block: &str) -> Self {
        let (request, answer) = block.split_once("→ ").expect("an answer");
        let (line, body) = request.split_once('\n').expect("a request line");
        let (status, answer) = answer.split_once('\n').expect("a status");
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().expect("device, method and path");
        Self {
            device: word(),
            method: word().parse().expect("a method"),
            path: word(),
            body: json(body),
            status: status.trim().parse().expect("a status"),
            answer: json(answer),
        }
    }

    async fn replay(&self, client: &Client) {
        let request = client.request(self.method.clone(), &self.path);
        let request = match &self.body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = client.send(request).await;
        assert_eq!(answer.status.as_u16(), self.status, "{self:?}: {}", answer.body);
        if let Some(expected) = &self.answer {
            assert!(contains(&answer.body, expected), "{self:?}: {}", answer.body);
        }
    }
}

fn json(text: &str) -> Option<Value> {
    let text = text.trim();
    (!text.is_empty()).then(|| serde_json::from_str(text).expect("JSON in an example"))
}

/// Whether a value has everything that is expected; objects may have more fields.
fn contains(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| value.get(name).is_some_and(|value| contains(value, expected))),
        (Value::Array(value), Value::Array(expected)) => {
            value.len() == expected.len() && value.iter().zip(expected).all(|(v, e)| contains(v, e))
        }
        _ => value == expected,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_protocol_are_true() {
    let server = Server::start();
    let mut devices: HashMap<String, Client> = HashMap::new();
    let blocks = EXAMPLES
        .split("```http\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block"));
    let examples: Vec<Example> = blocks.map(Example::parse).collect();
    assert!(examples.len() >= 10, "{} examples", examples.len());
    for example in examples {
        if !devices.contains_key(&example.device) {
            devices.insert(example.device.clone(), server.device(&example.device).await);
        }
        example.replay(&devices[&example.device]).await;
    }
}
