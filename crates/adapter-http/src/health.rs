//! `GET /health`: the process is up and answers.

use actix_web::web::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::Endpoint;

/// What `GET /health` answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: a server that is not does not answer.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of the server.
    version: &'static str,
}

/// The routes of this module.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/health", "health", health)
            .public()
            .about("server", "Whether the server is up, and its version")
            .returns::<Health>(200, "The server is up"),
    ]
}

async fn health() -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}
