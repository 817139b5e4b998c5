//! The `mosaic` binary. Everything it does is in the library beside it, where tests reach it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mosaic_server::run(std::env::args_os())
}
