//! `walhook listen`: a receiver to try things with. It verifies, prints, and fails when told to.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::printed::{columns, printable};
use super::signals;
use crate::delivery::signature::SigningKey;
use crate::receiver::line::{self, Lines};
use crate::receiver::received::{self, Received};
use crate::receiver::seen::{Seen, Sight};
use crate::receiver::server::{self, Answering, Receipt, Reply, Verdict};

/// `18:12:12.288` and two spaces.
const TIME_WIDTH: usize = 14;

#[derive(Debug, Args)]
pub struct ListenArguments {
    /// The port on which to listen; 0 for any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address on which to listen
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
    /// A secret (whsec_...) that may have signed, several times for several; without one nothing is verified
    #[arg(
        long,
        env = "WALHOOK_LISTEN_SECRET",
        hide_env_values = true,
        value_delimiter = ','
    )]
    secret: Vec<String>,
    /// Answer 500 to so many of the requests, such as 30%
    #[arg(long, default_value = "0%", value_name = "PERCENT", value_parser = percent)]
    fail: f64,
    /// Wait so long before each answer, such as 200ms
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// Append each request to this file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// What must come in the order of its commits: the changes of a table, of a row, all, or nothing
    #[arg(long, value_enum, default_value_t = OrderBy::Table)]
    order: OrderBy,
    /// With --order key: the column of `data` that tells rows apart
    #[arg(long, default_value = "id", value_name = "COLUMN")]
    key: String,
    /// Print whole bodies
    #[arg(long)]
    body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OrderBy {
    Table,
    Key,
    Endpoint,
    None,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected 0% to 100%".to_owned()),
    }
}

