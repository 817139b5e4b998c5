//! The headers in which a device says who it is, and when.

/// Names the device: a [`ClientId`](crate::ClientId) (D1).
pub const CLIENT_ID: &str = "X-Client-Id";
/// The device's own clock, in Unix milliseconds (W6).
pub const CLIENT_TIME: &str = "X-Client-Time";
