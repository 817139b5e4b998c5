//! `GET /health`: the process is up and answers. `GET /health/ready`: and its store can work.

use std::time::Duration;

use actix_web::web::{Data, Json};
use mosaic_ports::{MissingPart, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admission::Load;
use crate::problem::{Problem, ProblemCode};
use crate::routes::Endpoint;
use crate::state::AppState;

/// What `GET /health` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of the server.
    version: &'static str,
    /// `unavailable` where the storage of attachments can not work at the moment: everything else does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    attachments: Option<&'static str>,
    /// `partly_unavailable` where some of the machines that users are spread over do not answer: their users are not served
    /// at the moment, everybody else is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    database: Option<&'static str>,
}

/// The routes of this module.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "server";
    vec![
        Endpoint::get("/health", "health", health)
            .public()
            .takes(Load::Free)
            .about(TAG, "Whether the server is up, and its version")
            .returns::<Health>("The server is up"),
        Endpoint::get("/health/ready", "ready", ready)
            .public()
            .takes(Load::Free)
            .about(TAG, "Whether the server can work")
            .returns::<Health>(
                "The server is up, and so is its store; `attachments` and `database` say what of it is not",
            )
            .problems(&[ProblemCode::NotReady]),
    ]
}

async fn health() -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        attachments: None,
        database: None,
    })
}

/// What does not work, as far as strangers may know.
fn failing(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full(_) => "the store can not work at the moment: its disk is full",
        StoreError::Corrupt { .. } => "the store can not work at the moment: it is damaged",
        StoreError::Unavailable(_) | StoreError::TooSlow(_) | StoreError::Failed(_) => {
            "the store can not work at the moment"
        }
    }
}

/// Whoever asks stops sending requests to a server that is not ready: that would end syncing for the sake of attachments, or
/// for everybody because some can not.
async fn ready(state: Data<AppState>) -> Result<Json<Health>, Problem> {
    let missing = state.health.check().await.map_err(|error| {
        Problem::new(ProblemCode::NotReady, failing(&error))
            .because(error)
            .retry_after(Duration::from_secs(1))
    })?;
    let says = |part, how| missing.contains(&part).then_some(how);
    Ok(Json(Health {
        status: "ready",
        version: env!("CARGO_PKG_VERSION"),
        attachments: says(MissingPart::Attachments, "unavailable"),
        database: says(MissingPart::Machines, "partly_unavailable"),
    }))
}
