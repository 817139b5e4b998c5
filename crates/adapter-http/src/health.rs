//! `GET /health`: the process is up and answers. `GET /health/ready`: and its store can work.

use std::error::Error;
use std::time::Duration;

use actix_web::web::{Data, Json};
use mosaic_ports::{BlobError, StoreError};
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
                "The server is up, and so is its store; `attachments` says where only these are not",
            )
            .problems(&[ProblemCode::NotReady]),
    ]
}

async fn health() -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        attachments: None,
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

/// Whoever asks stops sending requests to a server that is not ready: that would end syncing for the sake of attachments.
async fn ready(state: Data<AppState>) -> Result<Json<Health>, Problem> {
    let attachments = match state.health.check().await {
        Ok(()) => None,
        Err(error) if error.source().is_some_and(<dyn Error>::is::<BlobError>) => Some("unavailable"),
        Err(error) => {
            return Err(Problem::new(ProblemCode::NotReady, failing(&error))
                .because(error)
                .retry_after(Duration::from_secs(1)));
        }
    };
    Ok(Json(Health {
        status: "ready",
        version: env!("CARGO_PKG_VERSION"),
        attachments,
    }))
}
