//! The reference client of the Mosaic sync server: a local database that a person edits offline, and that is synced now and then.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use futures_util::StreamExt as _;
//! use mosaic_client::domain::MemoId;
//! use mosaic_client::domain::entity::Memo;
//! use mosaic_client::{Client, Error, Login, Settings};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::open(Path::new("diary.db"), Settings::default())?;
//! client
//!     .login(Login {
//!         server: "https://mosaic.example.org",
//!         username: "anna",
//!         password: "a long sentence",
//!         device_name: Some("Anna's laptop"),
//!     })
//!     .await?;
//!
//! // Offline, all of it.
//! let id = MemoId::new(client.new_id());
//! let content = "Buy figs".to_owned().try_into()?;
//! client.put(id, &Memo { content, ..Memo::default() })?;
//! client.edit::<Memo>(id, |memo| memo.is_archived = true)?;
//! client.attach(Path::new("figs.jpg"), Some(id))?;
//! for memo in client.search("figs")? {
//!     println!("{}", memo.content.content.as_str());
//! }
//!
//! // Whenever there is a network: when the app is opened, when it is back, and when the server nudges.
//! let done = client.sync(|progress| println!("{} came", progress.pulled)).await?;
//! for rejection in done.rejected {
//!     println!("{}: {}", rejection.key, rejection.problem);
//! }
//! let mut nudges = Box::pin(client.nudges());
//! while let Some(nudge) = nudges.next().await {
//!     nudge?;
//!     client.sync(|_| {}).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How to write this in Kotlin or Swift
//!
//! The contract is `docs/protocol.md`, and `docs/apps.md` lists what an app has to keep. This is one way to keep it, rule by rule; the
//! whole of it is a few files here.
//!
//! **Four tables** (`store/mod.rs`). `records`: of each record what a person sees, as the JSON that the server sends, and beside it,
//! while an edit waits, what the server last said (`base`). `outbox`: one row for each edited record: when it was edited, and the
//! fields that were; its counter is never given twice. `uploads`: files that wait. `state`: the cursors, the epoch, the types that are
//! being rebuilt, the account, the tokens, the client id. Keep records as JSON: then a field that only a newer version knows survives
//! (W7).
//!
//! **An edit** (`store/records.rs`) is one transaction: the record, and its row in the outbox. Its time is the clock's, or one
//! millisecond later than what it edits (W1, W2); of what the server told, the time less the server's shift (W6), else a device whose
//! clock is slow would write into the future. The fields of a second edit join those of the first. A delete empties what is seen, and
//! keeps the row. A memo that is deleted here hides its resources.
//!
//! **Sync** (`sync.rs`): pull until nothing is left, push in batches, send files, pull what became of it. Pull first: an edit names
//! only its fields, so that another device's edit of others stays (W7), and before it is sent it has to be known that the server still
//! has the record. Where it does not (a backup was restored, it was deleted), the whole record is sent. Nothing is lost by that order:
//! edits stay in the outbox until the server has judged them.
//!
//! **A page of a pull** (`store/pages.rs`) is one transaction with its cursors (P2, P6), and only where these are still the ones that it
//! was asked for with: another process may have been faster. What comes takes the place of a record, but where an edit waits: then it
//! becomes its `base`, and the edited fields stay on top. On `reset` (R3) all records of the type are marked as not given; what comes is
//! marked as given, and so is what was `skipped` (P8); with the last page, what was not given goes. All that is in the database, so a
//! rebuilding that breaks off goes on.
//!
//! **A batch of a push** (`store/outbox.rs`): memos before resources, at most 200 of a type and half a megabyte (B1). Then, in one
//! transaction: `applied` and `unchanged` are what was sent with `stored` over it (B3); `superseded` is `current` (W4), or what `GET`
//! answers where it was too long; `rejected` stays, with the problem, and is sent again only if `retryable`, or edited again (B2).
//! An edit is settled only where its counter is the one that was sent: what was typed meanwhile stays, and of the fields that it joined
//! those go that were sent: they would travel again with the later time, and win over what they lost against (W4). An answer that is
//! older than the cursor takes nothing back. Where all cursors stand at `clockBefore`, they take `clock` (B3), and no pull is needed. An edit that was
//! refused as `edit_time_ahead`, though the clock has been put right since, gets the time of now, or a later one than what it edits
//! (W2, W6).
//!
//! **Requests** (`http.rs`). Each says who it is from and what time it is there (D1, W6), anew with each try. No answer, 408, 423, 429
//! and 5xx are tried again: after half a second, twice as long each time up to half a minute, times a random share between a half and
//! one, and never before `Retry-After`. All tries of one sync are counted together until something has come of them, and where the
//! server wants to be left alone for more than half a minute the sync ends, and says so. All requests here may be sent twice (W3, L2,
//! A2) but a part of a file and another password. The head of an answer has a deadline, and so has each further part of it: a large
//! one may take its time. What is held in memory has a limit. The results of a push say by their `id` what they are of.
//!
//! **The login** (`session.rs`). After 401 `token_expired` or `invalid_token` one task renews the tokens, and the others wait for it;
//! the new ones are written down before they are used, and where another process was faster, its stay (L2). After `login_ended`, and
//! where the renewal is refused as `invalid_refresh_token`, and for nothing else, ask for the password, and keep the edits (L1). The
//! tokens of another password are kept whatever was heard of the old login meanwhile (L3). The database is for nobody else to read.
//!
//! **Files** (`attachments.rs`) are copied when they are attached, and on the disk before the database says so, sent in parts by tus
//! with an id of the app's own (A1, A2), and gone on with from where the server says that it is; a part that moves nothing is a failure.
//! A file of one part goes with the request that begins the upload: sent again after a lost answer it changes nothing (A2).
//! A copy that can't be read holds up no other. Downloads are checked against the record's hash, and there whole and on the disk, or
//! not at all.
//!
//! **And once in a while** compare [`digest`](Client::digest) with the server; where it differs after a sync, [`rebuild`](Client::rebuild).

mod attachments;
mod client;
mod error;
mod files;
mod http;
mod nudges;
mod platform;
mod record;
mod session;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{Client, DigestReport, Settings, Status};
pub use error::{Error, FieldProblem, Problem, Result};
pub use mosaic_domain as domain;
pub use nudges::Nudge;
pub use platform::{Platform, System};
pub use record::{Record, SyncState};
pub use session::{LoggedIn, Login};
pub use store::Upload;
pub use sync::{Progress, Rejection};
pub use wire::TypeDigest;
