//! The commands that look after a store, over the built binary: purge, removal of accounts, epochs, backups, exports. What
//! both stores can do is tested on both. Besides, that a server that stops keeps nobody listening.

mod accounts;
mod attachments;
mod audits;
mod backups;
mod beside;
mod epochs;
mod exports;
mod invites;
mod lost;
mod opening;
mod purges;
mod streams;
mod support;
mod terminal;
