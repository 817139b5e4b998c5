//! `/openapi.json`, and a page at `/docs/` that shows it. The page's files are part of the binary: it works without
//! internet, and its content security policy lets it load nothing from elsewhere. A page at `/` leads people there.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};

use crate::figures::HttpFigures;
use crate::problem::Problem;
use crate::response::JSON;
use crate::routes::{RouteTable, get_only, unknown_route};

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page.
struct File {
    /// Where it is, below `/docs/`.
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// A file of Swagger UI, whose name begins with its version.
macro_rules! vendored {
    ($name:literal, $stored:literal, $media_type:expr) => {
        File {
            name: concat!("5.35.0/", $name),
            media_type: $media_type,
            bytes: include_bytes!(concat!("../swagger-ui/5.35.0/", $stored)),
        }
    };
}

/// The page, and what it loads. What is stored packed is sent packed: there is no browser that can't unpack it.
static FILES: [File; 6] = [
    File {
        name: "",
        media_type: HTML,
        bytes: include_bytes!("../swagger-ui/index.html"),
    },
    File {
        name: "swagger-initializer.js",
        media_type: SCRIPT,
        bytes: include_bytes!("../swagger-ui/swagger-initializer.js"),
    },
    vendored!("swagger-ui-bundle.js", "swagger-ui-bundle.js.gz", SCRIPT),
    vendored!("swagger-ui.css", "swagger-ui.css.gz", "text/css; charset=utf-8"),
    vendored!("favicon-32x32.png", "favicon-32x32.png", "image/png"),
    vendored!(
        "swagger-ui-bundle.js.LICENSE.txt",
        "swagger-ui-bundle.js.LICENSE.txt",
        "text/plain; charset=utf-8"
    ),
];

/// What a file packed with gzip begins with.
const GZIP: &[u8] = b"\x1f\x8b";

/// The document, rendered when somebody asks for it, and once: that takes megabytes, which a server at rest would go on to hold.
#[derive(Debug, Clone)]
pub struct Document(Arc<LazyLock<Rendered, Render>>);

type Rendered = Result<Bytes, serde_json::Error>;
type Render = Box<dyn FnOnce() -> Rendered + Send>;

impl Document {
    /// The document of the routes of a table.
    pub fn of(table: impl FnOnce() -> RouteTable + Send + 'static) -> Self {
        let render: Render = Box::new(|| table().document().to_pretty_json().map(Bytes::from));
        Self(Arc::new(LazyLock::new(render)))
    }

    /// The document as JSON.
    ///
    /// # Errors
    /// When it can not be written as JSON, which no document of ours should cause.
    pub fn json(&self) -> Result<Bytes, String> {
        let rendered = LazyLock::force(&self.0).as_ref();
        rendered.cloned().map_err(ToString::to_string)
    }

    /// Registers the document and its pages. The addresses are relative, so they work below `/` and `/api` alike.
    pub fn configure(&self, config: &mut web::ServiceConfig, figures: &HttpFigures) {
        let document = self.clone();
        let openapi = move || {
            let json = document.json().map_err(Problem::internal);
            async { json.map(|json| HttpResponse::Ok().content_type(JSON).body(json)) }
        };
        let for_people =
            guard::All(guard::Any(guard::Get()).or(guard::Head())).and(guard::fn_guard(wants_html));
        let welcome = Resource::new("/")
            .app_data(figures.route("/", &["GET"]))
            .route(web::route().guard(for_people).to(welcome))
            .default_service(web::to(unknown_route));
        config
            .service(welcome)
            .service(get_only("/openapi.json", openapi, figures))
            .service(get_only("/docs", redirect, figures))
            .service(get_only("/docs/{file:.*}", serve, figures));
    }
}

async fn redirect(request: HttpRequest) -> HttpResponse {
    let target = format!("{}/", request.path());
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, target))
        .finish()
}

/// Browsers name this media type when somebody enters an address; programs don't.
fn wants_html(context: &guard::GuardContext<'_>) -> bool {
    let accepted = context.head().headers().get(header::ACCEPT);
    accepted
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/html"))
}

async fn welcome() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(HTML)
        .body(include_str!("../swagger-ui/welcome.html"))
}

async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return unknown_route(request).await;
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if file.bytes.starts_with(GZIP) {
        response.insert_header((header::CONTENT_ENCODING, header::ContentEncoding::Gzip));
    }
    // What has its version in its name never changes.
    if file.name.contains('/') {
        response.insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"));
    }
    Ok(response.content_type(file.media_type).body(file.bytes))
}
