//! The page at `/invite`, behind the link of an invite: a form for a name and a password. The secret is in the fragment of the
//! link, which only the page's script reads. Its files are part of the binary, and it loads nothing from elsewhere.

use actix_web::http::header;
use actix_web::{HttpResponse, web};

use crate::figures::HttpFigures;
use crate::routes::get_only;

/// A form is sent by the script alone: without it a password would stand in an address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file of the page: where it is, its media type, and what is in it.
type File = (&'static str, &'static str, &'static str);

static FILES: [File; 3] = [
    (
        "/invite",
        "text/html; charset=utf-8",
        include_str!("../invite/page.html"),
    ),
    (
        "/invite/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../invite/page.js"),
    ),
    (
        "/invite/page.css",
        "text/css; charset=utf-8",
        include_str!("../invite/page.css"),
    ),
];

/// Registers the page. Its addresses are relative, so it works below `/` and `/api` alike.
pub(crate) fn configure(config: &mut web::ServiceConfig, figures: &HttpFigures) {
    for (path, media_type, text) in &FILES {
        let serve = move || async move {
            HttpResponse::Ok()
                .content_type(*media_type)
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .body(*text)
        };
        config.service(get_only(path, serve, figures));
    }
}
