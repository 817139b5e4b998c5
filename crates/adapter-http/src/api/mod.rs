//! The routes: one file per group, thin. A handler reads the request into domain types, calls one use case, and shows
//! what comes back.

mod accounts;
mod activity;
mod admin;
mod attachments;
mod avatars;
pub(crate) mod bots;
mod devices;
mod diaries;
mod events;
mod export;
mod form;
mod invites;
mod listing;
mod memos;
pub(crate) mod newcomers;
mod page;
mod push;
mod records;
mod resources;
mod revisions;
mod sync;
mod text_fields;
mod tickets;
pub(crate) mod uploads;

use crate::health;
use crate::routes::RouteTable;

/// Every route of the server.
pub(crate) fn table() -> RouteTable {
    RouteTable::new(health::endpoints())
        .and(accounts::endpoints())
        .and(newcomers::endpoints())
        .and(tickets::endpoints())
        .and(sync::endpoints())
        .and(push::endpoints())
        .and(events::endpoints())
        .and(devices::endpoints())
        .and(memos::endpoints())
        .and(diaries::endpoints())
        .and(resources::endpoints())
        .and(attachments::endpoints())
        .and(avatars::endpoints())
        .and(uploads::endpoints())
        .and(bots::endpoints())
        .and(export::endpoints())
        .and(activity::endpoints())
        .and(admin::endpoints())
        .and(invites::endpoints())
}

#[cfg(test)]
mod tests;
