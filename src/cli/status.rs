//! `walhook status`: what the daemon does, or what the state file holds where none runs.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;

use super::Exit;
use super::ask::{Conversation, now_ms, unexpected};
use super::printed::{age, bytes, counted, duration, json_line, print, printable, table};
use crate::telemetry::control::{
    EndpointCondition, EndpointStatus, GapStatus, Request, Response, SlotStatus, Status,
};

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &StatusArgs, state: &Path) -> anyhow::Result<Exit> {
    let mut conversation = Conversation::with(state)?;
    let Response::Status(status) = conversation.ask(&Request::Status {})? else {
        return Err(unexpected());
    };
    if args.json {
        print(&json_line(&status)?)?;
    } else {
        print(&status_text(&status, now_ms()))?;
    }
    Ok(Exit::Done)
}

fn status_text(status: &Status, now_ms: i64) -> String {
    let mut text = String::new();
    let _ = match &status.daemon {
        Some(daemon) => writeln!(
            text,
            "walhook {}, process {}, for {}",
            printable(&daemon.version),
            daemon.pid,
            age(daemon.started_at_ms, now_ms),
        ),
        None => writeln!(text, "no daemon runs"),
    };
    for slot in &status.slots {
        text.push('\n');
        text.push_str(&slot_text(slot, now_ms));
    }
    if !status.problems.is_empty() {
        text.push_str("\nproblems:\n");
    }
    for problem in &status.problems {
        // With its hint and its SQL, a line each.
        for (place, line) in problem.lines().enumerate() {
            let mark = if place == 0 { "- " } else { "" };
            let _ = writeln!(text, "{mark}{}", printable(line));
        }
    }
    text
}

