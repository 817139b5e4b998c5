//! All routes: as a router, and as a document.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::rc::Rc;

use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{
    FromRequest, Handler, HttpMessage as _, HttpRequest, HttpResponse, Resource, Responder, Route, web,
};
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Server};

use super::{ANY_PROBLEM, BEARER, Endpoint, any_problem, route_for};
use crate::admission;
use crate::body::BodyCap;
use crate::figures::HttpFigures;
use crate::problem::{self, Problem, ProblemBody, ProblemCode};
use crate::schema::{Named, add};
use crate::ticket::TICKET;

/// All routes of the server.
#[derive(Debug, Default)]
pub struct RouteTable(Vec<Endpoint>);

impl RouteTable {
    /// A table of these routes.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self(endpoints.into_iter().collect())
    }

    /// Adds more routes.
    #[must_use]
    pub fn and(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.0.extend(endpoints);
        self
    }

    /// Method and path of every route, and what it takes besides a connection.
    #[cfg(test)]
    pub(crate) fn loads(&self) -> impl Iterator<Item = (&Method, &str, admission::Load)> {
        let load = |endpoint: &Endpoint| endpoint.load;
        self.iter()
            .zip(self.0.iter().map(load))
            .map(|((method, path), load)| (method, path, load))
    }

    /// Method and path of every route.
    pub fn iter(&self) -> impl Iterator<Item = (&Method, &str)> {
        self.0
            .iter()
            .map(|endpoint| (&endpoint.method, endpoint.path.as_str()))
    }

    /// Registers every route, those with the same first word together: a request is compared with these words, and only then
    /// with the patterns of its own. Paths of plain words come before those with parameters (`/memos/tags` before
    /// `/memos/{id}`), whatever their order in the table.
    pub fn configure(&self, config: &mut web::ServiceConfig, figures: &HttpFigures) {
        let mut scopes: BTreeMap<&str, BTreeMap<(String, &str), Vec<&Endpoint>>> = BTreeMap::new();
        for endpoint in &self.0 {
            let end = endpoint.path[1..]
                .find('/')
                .map_or(endpoint.path.len(), |end| end + 1);
            let (first, rest) = endpoint.path.split_at(end);
            // `{` becomes the greatest character, so that parameters sort last, segment by segment.
            let order = rest.replace('{', "\u{10ffff}");
            let scope = scopes.entry(first).or_default();
            scope.entry((order, rest)).or_default().push(endpoint);
        }
        for (first, resources) in scopes {
            let scope = resources
                .into_iter()
                .fold(web::scope(first), |scope, ((_, rest), endpoints)| {
                    scope.service(resource(rest, &endpoints, figures))
                });
            config.service(scope);
        }
    }

    /// The OpenAPI 3.1 document of these routes.
    pub fn document(self) -> OpenApi {
        let mut schemas = Named::new();
        add::<ProblemBody>(&mut schemas);
        let mut items: BTreeMap<String, PathItem> = BTreeMap::new();
        for mut endpoint in self.0 {
            schemas.append(&mut endpoint.schemas);
            let path = std::mem::take(&mut endpoint.path);
            let item = PathItem::new(http_method(&endpoint.method), endpoint.operation());
            match items.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(items.insert(path, item)),
            }
        }
        let paths = items
            .into_iter()
            .fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(ACCESS))
            .build();
        let ticket = ApiKey::Query(ApiKeyValue::with_description(TICKET, BY_TICKET));
        let components = ComponentsBuilder::new()
            .schemas_from_iter(schemas)
            .response(ANY_PROBLEM, any_problem())
            .security_scheme(BEARER, SecurityScheme::Http(bearer))
            .security_scheme(TICKET, SecurityScheme::ApiKey(ticket));
        let license = LicenseBuilder::new()
            .name(env!("CARGO_PKG_LICENSE"))
            .identifier(Some(env!("CARGO_PKG_LICENSE")))
            .build();
        OpenApiBuilder::new()
            .info(
                InfoBuilder::new()
                    .title("Mosaic sync")
                    .description(Some(DESCRIPTION))
                    .version(env!("CARGO_PKG_VERSION"))
                    .license(Some(license))
                    .build(),
            )
            .servers(Some([Server::new("/"), Server::new("/api")]))
            .tags(Some(GROUPS.map(|(name, says)| {
                TagBuilder::new().name(name).description(Some(says)).build()
            })))
            .paths(paths)
            .components(Some(components.build()))
            .build()
    }
}

const DESCRIPTION: &str = "A self-hosted sync server for an offline-first notes and mood-diary app. Devices push with \
    ordinary requests and pull with a cursor per entity type; the newest edit wins. Every route answers below `/` and \
    below `/api`. Times are Unix milliseconds; errors are `application/problem+json` with a stable `code`.";

