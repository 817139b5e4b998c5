//! The HTTP face of Mosaic sync: routes, extractors, wire types, problem+json, OpenAPI.
//!
//! Requests are parsed into domain types at this edge and handed to the use cases; what comes back becomes JSON. Nothing
//! here decides anything about records.
//!
//! * [`start`] builds the server over an [`AppState`]; [`server`] holds its settings and its layers.
//! * [`routes`]: the one table from which both the router and the OpenAPI document come.
//! * [`body`], [`query`]: extractors that refuse bad input with the path to the field.
//! * [`problem`]: the one place where errors become HTTP.
//! * [`limits`]: how often somebody may try to log in.
//! * [`RequestLimits`]: how many requests of one user run at the same time.

pub mod access_log;
mod admission;
mod api;
mod app_errors;
pub mod body;
mod budget;
mod caller;
pub mod client_addr;
mod compress;
mod connection;
mod content_length;
mod disposition;
pub mod docs;
mod entities;
pub mod extractor;
mod field;
mod figures;
mod file;
mod health;
mod invite_page;
mod json;
pub mod limits;
mod multipart;
mod names;
pub mod problem;
pub mod query;
mod ranges;
pub mod request_id;
mod response;
pub mod routes;
mod schema;
pub mod server;
mod socket;
mod state;
mod ticket;
mod tls;
mod value;
mod wire;

pub use admission::RequestLimits;
pub use body::BodyLimits;
pub use figures::HttpFigures;
pub use limits::{Budget, LoginBudgets};
pub use server::{HttpSettings, exposed_headers, openapi, start};
pub use socket::Listener;
pub use state::{AppState, DownloadSettings};
pub use tls::Tls;
