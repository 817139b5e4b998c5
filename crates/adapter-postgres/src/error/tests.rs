use super::*;

/// What a refusal means rests on its SQLSTATE, but where Citus has none for what it says.
#[test]
fn what_passes_is_told_from_what_is_full_or_broken() {
    for (kinds, codes) in [
        (
            Kind::Passing,
            &["08006", "08P01", "25006", "40001", "40P01", "57P01", "57P02"][..],
        ),
        (
            Kind::Away,
            &[
                "25P03", "28000", "28P01", "3D000", "3F000", "40003", "42501", "42P01", "53200", "53300",
                "53400", "55000", "55006", "55P03", "57014", "57P03", "57P04", "57P05", "58030", "58P01",
            ],
        ),
        (Kind::Full, &["53100"]),
        (Kind::Corrupt, &["XX001", "XX002"]),
        (
            Kind::Bug,
            &["0A000", "22P02", "23505", "42601", "42703", "54000", "XX000"],
        ),
    ] {
        for code in codes {
            assert_eq!(kind(&SqlState::from_code(code), ""), kinds, "{code}");
        }
    }
    for (code, message) in [
        ("XX000", "failure on connection marked as essential: db-2:5432"),
        ("XX000", "could not connect to any active placements"),
        ("0A000", "found no worker with all shard placements"),
    ] {
        let code = SqlState::from_code(code);
        assert_eq!(kind(&code, message), Kind::Away, "{message}");
        assert!(is_without_node(&code, message), "{message}");
    }
}

/// Of all that may be answered to a `COMMIT`.
#[test]
fn w8_few_errors_prove_that_nothing_was_committed() {
    for (proves, codes) in [
        (true, &["23503", "23505", "23514", "40001", "40P01"][..]),
        (
            false,
            &[
                "08003", "08006", "08007", "40003", "53100", "57014", "57P01", "58030", "XX000",
            ],
        ),
    ] {
        for code in codes {
            assert_eq!(tells_of_rollback(&SqlState::from_code(code)), proves, "{code}");
        }
    }
}
