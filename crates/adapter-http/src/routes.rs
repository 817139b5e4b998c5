//! The one table of routes: from it come both the router and the OpenAPI document, so they can not differ.
//!
//! A route is an [`Endpoint`]: method, path, handler, and what the document says about it. [`RouteTable::configure`]
//! registers all of them, [`RouteTable::document`] describes them. Handlers may be generic: the document is built with
//! values, not with macros on functions, so the four entity types share their handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use actix_web::http::Method;
use actix_web::{Handler, Responder, Route, guard, web};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

mod table;

pub(crate) use table::get_only;
pub use table::{RouteTable, unknown_route};

use crate::admission::Load;
use crate::extractor::Extractor;
use crate::problem::{self, ProblemCode};
use crate::schema::{self, Named};
use crate::ticket::{self, TICKET, TakesTicket};

/// The name of the security scheme in the document.
const BEARER: &str = "bearer";

/// The most bytes of a JSON body, unless its route says otherwise.
const JSON_BYTES: usize = 64 * 1024;

/// One route: how it is served and how it is described.
pub struct Endpoint {
    method: Method,
    path: String,
    operation: OperationBuilder,
    public: bool,
    load: Load,
    ticket: Option<TakesTicket>,
    problems: BTreeSet<ProblemCode>,
    body_limit: Option<usize>,
    schemas: Named,
    route: Box<dyn Fn() -> Route>,
}

impl Endpoint {
    /// A route that needs a signed-in user, unless [`Endpoint::public`] is called. `id` is its name in the document.
    pub fn new<F, Args>(method: Method, path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        let guarded = method.clone();
        let path = path.into();
        let operation = Args::parameters(&path).into_iter().fold(
            OperationBuilder::new().operation_id(Some(id)),
            OperationBuilder::parameter,
        );
        Self {
            method,
            path,
            operation,
            public: false,
            load: Load::Plain,
            ticket: None,
            problems: Args::problems().into_iter().collect(),
            body_limit: None,
            schemas: Vec::new(),
            route: Box::new(move || route_for(&guarded).to(handler.clone())),
        }
    }

    /// `GET` (and with it `HEAD`).
    pub fn get<F, Args>(path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        Self::new(Method::GET, path, id, handler)
    }

    /// `POST`.
    pub fn post<F, Args>(path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        Self::new(Method::POST, path, id, handler)
    }

    /// `PUT`.
    pub fn put<F, Args>(path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        Self::new(Method::PUT, path, id, handler)
    }

    /// `DELETE`.
    pub fn delete<F, Args>(path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        Self::new(Method::DELETE, path, id, handler)
    }

    /// `PATCH`.
    pub fn patch<F, Args>(path: impl Into<String>, id: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: Extractor + 'static,
        F::Output: Responder + 'static,
    {
        Self::new(Method::PATCH, path, id, handler)
    }

    /// Answers without a signed-in user.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self.load = Load::Stranger;
        self
    }

