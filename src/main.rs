//! Arguments -> command -> error printed once -> exit code.

use std::process::ExitCode;

use clap::Parser;
use walhook::cli::printed::tell;
use walhook::cli::{Arguments, Exit};

fn main() -> ExitCode {
    // clap prints its own errors and help; a wrong usage is a wrong config.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Config.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    match arguments.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            tell(format_args!("walhook: {error:#}"));
            Exit::Failed.into()
        }
    }
}
