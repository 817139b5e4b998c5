use mosaic_domain::MAX_SAFE_INTEGER;
use mosaic_ports::Opens;

use super::*;

const HOUR: i64 = 3_600_000;
const USER: &str = "0198f3a2-7b1c-7def-8000-1234567890ab";
const FAMILY: &str = "0198f3a2-7b1c-7def-8000-fedcba098765";

fn tokens() -> PasetoTokens {
    PasetoTokens::from_seed([7; 32]).unwrap()
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).unwrap()
}

fn claims() -> AccessClaims {
    AccessClaims {
        user: USER.parse().unwrap(),
        role: Role::User,
        family: FAMILY.parse().unwrap(),
        client: Some("anna-phone".parse().unwrap()),
        issued_at: at(1_000),
        expires_at: at(1_000 + HOUR),
    }
}

/// Signs any payload with the server's own key: what only structure can tell from a token.
fn sign_raw(payload: &str) -> String {
    tokens().sign_for(PURPOSE, payload.as_bytes())
}

fn payload_with(role: &str, expires_at: &str, more: &str) -> String {
    format!(
        r#"{{"user":"{USER}","role":{role},"family":"{FAMILY}","issued_at":1000,"expires_at":{expires_at}{more}}}"#
    )
}

#[track_caller]
fn assert_invalid(token: &str) {
    assert_eq!(
        tokens().verify(token, at(2_000)),
        Err(AccessTokenError::Invalid),
        "{token}"
    );
}

#[test]
fn what_was_signed_is_read_back() {
    let without_client = AccessClaims {
        client: None,
        role: Role::Admin,
        ..claims()
    };
    let longest = AccessClaims {
        client: Some("😀".repeat(64).parse().unwrap()),
        issued_at: at(MAX_SAFE_INTEGER - 1),
        expires_at: at(MAX_SAFE_INTEGER),
        ..claims()
    };
    let quoted = AccessClaims {
        client: Some(r#"","role":"admin"#.parse().unwrap()),
        ..claims()
    };
    for claims in [claims(), without_client, longest, quoted] {
        let token = tokens().sign(&claims).unwrap();
        assert!(token.starts_with("v4.public."));
        assert!(token.len() < 1_024, "{} bytes", token.len());
        assert_eq!(tokens().verify(&token, at(2_000)), Ok(claims));
    }
}

/// What is known to be ours still expires, is none other than itself, and makes way for others.
#[test]
fn a_token_that_was_seen_before_is_looked_at_like_a_new_one() {
    let tokens = PasetoTokens {
        verified: [Mutex::default(), Mutex::default()].into(),
        ..tokens()
    };
    let of = |ms| AccessClaims {
        issued_at: at(ms),
        ..claims()
    };
    let signed: Vec<_> = (0..)
        .take(16)
        .map(|ms| (of(ms), tokens.sign(&of(ms)).unwrap()))
        .collect();
    for _ in 0..2 {
        for (claims, token) in &signed {
            assert_eq!(tokens.verify(token, at(2_000)), Ok(claims.clone()));
        }
    }
    let (claims, token) = &signed[0];
    assert_eq!(
        tokens.verify(token, claims.expires_at),
        Err(AccessTokenError::Expired)
    );
    let forged = format!("{}A", &token[..token.len() - 1]);
    assert_eq!(tokens.verify(&forged, at(2_000)), Err(AccessTokenError::Invalid));
}

/// Instances of two versions serve side by side during an upgrade, so tokens must not change unnoticed.
#[test]
fn tokens_of_earlier_versions_still_verify() {
    let token = concat!(
        "v4.public.eyJ1c2VyIjoiMDE5OGYzYTItN2IxYy03ZGVmLTgwMDAtMTIzNDU2Nzg5MGFiIiwicm9sZSI6InVzZXIiLCJmYW1pbHkiOi",
        "IwMTk4ZjNhMi03YjFjLTdkZWYtODAwMC1mZWRjYmEwOTg3NjUiLCJjbGllbnQiOiJhbm5hLXBob25lIiwiaXNzdWVkX2F0IjoxMDAwLC",
        "JleHBpcmVzX2F0IjozNjAxMDAwfRXK6ZiOyFmicRsjO4WioFP0fyfP6G4ZFWXus9LcVV-WsHv2_4NfsXjZohnf2gZQNE8t3m-B7P4wjD",
        "P2yI0KGAg",
    );
    assert_eq!(tokens().sign(&claims()).unwrap(), token);
    assert_eq!(tokens().verify(token, at(2_000)), Ok(claims()));
}

#[test]
fn a_token_ends_at_its_last_millisecond_by_the_time_it_is_given() {
    let token = tokens().sign(&claims()).unwrap();
    assert!(tokens().verify(&token, at(HOUR + 999)).is_ok());
    for late in [HOUR + 1_000, HOUR + 1_001, MAX_SAFE_INTEGER] {
        assert_eq!(
            tokens().verify(&token, at(late)),
            Err(AccessTokenError::Expired),
            "{late}"
        );
    }
}

#[test]
fn a_clock_that_steps_back_does_not_end_tokens() {
    let token = tokens().sign(&claims()).unwrap();
    assert!(tokens().verify(&token, UnixMillis::ZERO).is_ok());
}

#[test]
fn another_key_is_refused_also_after_expiry() {
    let foreign = PasetoTokens::from_seed([8; 32]).unwrap().sign(&claims()).unwrap();
    assert_invalid(&foreign);
    assert_eq!(
        tokens().verify(&foreign, at(2 * HOUR)),
        Err(AccessTokenError::Invalid)
    );
}

#[test]
fn a_change_of_any_character_is_refused() {
    let token = tokens().sign(&claims()).unwrap();
    for position in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        assert_invalid(&String::from_utf8(bytes).unwrap());
    }
}

