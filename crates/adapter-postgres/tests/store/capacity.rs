//! What ten million users ask of the parts of a distributed installation: arithmetic, not a measurement. The table in
//! `docs/operations.md` is what comes out; `UPDATE_DOCS=1` writes it.

use std::fmt::Write as _;

/// What is assumed, and where each number is from.
struct Load {
    users: f64,
    /// The share of users with a device online at once.
    online: f64,
    /// Seconds between two pulls of a device that is online: what the reference client waits.
    pull_every: f64,
    /// Seconds between two edits of a device that is online: assumed.
    edit_every: f64,
    /// Seconds that an access token is good for (`auth.access_token_lifetime`).
    refresh_every: f64,
    /// Records of a user: assumed, three a day for two years.
    records: f64,
    /// Bytes on a worker's disk for a record of 480 bytes with its text for searches, indexes, and a revision: assumed.
    record_bytes: f64,
    /// Bytes on the coordinator's disk for an account with two logins and their indexes: assumed.
    account_bytes: f64,
    workers: f64,
    /// Listeners for nudges on one instance : assumed.
    listeners: f64,
    /// `postgres.pool_size`.
    pool: f64,
    /// Milliseconds of a pull at rest, and of a create, on a coordinator and two workers that shared two cores, one after
    /// the other: measured, and more than the processor time of either.
    pull_ms: f64,
    create_ms: f64,
}

const LOAD: Load = Load {
    users: 10_000_000.0,
    online: 0.01,
    pull_every: 60.0,
    edit_every: 120.0,
    refresh_every: 900.0,
    records: 2_190.0,
    record_bytes: 4_096.0,
    account_bytes: 1_500.0,
    workers: 32.0,
    listeners: 10_000.0,
    pool: 16.0,
    pull_ms: 3.9,
    create_ms: 10.7,
};

fn table(load: &Load) -> String {
    let devices = load.users * load.online;
    let (pulls, creates) = (devices / load.pull_every, devices / load.edit_every);
    let instances = (devices / load.listeners).ceil();
    let sessions = instances * load.pool;
    let terabytes = |bytes: f64| bytes / 1e12;
    let users_tables = load.users * load.records * load.record_bytes;
    let cores = (pulls * load.pull_ms + creates * load.create_ms) / 1_000.0;
    let mut table = "| Part | Carries |\n|---|---|\n".to_owned();
    let mut row = |part: &str, carries: String| {
        let _ = writeln!(table, "| {part} | {carries} |");
    };
    row(
        "Devices online",
        format!("{devices:.0}: {pulls:.0} pulls and {creates:.0} edits a second"),
    );
    row(
        "Instances",
        format!("{instances:.0}, by {:.0} listeners each", load.listeners),
    );
    row(
        "Coordinator: connections",
        format!("{sessions:.0} from instances, and as many to each worker at most"),
    );
    row(
        "Coordinator: disk",
        format!(
            "{:.0} GB of accounts and logins",
            load.users * load.account_bytes / 1e9
        ),
    );
    row(
        "Coordinator: writes of its own",
        format!("{:.0} renewed logins a second", devices / load.refresh_every),
    );
    row(
        "A worker, one of 32",
        format!(
            "{:.0} users, {:.1} TB, {:.0} pulls and {:.0} edits a second",
            load.users / load.workers,
            terabytes(users_tables) / load.workers,
            pulls / load.workers,
            creates / load.workers
        ),
    );
    row(
        "Processor, all databases",
        format!("at most {cores:.0} cores, the coordinator's share of them included"),
    );
    table
}

#[test]
fn the_table_of_ten_million_users_is_what_comes_out() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (before, rest) = docs.split_once("<!-- capacity -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    let computed = table(&LOAD);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let docs = format!("{before}<!-- capacity -->\n{computed}<!-- end -->{after}");
        std::fs::write(path, docs).unwrap();
    } else {
        assert!(written == computed, "UPDATE_DOCS=1 writes:\n{computed}");
    }
}
