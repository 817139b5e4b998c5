//! The one table of routes: from it come both the router and the OpenAPI document, so they can not differ.
//!
//! A route is an [`Endpoint`]: method, path, handler, and what the document says about it. [`RouteTable::configure`]
//! registers all of them, [`RouteTable::document`] describes them. Handlers may be generic: the document is built with
//! values, not with macros on functions, so the four entity types share their handlers.

use std::collections::BTreeMap;
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
use crate::schema;

/// The name of the security scheme in the document.
const BEARER: &str = "bearer";

/// The most bytes of a JSON body, unless its route says otherwise.
const JSON_BYTES: usize = 64 * 1024;

type Schemas = Vec<(String, RefOr<Schema>)>;

/// One route: how it is served and how it is described.
pub struct Endpoint {
    method: Method,
    path: String,
    operation: OperationBuilder,
    public: bool,
    load: Load,
    body_limit: Option<usize>,
    schemas: Schemas,
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
    pub fn takes_bytes(mut self, media_type: &str) -> Self {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        let content = ContentBuilder::new().schema(Some(bytes)).build();
        let body = RequestBodyBuilder::new()
            .content(media_type, content)
            .required(Some(Required::True));
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
        self
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

    /// The problems that are worth knowing here, besides those that every route may answer with.
    #[must_use]
    pub fn problems(mut self, codes: &[ProblemCode]) -> Self {
        let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for code in codes {
            by_status
                .entry(code.status())
                .or_default()
                .push(format!("`{}`: {}", code.code(), code.title()));
        }
        for (status, texts) in by_status {
            self.operation = self
                .operation
                .response(status.to_string(), problem_response(&texts.join("; ")));
        }
        self
    }

    /// A reference, or the whole schema for a generic type whose name does not tell it apart.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let generic = std::any::type_name::<T>().split_once('<');
        if generic.is_some_and(|(path, _)| path.rsplit("::").next() == Some(&*T::name())) {
            return T::schema();
        }
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }

    fn operation(self) -> Operation {
        let mut operation = self
            .operation
            .response("default", problem_response("Any problem"));
        if !self.public {
            operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
        }
        operation.build()
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

fn problem_response(description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, content)
        .build()
}