    /// What it takes besides a connection, where that is not a few look-ups.
    #[must_use]
    pub(crate) fn takes(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// Takes a ticket for this as well, where there is no access token (L5).
    #[must_use]
    pub(crate) fn or_ticket(mut self, ticket: TakesTicket) -> Self {
        self.ticket = Some(ticket);
        self.operation = self.operation.parameter(ticket::described());
        self.problems(&ticket::PROBLEMS)
    }

    /// What it does, in one line, and the group that it is shown in.
    #[must_use]
    pub fn about(mut self, tag: &str, summary: &str) -> Self {
        self.operation = self.operation.tag(tag).summary(Some(summary));
        self
    }

    /// It takes bodies of at most this many bytes, packed or unpacked, instead of 64 KiB of JSON: room for the largest one that
    /// is acceptable, however it is written. The server's limits hold as well. Of several methods of a path the greatest counts.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// The rules that it keeps, in some more words.
    #[must_use]
    pub fn details(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// A header that may be sent.
    #[must_use]
    pub fn header<T: PartialSchema>(self, name: &str, description: &str) -> Self {
        self.header_of::<T>(name, description, Required::False)
    }

    /// A header that has to be sent.
    #[must_use]
    pub fn required_header<T: PartialSchema>(self, name: &str, description: &str) -> Self {
        self.header_of::<T>(name, description, Required::True)
    }

    fn header_of<T: PartialSchema>(mut self, name: &str, description: &str, required: Required) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(required)
            .description(Some(description))
            .schema(Some(T::schema()));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// The JSON that it takes.
    #[must_use]
    pub fn body<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self.body_limit.get_or_insert(JSON_BYTES);
        self
    }

    /// The JSON that it takes, where there is any.
    #[must_use]
    pub fn optional_body<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::False));
        self.operation = self.operation.request_body(Some(body.build()));
        self.body_limit.get_or_insert(JSON_BYTES);
        self
    }

    /// The bytes that it takes, as this media type.
    #[must_use]
    pub fn takes_bytes(self, media_type: &str) -> Self {
        self.bytes(media_type, Required::True)
    }

    /// The media type of the bytes that it may take.
    #[must_use]
    pub fn may_take_bytes(self, media_type: &str) -> Self {
        self.bytes(media_type, Required::False)
    }

    fn bytes(mut self, media_type: &str, required: Required) -> Self {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        let content = ContentBuilder::new().schema(Some(bytes)).build();
        let body = RequestBodyBuilder::new()
            .content(media_type, content)
            .required(Some(required));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// The form that it takes, with a file.
    #[must_use]
    pub fn form<T: ToSchema>(mut self) -> Self {
        let schema = self.schema::<T>();
        if let (Some((_, RefOr::T(Schema::Object(form)))), RefOr::T(name)) =
            (self.schemas.last_mut(), schema::FieldName::schema())
        {
            form.property_names = Some(Box::new(name));
        }
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new()
            .content("multipart/form-data", content)
            .required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self.problems(&[
            ProblemCode::InvalidMultipart,
            ProblemCode::UnsupportedMediaType,
            ProblemCode::UnsupportedEncoding,
            ProblemCode::ValidationFailed,
        ])
    }

    /// The JSON that it answers with.
    #[must_use]
    pub fn returns<T: ToSchema>(mut self, description: &str) -> Self {
        let schema = self.schema::<T>();
        self.answer(description, schema)
    }

    /// It answers with a list of these.
    #[must_use]
    pub fn returns_list<T: ToSchema>(mut self, description: &str) -> Self {
        let items = self.schema::<T>();
        self.answer(description, ArrayBuilder::new().items(items))
    }

    /// It answers with this, or with `null`.
    #[must_use]
    pub fn returns_nullable<T: ToSchema>(mut self, description: &str) -> Self {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        let either = OneOfBuilder::new().item(null).item(self.schema::<T>());
        self.answer(description, either)
    }

    fn answer(mut self, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content);
        self.operation = self.operation.response("200", response);
        self
    }

    /// It answers with text of this media type that goes on: all of it as one text, or each of its events.
    #[must_use]
    pub fn returns_stream<T: ToSchema>(mut self, media_type: &str, description: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(T::schema())).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content(media_type, content);
        self.operation = self.operation.response("200", response);
        self
    }

    /// It answers 204, without a body.
    #[must_use]
    pub fn returns_nothing(mut self, description: &str) -> Self {
        self.operation = self
            .operation
            .response("204", ResponseBuilder::new().description(description));
        self
    }

    /// It answers with a file: whole, in part, or with where it is.
    #[must_use]
    pub fn returns_file(mut self, description: &str) -> Self {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        let content = ContentBuilder::new().schema(Some(bytes)).build();
        let with_bytes = |description: &str| {
            ResponseBuilder::new()
                .description(description)
                .content("*/*", content.clone())
        };
        self.operation = self
            .operation
            .response("200", with_bytes(description))
            .response("206", with_bytes("The ranges that were asked for"))
            .response(
                "304",
                ResponseBuilder::new().description("The client has these bytes"),
            )
            .response(
                "307",
                ResponseBuilder::new().description("The storage has them, at `Location`"),
            );
        self.header::<schema::Unforced>("Range", "Some of the bytes: `bytes=0-499`")
            .header::<schema::Unforced>("If-Range", "The range only of these bytes: their `ETag`")
            .header::<schema::Unforced>("If-None-Match", "Only if they are others: their `ETag`")
    }

    /// It answers with these headers, each with what it says, and without a body.
    #[must_use]
    pub fn returns_headers(mut self, status: u16, description: &str, headers: &[(&str, &str)]) -> Self {
        let response = headers.iter().fold(
            ResponseBuilder::new().description(description),
            |response, (name, says)| {
                let header = HeaderBuilder::new()
                    .schema(Some(String::schema()))
                    .description(Some(*says));
                response.header(*name, header.build())
            },
        );
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// What it can refuse a request with, besides what its extractors and its load say.
    #[must_use]
    pub fn problems(mut self, codes: &[ProblemCode]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// All that it can refuse a request with.
    fn refusals(&self) -> BTreeSet<ProblemCode> {
        let of_load = self.load.problems().iter();
        let codes = self.problems.iter().chain(of_load).chain(&ANYWHERE);
        codes.copied().collect()
    }

    /// A reference to a schema, which the document will have.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        schema::add::<T>(&mut self.schemas).into()
    }

    fn operation(mut self) -> Operation {
        self.problems.extend(self.load.problems());
        let mut by_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
        for code in self.problems {
            by_status.entry(code.status()).or_default().push(code);
        }
        let operation = by_status
            .into_iter()
            .fold(self.operation, |operation, (status, codes)| {
                operation.response(status.to_string(), problem_response(&meanings(&codes)))
            });
        let by = |scheme: &str| SecurityRequirement::new(scheme, Vec::<String>::new());
        let bearer = (!self.public).then(|| by(BEARER));
        let ticket = self.ticket.map(|_| by(TICKET));
        operation
            .response("default", Ref::from_response_name(ANY_PROBLEM))
            // Said also where it is nothing: else nobody could tell that from what was forgotten.
            .securities(Some(bearer.into_iter().chain(ticket)))
            .build()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn route_for(method: &Method) -> Route {
    if *method == Method::GET {
        web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
    } else {
        web::method(method.clone())
    }
}

/// What the document calls the answer that every route may give.
const ANY_PROBLEM: &str = "AnyProblem";

/// What a request can be refused with whatever its route is, and before that is known.
const ANYWHERE: [ProblemCode; 8] = [
    ProblemCode::BadRequest,
    ProblemCode::UnknownRoute,
    ProblemCode::MethodNotAllowed,
    ProblemCode::UriTooLong,
    ProblemCode::ExpectationFailed,
    ProblemCode::HeadersTooLarge,
    ProblemCode::Internal,
    ProblemCode::VersionNotSupported,
];

fn meanings(codes: &[ProblemCode]) -> String {
    let meaning = |code: &ProblemCode| format!("`{}`: {}", code.code(), code.title());
    codes.iter().map(meaning).collect::<Vec<_>>().join("; ")
}

/// Any problem, also those that no route names.
fn any_problem() -> utoipa::openapi::Response {
    problem_response(&format!(
        "Any other problem, as any request may have: {}",
        meanings(&ANYWHERE)
    ))
}

fn problem_response(description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, content)
        .build()
}
