//! This store keeps every promise of the ports: the suite of `mosaic-testkit`, with prepared statements. Without them, behind
//! a pooler that gives each transaction another connection, it runs in `locality.rs`.

mosaic_testkit::conformance!(crate::fixture::Fixture);
