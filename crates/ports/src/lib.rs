//! The traits that the use cases need from the world: stores, change feed, accounts, clock, ids.
