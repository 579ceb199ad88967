//! Logging: lowercase fragments with fields, to standard error.
//!
//! `WALHOOK_LOG` takes tracing's filter directives (default `info`). On a terminal
//! the lines have colours, unless `NO_COLOR` is set.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The text of `WALHOOK_LOG` is no filter.
#[derive(Debug, thiserror::Error)]
#[error("invalid WALHOOK_LOG")]
pub struct LoggingError(#[source] tracing_subscriber::filter::ParseError);

/// Sends the process's log lines to standard error. Once per process; a second call
/// changes nothing.
pub fn start(filter: Option<&str>, no_color: bool) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(filter.unwrap_or("info")).map_err(LoggingError)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(!no_color && std::io::stderr().is_terminal());
    // An error means that a subscriber is there already.
    let _ = builder.try_init();
    Ok(())
}