/// What an app has to know of access tokens.
const ACCESS: &str = "The `accessToken` of a login. After 401 `token_expired`, or `invalid_token`, where the server's secret has changed, \
    `POST /auth/refresh` gives a new one; after `login_ended`, and where that is refused with 401, the user logs in again.";

/// What an app has to know of tickets.
const BY_TICKET: &str = "For what can send no headers, such as `EventSource` and `<img>`: a ticket of `POST /auth/tickets`. It counts \
    only where there is no header `Authorization`.";

/// The groups of the document, in the order in which an app comes to use them.
const GROUPS: [(&str, &str); 12] = [
    (
        "sync",
        "Pull what changed since a device's cursors, push many edits, and hear of changes. Log in first (auth).",
    ),
    (
        "auth",
        "Get an access token by a password, and new ones by the refresh token. \"Authorize\" takes the access token.",
    ),
    (
        "memos",
        "Notes: create, edit, delete, list and search them, and what they were before.",
    ),
    ("diaries", "One entry for each day, addressed by its date."),
    (
        "resources",
        "Attachments of memos: what is said of them, and their bytes.",
    ),
    ("bots", "Those that comment on diaries, as the user set them up."),
    (
        "uploads",
        "Large files in pieces that survive a broken connection (tus 1.0).",
    ),
    ("avatars", "Pictures of users and bots."),
    (
        "devices",
        "The devices that sync with this account; forgetting one ends its logins.",
    ),
    ("account", "Everything that the server holds of the caller."),
    ("admin", "Accounts of others, and invites, for administrators."),
    ("server", "Whether the server works, for monitoring."),
];

/// `GET`, and with it `HEAD`, of something that is not part of the API: the document and its page.
pub(crate) fn get_only<F, Args>(path: &str, handler: F, figures: &HttpFigures) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Resource::new(path)
        .app_data(figures.route(path, &["GET"]))
        .route(route_for(&Method::GET).to(handler))
        .default_service(wrong_method("GET, HEAD".to_owned()))
}

/// Answers requests with a method that the path does not have.
fn wrong_method(allow: String) -> Route {
    web::to(move |request: HttpRequest| {
        let detail = format!("{} is not allowed here; allowed: {allow}", request.method());
        let problem = Problem::new(ProblemCode::MethodNotAllowed, detail);
        ready(Err::<HttpResponse, _>(
            problem.with_header(header::ALLOW, allow.clone()),
        ))
    })
}

/// Answers whatever no route knows.
///
/// # Errors
/// Always: 404 `unknown_route`.
pub async fn unknown_route(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::new(
        ProblemCode::UnknownRoute,
        format!("there is no route {}", request.path()),
    ))
}

fn allowed(endpoints: &[&Endpoint]) -> String {
    let mut methods: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.method.as_str())
        .collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.join(", ")
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        "HEAD" => HttpMethod::Head,
        "OPTIONS" => HttpMethod::Options,
        _ => HttpMethod::Get,
    }
}

fn limited(resource: Resource, limit: Option<usize>) -> Resource {
    match limit {
        Some(bytes) => resource.app_data(BodyCap(bytes)),
        None => resource,
    }
}

/// Whether the document lists that, if it is a refusal: apps go by its codes.
fn is_listed<B>(answered: &ServiceResponse<B>, refusals: &BTreeSet<ProblemCode>) -> bool {
    let error = answered.response().error();
    let problem = error.and_then(|error| error.as_error::<Problem>());
    problem.is_none_or(|problem| refusals.contains(&problem.code()))
}

/// One path with all of its methods.
fn resource(path: &str, endpoints: &[&Endpoint], figures: &HttpFigures) -> impl HttpServiceFactory + use<> {
    let methods: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.method.as_str())
        .collect();
    // All of them have the same path.
    let whole = endpoints.first().map_or(path, |endpoint| endpoint.path.as_str());
    let limit = endpoints.iter().filter_map(|endpoint| endpoint.body_limit).max();
    let resource = limited(Resource::new(path), limit).app_data(figures.route(whole, &methods));
    endpoints
        .iter()
        .fold(resource, |resource, endpoint| {
            let (load, ticket, refusals) = (endpoint.load, endpoint.ticket, Rc::new(endpoint.refusals()));
            let take = from_fn(move |request: ServiceRequest, next| {
                if let Some(takes) = ticket {
                    request.extensions_mut().insert(takes);
                }
                let refusals = Rc::clone(&refusals);
                async move {
                    let answered = admission::take(load, request, next).await?;
                    debug_assert!(
                        is_listed(&answered, &refusals),
                        "{:?}",
                        answered.response().error()
                    );
                    Ok(answered)
                }
            });
            resource.route((endpoint.route)().wrap(take))
        })
        .default_service(wrong_method(allowed(endpoints)))
        .wrap(from_fn(problem::catch_panics))
}
