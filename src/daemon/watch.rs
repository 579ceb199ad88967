//! Watching, on the control connection, while changes are streamed: gauges of the
//! slot, tables that join, and what somebody has changed about the publications, the
//! identities and the slot. What is new is a line in the log, with the SQL that mends
//! it; what holds is on /readyz and in `walhook status`.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::session_error::SessionError;
use super::slot::{publication_names, wanted};
use crate::config::Config;
use crate::lane::endpoint::Shared;
use crate::postgres::Client;
use crate::postgres::preflight::{self, Report};
use crate::postgres::publication::{self, PublicationError};

/// A table that matches a pattern joins within it.
const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Watch<'a> {
    pub config: &'a Config,
    pub client: &'a Client,
    pub shared: &'a Shared,
}

impl Watch<'_> {
    /// Runs until a query fails.
    pub async fn run(self) -> Result<(), SessionError> {
        let names = publication_names(self.config);
        let wanted = wanted(self.config);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Vec<String> = Vec::new();
        loop {
            tick.tick().await;
            let report = preflight::inspect(self.client, &names, &wanted).await?;
            self.gauges(&report);
            let mut told = self.join(&report).await?;
            told.extend(report.problems.iter().map(preflight::Problem::full));
            for problem in told.iter().filter(|problem| !known.contains(problem)) {
                warn!("{problem}");
            }
            for mended in known.iter().filter(|problem| !told.contains(problem)) {
                let first = mended.lines().next().unwrap_or_default();
                info!("no longer: {first}");
            }
            if told != known {
                known = told;
                self.shared
                    .view
                    .update(|shown| shown.warnings = known.clone());
            }
        }
    }

    fn gauges(&self, report: &Report) {
        let retained = report.slot.as_ref().and_then(|slot| slot.retained_bytes);
        self.shared.view.update(|shown| {
            shown.retained_bytes = retained;
            shown.wal_end = report.server.flush_lsn;
        });
    }

    /// Adds tables that have come since, and mends publications that are ours.
    async fn join(&self, report: &Report) -> Result<Vec<String>, SessionError> {
        let plan = report.joining();
        if plan.statements.is_empty() {
            return Ok(Vec::new());
        }
        match publication::apply(self.client, plan).await {
            Ok(()) => {
                let added: Vec<String> = plan.added.iter().map(ToString::to_string).collect();
                info!(
                    tables = added.join(", "),
                    after = %report.server.flush_lsn,
                    "the publications were changed: what these tables got before is not sent"
                );
                Ok(Vec::new())
            }
            Err(
                error @ (PublicationError::NotAllowed { .. } | PublicationError::Locked { .. }),
            ) => Ok(vec![format!(
                "failed to {}",
                crate::postgres::failure::chain(&error)
            )]),
            Err(error) => Err(error.into()),
        }
    }
}