fn slot_text(slot: &SlotStatus, now_ms: i64) -> String {
    let stream = slot
        .stream
        .as_ref()
        .map(|stream| format!("{}, for {}", stream.state, age(stream.since_ms, now_ms)));
    let checkpoint = slot.checkpoint_lsn.as_ref().map(|lsn| {
        let ago = slot.checkpoint_at_ms.map(|at| age(at, now_ms));
        format!("{lsn}, {} ago", ago.unwrap_or_default())
    });
    let facts = [
        ("slot", Some(slot.slot.clone())),
        ("stream", stream),
        ("checkpoint", checkpoint.or(Some("none".into()))),
        ("confirmed", slot.confirmed_lsn.clone()),
        ("WAL retained", slot.retained_wal_bytes.map(bytes)),
    ];
    let rows: Vec<_> = facts
        .into_iter()
        .filter_map(|(name, value)| Some(vec![name.to_owned(), printable(&value?)]))
        .collect();
    let mut text = table(&rows);
    if !slot.endpoints.is_empty() {
        let head = "ENDPOINT ORIGIN WAITING BYTES OLDEST DEAD RETRYING STATE";
        let mut rows = vec![head.split(' ').map(str::to_owned).collect()];
        rows.extend(slot.endpoints.iter().map(|e| endpoint_row(e, now_ms)));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    if !slot.gaps.is_empty() {
        let head = "GAP FROM TO ENDPOINT EVENTS RECORDED";
        let mut rows = vec![head.split(' ').map(str::to_owned).collect()];
        rows.extend(slot.gaps.iter().map(|gap| gap_row(gap, now_ms)));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

fn gap_row(gap: &GapStatus, now_ms: i64) -> Vec<String> {
    vec![
        printable(&gap.reason),
        gap.from.clone(),
        gap.to.clone(),
        printable(gap.endpoint.as_deref().unwrap_or("all")),
        gap.events
            .map_or("-".to_owned(), |events| events.to_string()),
        format!("{} ago", age(gap.recorded_at_ms, now_ms)),
    ]
}

fn endpoint_row(endpoint: &EndpointStatus, now_ms: i64) -> Vec<String> {
    let state = match &endpoint.condition {
        EndpointCondition::Unknown {} => "-".to_owned(),
        EndpointCondition::Ok {} => "ok".to_owned(),
        EndpointCondition::Failing {
            since_ms,
            attempts,
            last,
        } => format!(
            "failing for {}, {}: {last}",
            age(*since_ms, now_ms),
            counted(usize::try_from(*attempts).unwrap_or(usize::MAX), "attempt")
        ),
        EndpointCondition::Disabled { by, since_ms } => {
            format!("disabled by {by} for {}", age(*since_ms, now_ms))
        }
    };
    vec![
        printable(&endpoint.name),
        printable(endpoint.origin.as_deref().unwrap_or("-")),
        endpoint.waiting_events.to_string(),
        bytes(endpoint.waiting_bytes),
        endpoint.oldest_waiting_ms.map_or("-".to_owned(), duration),
        endpoint.dead_letters.to_string(),
        endpoint.retrying.to_string(),
        printable(&state),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::control::{DaemonStatus, StreamStatus};

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_status_is_read_at_a_glance() {
        let mut slot = SlotStatus {
            slot: "walhook".into(),
            stream: Some(StreamStatus {
                state: "streaming".into(),
                since_ms: HOUR_MS,
            }),
            checkpoint_lsn: Some("0/16B3748".into()),
            checkpoint_at_ms: Some(2 * HOUR_MS - 1000),
            confirmed_lsn: Some("0/16B3700".into()),
            retained_wal_bytes: Some(16 << 20),
            endpoints: vec![],
            gaps: vec![GapStatus {
                endpoint: Some("crm".into()),
                reason: "spool_full".into(),
                from: "0/16B0000".into(),
                to: "0/16B2000".into(),
                events: Some(17),
                recorded_at_ms: HOUR_MS,
            }],
        };
        let billing = slot.endpoint("billing");
        billing.origin = Some("https://billing.internal".into());
        billing.condition = EndpointCondition::Ok {};
        let crm = slot.endpoint("crm");
        crm.condition = EndpointCondition::Failing {
            since_ms: 2 * HOUR_MS - 90_000,
            attempts: 12,
            last: "status 500 \x1b[31m".into(),
        };
        crm.waiting_events = 812;
        crm.waiting_bytes = 1_200_000;
        crm.oldest_waiting_ms = Some(95_000);
        slot.endpoint("old").condition = EndpointCondition::Disabled {
            by: "gone_410".into(),
            since_ms: 0,
        };
        slot.endpoint("old").dead_letters = 3;
        let status = Status {
            daemon: Some(DaemonStatus {
                pid: 4711,
                version: "0.1.0".into(),
                started_at_ms: 0,
            }),
            slots: vec![slot],
            problems: vec![
                "table public.orders lost its replica identity\n  ALTER TABLE ..;".into(),
                "no endpoint\x1b[31m answers".into(),
            ],
        };
        insta::assert_snapshot!(status_text(&status, 2 * HOUR_MS), @r"
        walhook 0.1.0, process 4711, for 2h

        slot          walhook
        stream        streaming, for 1h
        checkpoint    0/16B3748, 1s ago
        confirmed     0/16B3700
        WAL retained  16.0 MiB

        ENDPOINT  ORIGIN                    WAITING  BYTES    OLDEST  DEAD  RETRYING  STATE
        billing   https://billing.internal  0        0 B      -       0     0         ok
        crm       -                         812      1.1 MiB  1m 35s  0     0         failing for 1m 30s, 12 attempts: status 500 \u{1b}[31m
        old       -                         0        0 B      -       3     0         disabled by gone_410 for 2h

        GAP         FROM       TO         ENDPOINT  EVENTS  RECORDED
        spool_full  0/16B0000  0/16B2000  crm       17      1h ago

        problems:
        - table public.orders lost its replica identity
          ALTER TABLE ..;
        - no endpoint\u{1b}[31m answers
        ");
    }

    #[test]
    fn without_a_daemon_it_is_what_the_file_holds() {
        let status = Status {
            slots: vec![SlotStatus {
                slot: "walhook".into(),
                ..SlotStatus::default()
            }],
            ..Status::default()
        };
        insta::assert_snapshot!(status_text(&status, 0), @r"
        no daemon runs

        slot        walhook
        checkpoint  none
        ");
    }
}