#[test]
fn a_truncated_or_extended_token_is_refused() {
    let token = tokens().sign(&claims()).unwrap();
    for length in 0..token.len() {
        assert_invalid(&token[..length]);
    }
    for suffix in [".", ".e30", "A", "=", " ", "\n", "\0", "é"] {
        assert_invalid(&format!("{token}{suffix}"));
    }
    assert_invalid(&format!(" {token}"));
    assert_invalid(&format!("Bearer {token}"));
}

#[test]
fn the_payload_of_one_token_with_the_signature_of_another_is_refused() {
    let somebody_else = AccessClaims {
        user: FAMILY.parse().unwrap(),
        ..claims()
    };
    let own = tokens().sign(&claims()).unwrap();
    let other = tokens().sign(&somebody_else).unwrap();
    // Both payloads are equally long and end alike, so the last 88 characters exchange exactly the signatures.
    let end = own.len() - 88;
    assert_invalid(&format!("{}{}", &other[..end], &own[end..]));
}

/// Made by another library, pasetors, with this key, of this payload, for this purpose.
#[test]
fn a_token_with_a_footer_is_refused() {
    let footed = concat!(
        "v4.public.eyJ1c2VyIjoiMDE5OGYzYTItN2IxYy03ZGVmLTgwMDAtMTIzNDU2Nzg5MGFiIiwicm9sZSI6InVzZXIiLCJmYW1pbH",
        "kiOiIwMTk4ZjNhMi03YjFjLTdkZWYtODAwMC1mZWRjYmEwOTg3NjUiLCJpc3N1ZWRfYXQiOjEwMDAsImV4cGlyZXNfYXQiOjkwMD",
        "B9mcvcibqFWuYsyPJGtp816q6ASNXdKvgBPgOd9DJjn87cIvPzvfMp4CHgQ-L_XAaqVigiRSoHm8mqNORaPsRVDw.e30",
    );
    assert_invalid(footed);
    assert_invalid(footed.strip_suffix("e30").unwrap());
    assert_invalid(footed.strip_suffix(".e30").unwrap());
}

