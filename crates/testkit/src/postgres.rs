//! PostgreSQL for tests: throwaway clusters, a copy of the schema for each test, PgBouncer, and a proxy that breaks
//! connections on purpose.
//!
//! A test that wants a database of its own asks for [`TestDatabase::create`] with the [`Template`] of its schema. The first
//! one in a process starts a cluster, in a second or two, from the PostgreSQL that is installed on the machine; nothing is
//! downloaded. Where `MOSAIC_TEST_DATABASE_URL` is set, databases are made and dropped on that server instead, and by the
//! program of `MOSAIC_TEST_DATABASE_HOOK`, where that is set too.
//!
//! A test that stops the server, or wants it to speak TLS, starts a [`Cluster`] of its own.
//!
//! Everything goes at the end, also when the process is killed: see `keeper.rs`.

mod address;
mod binaries;
mod cluster;
mod database;
mod hook;
mod keeper;
mod pgbouncer;
mod proxy;
mod server;

pub use cluster::{Cluster, ClusterOptions, Stop, Tls};
pub use database::{Template, TestDatabase};
pub use hook::{DATABASE_HOOK, has_hook};
pub use pgbouncer::PgBouncer;
pub use proxy::{Proxy, When};
pub use server::{DATABASE_URL, Server};
