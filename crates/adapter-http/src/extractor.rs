//! What the document says of the parameters of a route, and of what it may be refused with: its handler's extractors are asked,
//! so that a route describes what it reads, and reads what it describes.

use actix_web::{FromRequest, HttpRequest, web};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, Required};

use crate::problem::ProblemCode;

/// What a handler takes from a request.
pub trait Extractor: FromRequest {
    /// The parameters of path and query that it reads. `path` is that of the route: it has the names of the former.
    fn parameters(_path: &str) -> Vec<Parameter> {
        Vec::new()
    }

    /// What it can refuse a request with.
    fn problems() -> Vec<ProblemCode> {
        Vec::new()
    }
}

/// The first parameters of a path, with what each looks like.
pub(crate) fn in_path<const N: usize>(path: &str, schemas: [RefOr<Schema>; N]) -> Vec<Parameter> {
    let names = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names
        .zip(schemas)
        .map(|(name, schema)| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(schema))
                .build()
        })
        .collect()
}

/// A parameter of the query, which may be left out.
pub(crate) fn in_query(name: &str, description: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description.trim()))
        .schema(Some(schema))
        .build()
}

impl Extractor for HttpRequest {}
impl Extractor for web::Payload {
    fn problems() -> Vec<ProblemCode> {
        vec![ProblemCode::RequestTimeout]
    }
}
impl<T: 'static> Extractor for web::Data<T> {}

impl<T: Extractor, E: 'static> Extractor for Result<T, E>
where
    T::Error: Into<E>,
{
    fn parameters(path: &str) -> Vec<Parameter> {
        T::parameters(path)
    }

    fn problems() -> Vec<ProblemCode> {
        T::problems()
    }
}

impl Extractor for () {}

/// The extractors of one handler together.
macro_rules! together {
    ($($extractor:ident)*) => {
        impl<$($extractor: Extractor + 'static),*> Extractor for ($($extractor,)*) {
            fn parameters(path: &str) -> Vec<Parameter> {
                [$($extractor::parameters(path)),*].concat()
            }

            fn problems() -> Vec<ProblemCode> {
                [$($extractor::problems()),*].concat()
            }
        }
    };
}

together!(A);
together!(A B);
together!(A B C);
together!(A B C D);
together!(A B C D E);
together!(A B C D E F);
