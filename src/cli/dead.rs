//! `walhook dead`: the events that were given up, seen, sent again or dropped.

use std::path::Path;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Exit;
use super::ask::{Conversation, now_ms, unexpected};
use super::dead_filter::FilterArgs;
use super::printed::{bytes, json_line, print, printable, table, time};
use crate::store::{DeadFilter, DeadLetter, DeadSummary};
use crate::telemetry::control::{Request, Response};

/// Changed in one commit of the store, so that the daemon's own commits get a turn.
const LETTERS_A_REQUEST: u32 = 5_000;

#[derive(Args, Debug)]
pub struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
}

#[derive(Subcommand, Debug)]
enum DeadCommand {
    /// List dead letters, oldest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a dead letter with its body and what the receiver answered
    Show {
        /// Its number in `dead list`
        id: i64,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Send dead letters again, in order, ahead of what waits in their lanes
    Retry(ChangeArgs),
    /// Drop dead letters for good
    Drop(ChangeArgs),
}

#[derive(Args, Debug)]
struct ChangeArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// All of them, where nothing else says which
    #[arg(long)]
    all: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl ChangeArgs {
    fn filter(&self) -> anyhow::Result<DeadFilter> {
        let filter = self.filter.filter(now_ms());
        if filter.means_all() && !self.all {
            bail!("nothing says which dead letters are meant: give a filter, or --all");
        }
        if !filter.means_all() && self.all {
            bail!("--all contradicts the filter beside it");
        }
        Ok(filter)
    }
}

pub fn run(args: &DeadArgs, state: &Path) -> anyhow::Result<Exit> {
    let mut conversation = Conversation::with(state)?;
    match &args.command {
        DeadCommand::List { filter, json } => {
            list(&mut conversation, filter.filter(now_ms()), *json)
        }
        DeadCommand::Show { id, json } => show(&mut conversation, *id, *json),
        DeadCommand::Retry(args) => {
            let count = change(&mut conversation, args.filter()?, |filter| {
                Request::DeadRetry { filter }
            })?;
            let when = if conversation.is_with_daemon() {
                "being sent again"
            } else {
                "sent again once the daemon runs"
            };
            report(args.json, "retried", count, when)
        }
        DeadCommand::Drop(args) => {
            let count = change(&mut conversation, args.filter()?, |filter| {
                Request::DeadDrop { filter }
            })?;
            report(args.json, "dropped", count, "dropped")
        }
    }
}

fn list(
    conversation: &mut Conversation,
    mut filter: DeadFilter,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut head = true;
    loop {
        let request = Request::DeadList {
            filter: filter.clone(),
        };
        let Response::DeadList(page) = conversation.ask(&request)? else {
            return Err(unexpected());
        };
        if json {
            for letter in &page.letters {
                print(&json_line(letter)?)?;
            }
        } else if !page.letters.is_empty() {
            print(&letters_table(&page.letters, head))?;
        }
        head = false;
        let count = u32::try_from(page.letters.len()).unwrap_or(u32::MAX);
        filter.limit = filter.limit.map(|limit| limit.saturating_sub(count));
        filter.after = page.next;
        if page.next.is_none() || filter.limit == Some(0) {
            return Ok(Exit::Done);
        }
    }
}

fn letters_table(letters: &[DeadSummary], head: bool) -> String {
    let head = head.then(|| {
        let names = "ID PARKED ENDPOINT TYPE TABLE LSN STATE REASON ATTEMPTS STATUS ERROR";
        names.split(' ').map(str::to_owned).collect()
    });
    let rows = letters.iter().map(|letter| {
        vec![
            letter.id.to_string(),
            time(letter.parked_at_ms),
            printable(&letter.endpoint),
            printable(&letter.event_type),
            printable(&letter.table),
            printable(&letter.lsn),
            printable(&letter.state),
            printable(&letter.reason),
            letter.attempts.to_string(),
            letter.last_status.map_or("-".to_owned(), |s| s.to_string()),
            printable(letter.last_error.as_deref().unwrap_or("")),
        ]
    });
    table(&head.into_iter().chain(rows).collect::<Vec<_>>())
}

fn show(conversation: &mut Conversation, id: i64, json: bool) -> anyhow::Result<Exit> {
    let mut whole: Option<DeadLetter> = None;
    let mut body_from = Some(0);
    while let Some(from) = body_from {
        let request = Request::DeadShow {
            id,
            body_from: from,
        };
        let part = match conversation.ask(&request)? {
            Response::DeadShow(letter) => *letter,
            Response::DeadUnknown {} => bail!("there is no dead letter {id}"),
            _ => return Err(unexpected()),
        };
        // Only forward, whatever was answered.
        body_from = part.body_next.filter(|next| *next > from);
        match &mut whole {
            None => whole = Some(part),
            Some(letter) => letter.body_part.push_str(&part.body_part),
        }
    }
    let letter = whole.ok_or_else(unexpected)?;
    if json {
        let value = json!({
            "summary": letter.summary,
            "answer": letter.answer,
            "body": letter.body_part,
        });
        print(&json_line(&value)?)?;
    } else {
        print(&letter_text(&letter))?;
    }
    Ok(Exit::Done)
}

fn letter_text(letter: &DeadLetter) -> String {
    let summary = &letter.summary;
    let commit_ms = summary.commit_time_us.div_euclid(1000) + 946_684_800_000;
    let attempts = match summary.first_attempt_at_ms {
        Some(first) => format!("{}, the first at {}", summary.attempts, time(first)),
        None => summary.attempts.to_string(),
    };
    let place = format!(
        "{} change {} event {}",
        summary.lsn, summary.ordinal, summary.n
    );
    let facts = [
        ("dead letter", format!("{} ({})", summary.id, summary.state)),
        ("event", summary.event_id.clone()),
        ("type", summary.event_type.clone()),
        ("endpoint", summary.endpoint.clone()),
        ("table", summary.table.clone()),
        ("operation", summary.operation.clone()),
        ("committed", time(commit_ms)),
        ("position", place),
        ("slot", summary.slot.clone()),
        ("lane", summary.lane.clone()),
        ("parked", time(summary.parked_at_ms)),
        ("reason", summary.reason.clone()),
        ("attempts", attempts),
        (
            "status",
            summary
                .last_status
                .map_or("-".to_owned(), |s| s.to_string()),
        ),
        ("error", summary.last_error.clone().unwrap_or_default()),
        ("answer", letter.answer.clone()),
        ("body", bytes(summary.body_bytes)),
    ];
    let rows: Vec<_> = facts
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), printable(&value)])
        .collect();
    format!("{}\n{}\n", table(&rows), printable(&letter.body_part))
}

