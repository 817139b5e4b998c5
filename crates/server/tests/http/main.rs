//! The server as apps see it: the real binary, a real store, real sockets.

mod crash;
mod examples;
mod harness;
mod stop;
mod sync;
mod tour;
