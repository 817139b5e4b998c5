//! Servers over PostgreSQL: several at once, databases that go away, clients that hang up, a pooler in between. Real
//! processes, real sockets, a database for each test.

mod commands;
mod convergence;
mod ledger;
mod locks;
mod nudges;
mod outages;
mod pooler;
mod puller;
mod starting;
mod support;
mod writer;