#[test]
fn what_the_key_signed_for_another_purpose_is_refused() {
    let payload = payload_with(r#""user""#, "9000", "");
    assert!(tokens().verify(&sign_raw(&payload), at(2_000)).is_ok());
    for purpose in ["", "password reset"] {
        assert_invalid(&tokens().sign_for(purpose.as_bytes(), payload.as_bytes()));
    }
}

/// The vectors 4-S-1 to 4-S-3 of the standard: payload, footer and implicit assertion, and the token.
#[test]
fn signatures_are_those_of_the_standard() {
    let seed = hex("b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774");
    let tokens = PasetoTokens::from_seed(seed).unwrap();
    let public = hex::<32>("1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2");
    assert_eq!(tokens.key.public_key().as_ref(), public);

    let payload = r#"{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}"#;
    let footer = r#"{"kid":"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN"}"#;
    let vectors = [
        (
            "",
            "",
            "bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA",
        ),
        (
            footer,
            "",
            "v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw",
        ),
        (
            footer,
            r#"{"test-vector":"4-S-3"}"#,
            "NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECeaWmaqcaP0DQ",
        ),
    ];
    for (footer, assertion, signature) in vectors {
        let pieces = [HEADER, payload, footer, assertion].map(str::as_bytes);
        let signed = tokens.key.sign(&pre_authentication_encoding(pieces));
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signed),
            signature,
            "{footer} {assertion}"
        );
    }
    let body = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let token = format!("{HEADER}{body}{}", vectors[0].2);
    assert_eq!(tokens.sign_for(b"", payload.as_bytes()), token);
    assert_eq!(tokens.verify_for(b"", &token).unwrap(), payload.as_bytes());
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn other_versions_and_purposes_of_paseto_are_refused() {
    let token = tokens().sign(&claims()).unwrap();
    let body = token.strip_prefix("v4.public.").unwrap();
    for header in [
        "v1.public",
        "v2.public",
        "v3.public",
        "v5.public",
        "v4.local",
        "V4.public",
        "v4.PUBLIC",
        "v4",
        "",
    ] {
        assert_invalid(&format!("{header}.{body}"));
    }
    // The public key as a shared secret: what confuses verifiers that let the token choose.
    let local = concat!(
        "v4.local.IZP65FNp-6oU5x674BS28GBgubE87ffU1sgbQAoSaJjnAzTVxQQ6LAhtkIshevfcP71mDuIwNm2epJbIA9wJavOkqKT",
        "pzWr0w8ureY_RsNWwo1gZDgr8ZSnC5C1D2Yjr-5p9g7_HXXzKFd7tNRw8eMp1SkPS9wz9g5V4RDjn2xmLoO7x-DQFGZSYHYhIcvw",
        "5Y4Fo3GBi5-LLzQT4F2aXa59Umg4L_ODK3n3peCrzK-rC3o8cEnekesE347J2KrasURdUKqcrUl66AiLiJ_R5Goo",
    );
    assert_invalid(local);
    assert_invalid(&local.replace("v4.local", "v4.public"));
}

#[test]
fn json_web_tokens_are_refused_whatever_their_algorithm() {
    // {"alg":"none"}, {"alg":"None","typ":"JWT"}, {"alg":"HS256","typ":"JWT"}, {"alg":"EdDSA"}
    let headers = [
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "eyJhbGciOiJFZERTQSJ9",
    ];
    let token = tokens().sign(&claims()).unwrap();
    let body = token.strip_prefix("v4.public.").unwrap();
    for header in headers {
        assert_invalid(&format!("{header}.{body}."));
        assert_invalid(&format!("{header}.{body}.{}", "A".repeat(86)));
    }
}

#[test]
fn what_is_no_token_at_all_is_refused() {
    for junk in [
        "",
        ".",
        "..",
        "...",
        "v4.public.",
        "v4.public..",
        "v4.public.!",
        "v4.public.AA==",
        "\u{0}",
        "💥",
    ] {
        assert_invalid(junk);
    }
    assert_invalid(&format!("v4.public.{}", "A".repeat(86)));
    assert_invalid(&".".repeat(MAX_BYTES));
}

