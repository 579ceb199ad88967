//! Logging: lowercase fragments with fields, to standard error.
//!
//! - `WALHOOK_LOG` takes tracing's filter directives (default `info`).
//! - `WALHOOK_LOG_FORMAT` is `text` (default) or `json`: an object a line.
//! - On a terminal the text has colours, unless `NO_COLOR` is set.
//! - Into the journal each line goes with its priority, and without a second timestamp.
//!   <https://www.freedesktop.org/software/systemd/man/latest/sd-daemon.html>

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What the environment says of logging.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// `WALHOOK_LOG`
    pub filter: Option<&'a str>,
    /// `WALHOOK_LOG_FORMAT`
    pub format: Option<&'a str>,
    /// `NO_COLOR`
    pub no_color: bool,
    /// `JOURNAL_STREAM`: device and inode of the journal's socket.
    pub journal_stream: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("invalid WALHOOK_LOG")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    #[error("WALHOOK_LOG_FORMAT is \"{0}\", expected text or json")]
    Format(String),
}

/// Sends the process's log lines to standard error. Once per process; a second call
/// changes nothing.
pub fn start(options: Options<'_>) -> Result<(), LoggingError> {
    let filter =
        EnvFilter::try_new(options.filter.unwrap_or("info")).map_err(LoggingError::Filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        // It would tell on standard error, and panic there, that a line could not be written.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // An error of these means that a subscriber is there already.
    let _ = match options.format.unwrap_or("text") {
        "json" => builder.json().flatten_event(true).try_init(),
        "text" if is_journal(options.journal_stream) => builder
            .with_ansi(false)
            .event_format(Journal::new())
            .try_init(),
        "text" => {
            let colours = !options.no_color && std::io::stderr().is_terminal();
            builder.with_ansi(colours).try_init()
        }
        other => return Err(LoggingError::Format(other.to_owned())),
    };
    Ok(())
}

/// systemd.exec(5): standard error is the journal when its device and inode are these.
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|stderr| {
        device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino)
    })
}

/// A line with its priority before it; the journal has the time.
struct Journal(Format<Full, ()>);

impl Journal {
    fn new() -> Self {
        let format = tracing_subscriber::fmt::format();
        Journal(format.without_time().with_target(false).with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// syslog(3)
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
