//! `walhook send`: one signed test event to an endpoint, and the exchange.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Exit;
use super::printed::{print, printable};
use crate::config::{Config, Endpoint};
use crate::delivery::client::{Client, tls_config};
use crate::delivery::outcome::Answer;
use crate::delivery::request::Webhook;
use crate::delivery::signature;
use crate::event::EventId;

#[derive(Debug, Args)]
pub struct SendArguments {
    /// The endpoint's name in the config
    endpoint: String,
    /// The event's type
    #[arg(long = "type", default_value = "walhook.test", value_name = "TYPE")]
    event_type: String,
    /// The event's `data`: JSON
    #[arg(
        long,
        default_value = r#"{"message":"a test event"}"#,
        value_name = "JSON"
    )]
    data: String,
    /// In place of the standard body: JSON
    #[arg(long, value_name = "JSON", conflicts_with_all = ["event_type", "data"])]
    body: Option<String>,
}

/// The standard body, of no table.
#[derive(Serialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    timestamp: String,
    data: &'a RawValue,
    previous: Option<()>,
    source: Source,
}

#[derive(Serialize)]
struct Source {
    database: &'static str,
    schema: &'static str,
    table: &'static str,
    operation: &'static str,
    lsn: &'static str,
    xid: u32,
    index: u32,
}

const NO_SOURCE: Source = Source {
    database: "walhook",
    schema: "walhook",
    table: "test",
    operation: "test",
    lsn: "0/0",
    xid: 0,
    index: 0,
};

pub fn run(arguments: &SendArguments, config: &Config) -> anyhow::Result<Exit> {
    let named = |endpoint: &&Endpoint| *endpoint.name == *arguments.endpoint;
    let Some(endpoint) = config.endpoints.iter().find(named) else {
        let names: Vec<&str> = config.endpoints.iter().map(|e| &*e.name).collect();
        bail!(
            "no endpoint \"{}\" in the config, which has: {}",
            printable(&arguments.endpoint),
            names.join(", ")
        );
    };
    let now = jiff::Timestamp::now();
    let webhook = webhook(arguments, endpoint, now)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(endpoint.target.clone(), tls_config()?)?;
    print(&request(endpoint, &webhook, now.as_second()))?;
    let answer = runtime.block_on(client.post(&webhook, now.as_second(), 1));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let (text, exit) = told(&answer);
    print(&text)?;
    Ok(exit)
}

fn webhook(
    arguments: &SendArguments,
    endpoint: &Endpoint,
    now: jiff::Timestamp,
) -> anyhow::Result<Webhook> {
    let id = EventId(fastrand::u128(..).to_be_bytes());
    let body = match &arguments.body {
        Some(body) => {
            let body: &RawValue = serde_json::from_str(body).context("--body is no JSON")?;
            body.get().to_owned()
        }
        None => serde_json::to_string(&Event {
            id: id.to_string(),
            event_type: &arguments.event_type,
            timestamp: now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            data: serde_json::from_str(&arguments.data).context("--data is no JSON")?,
            previous: None,
            source: NO_SOURCE,
        })?,
    };
    let body = Bytes::from(body);
    Ok(match endpoint.lanes.batch {
        None => Webhook::single(id, body),
        Some(_) => Webhook::batch([(id, &body)].into_iter()),
    })
}

/// The request as it goes out; of the URL only what may be shown.
fn request(endpoint: &Endpoint, webhook: &Webhook, timestamp: i64) -> String {
    let target = &endpoint.target;
    let signature = signature::header(&target.keys, &webhook.id, timestamp, &webhook.body);
    let mut text = format!("POST to {} (the path is not shown)\n", target.origin());
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  content-type: application/json");
    for name in target.headers.keys() {
        let _ = writeln!(text, "  {name}: (not shown)");
    }
    let _ = writeln!(text, "  webhook-id: {}", webhook.id);
    let _ = writeln!(text, "  webhook-timestamp: {timestamp}");
    let _ = writeln!(text, "  webhook-signature: {signature}");
    let _ = writeln!(text, "  webhook-attempt: 1\n");
    let body = String::from_utf8_lossy(&webhook.body);
    let _ = writeln!(text, "  {}\n", printable(&body));
    text
}

fn told(answer: &Answer) -> (String, Exit) {
    match answer {
        Answer::None(why) => (format!("no answer: {why}\n"), Exit::Failed),
        Answer::Response {
            status,
            retry_after,
            beginning,
        } => {
            let mut text = format!("answered {status}\n");
            if let Some(retry_after) = retry_after {
                let _ = writeln!(text, "  retry-after: {}", printable(retry_after));
            }
            if !beginning.is_empty() {
                let _ = writeln!(text, "  {}", printable(&String::from_utf8_lossy(beginning)));
            }
            let (verdict, exit) = match status {
                200..300 => ("delivered", Exit::Done),
                410 => (
                    "not delivered: on 410 the daemon disables the endpoint",
                    Exit::Failed,
                ),
                _ => (
                    "not delivered: only a 2xx is; the daemon would act as `retry` says",
                    Exit::Failed,
                ),
            };
            let _ = writeln!(text, "{verdict}");
            (text, exit)
        }
    }
}