#[test]
fn more_than_4_kib_is_refused_unread_even_when_it_is_signed() {
    // A payload of spaces and claims: valid JSON of any length.
    let signed = |spaces: usize| sign_raw(&(" ".repeat(spaces) + &payload_with(r#""user""#, "9000", "")));
    let fitting = signed(2_700);
    assert!(fitting.len() <= MAX_BYTES, "{} bytes", fitting.len());
    assert!(tokens().verify(&fitting, at(2_000)).is_ok());
    let huge = signed(2_900);
    assert!(huge.len() > MAX_BYTES, "{} bytes", huge.len());
    assert_invalid(&huge);
    assert_invalid(&format!("v4.public.{}", "A".repeat(10 << 20)));
}

#[test]
fn signed_payloads_of_another_structure_are_refused() {
    let user = r#""user""#;
    let payloads = [
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "not json".to_owned(),
        payload_with(r#""root""#, "9000", ""),
        payload_with(r#""Admin""#, "9000", ""),
        payload_with("null", "9000", ""),
        payload_with(user, r#""2099-01-01T00:00:00Z""#, ""),
        payload_with(user, r#""9000""#, ""),
        payload_with(user, "9000.5", ""),
        payload_with(user, "-1", ""),
        payload_with(user, "9007199254740992", ""),
        payload_with(user, "null", ""),
        payload_with(user, "9000", r#","client":"""#),
        payload_with(user, "9000", r#","client":7"#),
        payload_with(user, "9000", r#","scope":"read""#),
        payload_with(user, "9000", r#","role":"admin""#),
        payload_with(user, "9000", "").replace(USER, "anna"),
        payload_with(user, "9000", "").replace("family", "login"),
    ];
    for payload in payloads {
        assert_eq!(
            tokens().verify(&sign_raw(&payload), at(2_000)),
            Err(AccessTokenError::Invalid),
            "{payload}"
        );
    }
}

#[test]
fn a_payload_that_is_not_utf8_is_refused() {
    assert_invalid(&tokens().sign_for(PURPOSE, b"\xff\xfe"));
}

#[test]
fn a_seed_of_zeros_is_refused() {
    assert_eq!(PasetoTokens::from_seed([0; 32]).unwrap_err(), UnusableSeed);
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", tokens()), "PasetoTokens(hidden)");
}

fn ticket(opens: Opens) -> TicketClaims {
    TicketClaims {
        id: USER.parse().unwrap(),
        user: USER.parse().unwrap(),
        family: FAMILY.parse().unwrap(),
        opens,
        until: at(1_000 + HOUR),
        expires_at: at(61_000),
    }
}

#[test]
fn l5_a_ticket_is_read_back_until_it_expires() {
    for opens in [
        Opens::Events,
        Opens::Resource(USER.parse().unwrap()),
        Opens::Avatar(USER.parse().unwrap()),
    ] {
        let claims = ticket(opens);
        let text = tokens().sign_ticket(&claims).unwrap();
        assert!(text.len() < 600, "{} bytes", text.len());
        assert_eq!(tokens().verify_ticket(&text, at(60_999)), Ok(claims));
        assert_eq!(
            tokens().verify_ticket(&text, at(61_000)),
            Err(AccessTokenError::Expired)
        );
        let others = PasetoTokens::from_seed([8; 32]).unwrap();
        let forged = others.sign_ticket(&claims).unwrap();
        assert_eq!(
            tokens().verify_ticket(&forged, at(2_000)),
            Err(AccessTokenError::Invalid)
        );
    }
}

#[test]
fn l5_a_ticket_is_no_access_token_and_an_access_token_no_ticket() {
    let (token, ticket) = (
        tokens().sign(&claims()).unwrap(),
        tokens().sign_ticket(&ticket(Opens::Events)).unwrap(),
    );
    assert_invalid(&ticket);
    let refused = |text: &str| {
        let read = tokens().verify_ticket(text, at(2_000));
        assert_eq!(read, Err(AccessTokenError::Invalid), "{text}");
    };
    refused(&token);
    // Nor would it be one where the claims are those of the other.
    let access = payload_with(r#""user""#, "9000", "");
    assert_invalid(&tokens().sign_for(TICKET_PURPOSE, access.as_bytes()));
    let payload = |more: &str| {
        format!(
            r#"{{"id":"{USER}","user":"{USER}","family":"{FAMILY}","opens":"events","until":9000,"expires_at":9000{more}}}"#
        )
    };
    let signed = |purpose, more| tokens().sign_for(purpose, payload(more).as_bytes());
    assert!(
        tokens()
            .verify_ticket(&signed(TICKET_PURPOSE, ""), at(2_000))
            .is_ok()
    );
    refused(&signed(PURPOSE, ""));
    refused(&signed(TICKET_PURPOSE, r#","only_from":"192.0.2.1""#));
    refused(&signed(TICKET_PURPOSE, &" ".repeat(MAX_BYTES)));
}