/// In steps until none is left, or the limit is reached.
fn change(
    conversation: &mut Conversation,
    filter: DeadFilter,
    request: impl Fn(DeadFilter) -> Request,
) -> anyhow::Result<u64> {
    let mut count = 0;
    loop {
        let left = filter.limit.map(|limit| u64::from(limit) - count);
        let step = left.map_or(LETTERS_A_REQUEST, |left| {
            u32::try_from(left)
                .unwrap_or(u32::MAX)
                .min(LETTERS_A_REQUEST)
        });
        let filter = DeadFilter {
            limit: Some(step),
            ..filter.clone()
        };
        let changed = match conversation.ask(&request(filter))? {
            Response::DeadRetried { count } | Response::DeadDropped { count } => count,
            _ => return Err(unexpected()),
        };
        count += changed.min(u64::from(step));
        if changed < u64::from(step) || left == Some(changed) {
            return Ok(count);
        }
    }
}

fn report(json: bool, name: &str, count: u64, what: &str) -> anyhow::Result<Exit> {
    if json {
        let mut value = serde_json::Map::new();
        value.insert(name.to_owned(), count.into());
        print(&json_line(&value)?)?;
    } else {
        let letters = if count == 1 { "letter" } else { "letters" };
        print(&format!("{count} dead {letters} {what}\n"))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
#[path = "dead_tests.rs"]
mod tests;
