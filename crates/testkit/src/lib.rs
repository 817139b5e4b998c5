//! For tests only: the storage conformance suite, builders, fixed clocks and ids.
