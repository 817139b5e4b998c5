//! `/openapi.json`, and a page at `/docs/` that shows it. The page's files are part of the binary: it works without
//! internet, and its content security policy lets it load nothing from elsewhere.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::problem::{Problem, ProblemCode};
use crate::routes::get_only;

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The document, rendered once.
#[derive(Debug, Clone)]
pub struct Document(Arc<str>);

impl Document {
    /// Renders a document.
    ///
    /// # Errors
    /// When it can not be written as JSON, which no document of ours should cause.
    pub fn new(document: &OpenApi) -> Result<Self, serde_json::Error> {
        document.to_pretty_json().map(|json| Self(json.into()))
    }

    /// The document as JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Registers the document and its page. The addresses are relative, so they work below `/` and `/api` alike.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        let document = self.clone();
        let openapi = move || {
            let json = document.0.to_string();
            async { HttpResponse::Ok().content_type("application/json").body(json) }
        };
        let page = Arc::new(
            Config::new(["../openapi.json"])
                .validator_url("none")
                .persist_authorization(true),
        );
        let file = move |request: HttpRequest| {
            let page = Arc::clone(&page);
            async move { serve(&request, page) }
        };
        config
            .service(get_only("/openapi.json", openapi))
            .service(get_only("/docs", redirect))
            .service(get_only("/docs/{file:.*}", file));
    }
}

async fn redirect(request: HttpRequest) -> HttpResponse {
    let target = format!("{}/", request.path());
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, target))
        .finish()
}

fn serve(request: &HttpRequest, page: Arc<Config<'static>>) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let file = utoipa_swagger_ui::serve(name, page)
        .map_err(|error| Problem::internal(error.to_string()))?
        .ok_or_else(|| {
            Problem::new(
                ProblemCode::UnknownRoute,
                format!("there is no route {}", request.path()),
            )
        })?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, header::ContentEncoding::Gzip));
    }
    Ok(response
        .content_type(file.content_type)
        .body(file.bytes.into_owned()))
}
