//! The HTTP face of Mosaic sync: routes, extractors, wire types, problem+json, OpenAPI.
