//! `GET /health`: the process is up and answers. `GET /health/ready`: and its store can work.

use std::error::Error;
use std::time::Duration;

use actix_web::web::{Data, Json};
use mosaic_ports::BlobError;
use serde::Serialize;
use utoipa::ToSchema;

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
}

/// The routes of this module.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "server";
    vec![
        Endpoint::get("/health", "health", health)
            .public()
            .about(TAG, "Whether the server is up, and its version")
            .returns::<Health>("The server is up"),
        Endpoint::get("/health/ready", "ready", ready)
            .public()
            .about(TAG, "Whether the server can work")
            .returns::<Health>("The server is up, and so are its store and the storage of attachments")
            .problems(&[ProblemCode::NotReady]),
    ]
}

async fn health() -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}

async fn ready(state: Data<AppState>) -> Result<Json<Health>, Problem> {
    state.health.check().await.map_err(|error| {
        let is_storage = error.source().is_some_and(<dyn Error>::is::<BlobError>);
        let what = if is_storage {
            "the storage of attachments"
        } else {
            "the store"
        };
        Problem::new(
            ProblemCode::NotReady,
            format!("{what} can not work at the moment"),
        )
        .because(error)
        .retry_after(Duration::from_secs(1))
    })?;
    Ok(Json(Health {
        status: "ready",
        version: env!("CARGO_PKG_VERSION"),
    }))
}