pub fn run(arguments: &ListenArguments) -> anyhow::Result<Exit> {
    let keys = arguments.secret.iter().map(|secret| {
        SigningKey::parse(secret).map_err(|error| anyhow!("--secret is no secret: {error}"))
    });
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let save = match &arguments.save {
        Some(path) => Some(append_to(path)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(listen(arguments, keys, save))
}

async fn listen(
    arguments: &ListenArguments,
    keys: Vec<SigningKey>,
    save: Option<File>,
) -> anyhow::Result<Exit> {
    let mut ended = signals::Ended::new()?;
    let address = SocketAddr::new(arguments.bind, arguments.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    let mut printer = Printer {
        keyed: (arguments.order, arguments.key.clone()),
        whole_bodies: arguments.body,
        save,
        seen: HashMap::new(),
        tally: Tally::default(),
        lines: Lines::new(columns(), TIME_WIDTH),
    };
    let verified = if keys.is_empty() {
        "nothing is verified: there is no --secret"
    } else {
        "signatures are verified"
    };
    say(&format!(
        "listening on http://{} ({verified}); Ctrl-C ends it",
        listener.local_addr()?
    ))?;
    let (receipts, mut received) = mpsc::channel(1000);
    let (fail, delay) = (arguments.fail, arguments.delay);
    let answering = Answering {
        keys,
        reply: Arc::new(move |_: &str| Reply {
            status: if fastrand::f64() < fail { 500 } else { 204 },
            delay,
        }),
        receipts,
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server::serve(listener, answering, stop.clone()));
    loop {
        tokio::select! {
            biased;
            () = ended.wait() => break,
            receipt = received.recv() => match receipt {
                Some(receipt) => printer.take(&receipt)?,
                None => break,
            },
        }
    }
    stop.cancel();
    serving.await??;
    say(&printer.tally.summary())?;
    Ok(Exit::Done)
}

#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    events: u64,
    repeats: u64,
    overtaken: u64,
    failed: u64,
    refused: u64,
}

impl Tally {
    fn summary(&self) -> String {
        format!(
            "{} requests: {} events accepted, {} repeats, {} out of order; {} requests failed as told, {} refused",
            self.requests, self.events, self.repeats, self.overtaken, self.failed, self.refused
        )
    }
}

struct Printer {
    keyed: (OrderBy, String),
    whole_bodies: bool,
    save: Option<File>,
    /// By path: an endpoint's URL.
    seen: HashMap<String, Seen>,
    tally: Tally,
    lines: Lines,
}

impl Printer {
    fn take(&mut self, receipt: &Receipt) -> anyhow::Result<()> {
        if let Some(file) = &mut self.save {
            save(file, receipt).context("failed to write to the file of --save")?;
        }
        self.tally.requests += 1;
        match receipt.verdict {
            Verdict::Refused(_) => self.tally.refused += 1,
            _ if !receipt.accepted() => self.tally.failed += 1,
            _ => {}
        }
        let id = receipt.header("webhook-id").unwrap_or("(no id)");
        let events = received::events(id, &receipt.body);
        let time = jiff::Timestamp::try_from(receipt.at)
            .map(|at| at.strftime("%H:%M:%S%.3f").to_string())
            .unwrap_or_default();
        for event in &events {
            // What was not accepted comes again, and is no repeat then.
            let sight = if receipt.accepted() {
                self.sight(receipt, event)
            } else {
                Sight::Fresh
            };
            let line = self.lines.event(receipt, event, sight, printable);
            say(&format!("{}  {line}", line::styled(line::DIM, &time)))?;
        }
        if self.whole_bodies {
            say(&printable(&String::from_utf8_lossy(&receipt.body)))?;
        }
        Ok(())
    }

    fn sight(&mut self, receipt: &Receipt, event: &Received) -> Sight {
        let lane = self.lane(event);
        let position = event
            .standard
            .as_ref()
            .filter(|_| lane.is_some())
            .and_then(|standard| standard.position);
        let seen = self.seen.entry(receipt.path.clone()).or_default();
        let sight = seen.see(&lane.unwrap_or_default(), &event.id, position);
        match sight {
            Sight::Fresh => self.tally.events += 1,
            Sight::Repeat => self.tally.repeats += 1,
            Sight::Overtaken => {
                self.tally.events += 1;
                self.tally.overtaken += 1;
            }
        }
        sight
    }

    /// What the event must stay in order with; `None` when its place cannot be told.
    fn lane(&self, event: &Received) -> Option<String> {
        let table = &event.standard.as_ref()?.table;
        match self.keyed.0 {
            OrderBy::None => None,
            OrderBy::Endpoint => Some(String::new()),
            OrderBy::Table => Some(table.clone()),
            OrderBy::Key => {
                let row: HashMap<String, &serde_json::value::RawValue> =
                    serde_json::from_str(&event.shown).ok()?;
                let key = row.get(&self.keyed.1)?;
                Some(format!("{table} {key}"))
            }
        }
    }
}

/// A line of `--save`.
#[derive(Serialize)]
struct Saved<'a> {
    received_at: String,
    path: &'a str,
    headers: HashMap<&'a str, &'a str>,
    /// `verified`, `not verified`, or why it was refused.
    verdict: String,
    status: u16,
    /// As text: exactly what was signed.
    body: std::borrow::Cow<'a, str>,
}

fn save(file: &mut File, receipt: &Receipt) -> anyhow::Result<()> {
    let headers = receipt.headers.iter();
    let saved = Saved {
        received_at: jiff::Timestamp::try_from(receipt.at)?.to_string(),
        path: &receipt.path,
        headers: headers.map(|(n, v)| (n.as_str(), v.as_str())).collect(),
        verdict: match receipt.verdict {
            Verdict::Verified => "verified".to_owned(),
            Verdict::Unverified => "not verified".to_owned(),
            Verdict::Refused(refusal) => refusal.to_string(),
        },
        status: receipt.status,
        body: String::from_utf8_lossy(&receipt.body),
    };
    let mut line = serde_json::to_vec(&saved)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(())
}

/// What is saved holds row values: for its owner's eyes alone.
fn append_to(path: &PathBuf) -> anyhow::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))
}

fn say(text: &str) -> std::io::Result<()> {
    super::printed::print_styled(&format!("{text}\n"))
}
