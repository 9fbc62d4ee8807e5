//! The program `unils`: thin commands around the library.
//!
//! [`args`] says what may be asked, [`commands`] does it, [`exit`] turns errors into messages and codes. Results go
//! to standard output, everything else to standard error.

mod args;
mod cache;
mod commands;
mod exit;
mod hub;
mod interrupt;
mod machine;
mod operations;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no errors.
            let is_error = error.use_stderr();
            let _ = error.print();
            return ExitCode::from(if is_error { exit::USAGE } else { exit::OK });
        }
    };
    let done = std::panic::catch_unwind(|| {
        interrupt::listen()?;
        commands::run(arguments)
    });
    let code = match done {
        Ok(Ok(())) => exit::OK,
        Ok(Err(error)) => {
            let code = exit::code(&error);
            if code != exit::OK {
                exit::report(&error);
            }
            code
        }
        // The panic's own message is printed already.
        Err(_) => {
            exit::report(&anyhow::anyhow!(
                "this is a fault of unils itself: please report the message above"
            ));
            exit::UNEXPECTED
        }
    };
    // Usually there are none left; after a panic there may be.
    let _removed = unils::file::remove_unfinished();
    ExitCode::from(code)
}
