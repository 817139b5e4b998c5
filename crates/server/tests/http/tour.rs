//! The tour of the README, run as it stands there.

use std::process::Command;

use crate::harness::{ADMIN_PASSWORD, Server};

const README: &str = include_str!("../../../../README.md");

/// The shell blocks of the tour, in order.
fn tour() -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in README.lines() {
        match line {
            "```sh tour" => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

#[test]
fn the_readme_s_tour_works_as_it_stands_and_again() {
    let server = Server::start();
    for _ in 0..2 {
        takes(&tour(), &server);
    }
}

fn takes(script: &str, server: &Server) {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env("MOSAIC", &server.url)
        .env("PASSWORD", ADMIN_PASSWORD)
        .output()
        .expect("bash runs");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut rest = said.as_str();
    let expected: Vec<_> = script
        .lines()
        .filter_map(|line| line.strip_prefix("# → "))
        .collect();
    assert!(expected.len() >= 7, "the tour says what to expect");
    for fragment in expected {
        let at = rest
            .find(fragment)
            .unwrap_or_else(|| panic!("`{fragment}` is not in what follows:\n{rest}"));
        rest = &rest[at + fragment.len()..];
    }
}
