//! The `mosaic-cli` binary. Everything it does is in the library beside it, where tests reach it.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mosaic_cli::{Failure, Plain, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(
        std::env::args_os(),
        &|name| std::env::var_os(name),
        &mut io::stdout(),
    )
    .await
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Arguments(error)) => error.exit(),
        Err(failure) => {
            // A closed stderr changes nothing.
            let _ = writeln!(Plain(io::stderr()), "mosaic-cli: {failure}");
            ExitCode::FAILURE
        }
    }
}
