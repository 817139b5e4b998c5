//! The suite, run against the store in memory: it tests the suite as much as the store.

mosaic_testkit::conformance!(mosaic_testkit::MemoryFixture);
