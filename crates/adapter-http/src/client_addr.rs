//! Where a request comes from: the peer, or, behind a proxy that is trusted, what that proxy wrote down.
//!
//! Of `X-Forwarded-For` (or, where that is missing, `Forwarded`) only the last entry counts: it is the one that the
//! trusted proxy itself added. Everything before it was written by whoever sent the request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use mosaic_domain::ClientId;
use mosaic_domain::activity::{Note, Origin};

/// Whether the last hop in front of the server may speak for others. Lives in the app's data; untrusted by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrustProxy(pub bool);

/// Stands for the address of what has none.
pub(crate) const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

const X_FORWARDED_FOR: HeaderName = header::X_FORWARDED_FOR;

/// The address that the request comes from. What comes by a Unix socket, of which no trusted proxy says more, has none: all of
/// that together is `0.0.0.0`.
pub fn of(request: &HttpRequest) -> IpAddr {
    let trusted = request.app_data::<TrustProxy>().is_some_and(|trust| trust.0);
    let forwarded = trusted.then(|| forwarded(request.headers())).flatten();
    let peer = request.peer_addr().map(|peer| peer.ip());
    forwarded.or(peer).unwrap_or(UNKNOWN).to_canonical()
}

/// Where a request comes from, and from which device, for the trail of an account.
pub(crate) fn origin(request: &HttpRequest, client: Option<&ClientId>) -> Origin {
    let agent = request.headers().get(header::USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Origin {
        address: Some(of(request)).filter(|address| *address != UNKNOWN),
        client: client.cloned(),
        agent: agent.and_then(|agent| Note::of(&agent)),
    }
}

/// The address that the request comes from, for the log; `-` where it has none.
pub(crate) fn shown(request: &HttpRequest) -> String {
    match of(request) {
        UNKNOWN => "-".to_owned(),
        address => address.to_string(),
    }
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    if headers.contains_key(X_FORWARDED_FOR) {
        return last_entry(headers, &X_FORWARDED_FOR).and_then(address);
    }
    last_entry(headers, &header::FORWARDED)?
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
        .and_then(|(_, value)| address(value.trim().trim_matches('"')))
}

/// The last entry of the last header of that name: proxies add at the end.
fn last_entry<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get_all(name)
        .next_back()?
        .to_str()
        .ok()?
        .rsplit(',')
        .next()
        .map(str::trim)
}

/// An address with or without a port, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    plain
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn seen(trust: bool, headers: &[(&'static str, &'static str)]) -> String {
        let mut request = TestRequest::get()
            .app_data(TrustProxy(trust))
            .peer_addr("198.51.100.7:1234".parse().unwrap());
        for header in headers {
            request = request.append_header(*header);
        }
        of(&request.to_http_request()).to_string()
    }

    #[test]
    fn without_trust_only_the_peer_counts() {
        assert_eq!(seen(false, &[("x-forwarded-for", "203.0.113.1")]), "198.51.100.7");
    }

    #[test]
    fn with_trust_the_entry_of_the_last_proxy_counts() {
        assert_eq!(
            seen(true, &[("x-forwarded-for", "10.0.0.1, 203.0.113.1")]),
            "203.0.113.1"
        );
        assert_eq!(
            seen(
                true,
                &[
                    ("x-forwarded-for", "10.0.0.1"),
                    ("x-forwarded-for", "203.0.113.2")
                ]
            ),
            "203.0.113.2"
        );
        assert_eq!(
            seen(true, &[("x-forwarded-for", "[2001:db8::1]:443")]),
            "2001:db8::1"
        );
        assert_eq!(
            seen(true, &[("x-forwarded-for", "::ffff:203.0.113.9")]),
            "203.0.113.9"
        );
        assert_eq!(
            seen(
                true,
                &[("forwarded", "for=10.0.0.1, for=\"[2001:db8::2]:1\";proto=https")]
            ),
            "2001:db8::2"
        );
        assert_eq!(seen(true, &[]), "198.51.100.7");
        assert_eq!(seen(true, &[("x-forwarded-for", "unknown")]), "198.51.100.7");
    }
}
