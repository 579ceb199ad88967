//! Watching, on the control connection, while changes are streamed: gauges of the
//! slot, tables that join, and what somebody has changed about the publications, the
//! identities, the tables and the slot. What is new is a line in the log, with the SQL
//! that mends it; what holds is on /readyz and in `walhook status`.
//!
//! Every few seconds the slot, the open transactions and a sum over the catalog are
//! looked at; when that sum has changed, and once a minute, everything is.

mod bound;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use super::session::{SILENCE_MAX, within};
use super::session_error::SessionError;
use super::slot::{publication_names, wanted};
use crate::change::TableName;
use crate::config::Config;
use crate::lane::clock::unix_us;
use crate::lane::endpoint::Shared;
use crate::lsn::Lsn;
use crate::postgres::Client;
use crate::postgres::catalog;
use crate::postgres::preflight::{self, Found, Report};
use crate::postgres::publication::{self, Leaves, PublicationError};
use crate::postgres::slot::{OpenTransaction, SlotFacts, WalStatus};
use crate::postgres::watch::{self, Names, Observed};
use crate::store::{Gap, GapReason, Progress};
use crate::telemetry::metrics::{OfKind, OfStatus};
use bound::Bound;
use trouble::{HELD_BYTES, Trouble, held_bytes, wal_at_risk, wal_behind, wal_held};

/// A table that matches a pattern joins within twice that.
const EVERY: Duration = Duration::from_secs(5);
/// The first major that sends a schema's new name by itself; others go on with the old one
/// until something else about the table changes.
const SENDS_NEW_NAMES: u32 = 16;
/// Everything is looked at so often, whatever the catalog's sum says.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is remembered from one look to the next, also over sessions.
#[derive(Debug, Default)]
pub(super) struct Watched {
    bound: Bound,
    /// What they were called at the last look, by OID.
    schemas: BTreeMap<u32, String>,
    /// On a major that takes no notice when they come and go.
    leaves: Option<Leaves>,
    /// The log was told of them.
    told: Vec<Trouble>,
    /// When all was published last.
    published_at: Lsn,
    /// Since then something is not.
    unpublished_from: Option<Lsn>,
    oldest: Option<Oldest>,
    /// When it was looked for.
    oldest_at: Option<Instant>,
}

/// The oldest open transaction.
#[derive(Debug)]
struct Oldest {
    open: OpenTransaction,
    /// When it was seen first, and looked for last.
    seen_at: Instant,
    looked_at: Instant,
}

impl Oldest {
    /// As the server says; where the role may not see that, as far as it was seen.
    fn age_s(&self) -> u64 {
        let then = self.open.age_s.unwrap_or(0) + self.looked_at.elapsed().as_secs();
        then.max(self.seen_at.elapsed().as_secs())
    }
}

impl Watched {
    /// At a connect, once the publications are what they should be. At a later one than the
    /// first the next look compares with what was bound before.
    pub fn connected(&mut self, report: &Report, added: &BTreeSet<TableName>) {
        if self.published_at.is_zero() {
            self.bound = Bound::new(tables(report));
            self.published_at = report.server.flush_lsn;
        } else if added.iter().any(|table| self.bound.has(table)) {
            self.unpublished_from.get_or_insert(self.published_at);
        }
    }
}

/// The tables that rules speak of, by OID.
fn tables(report: &Report) -> BTreeMap<u32, TableName> {
    let tables = report.tables.iter();
    tables
        .map(|table| (table.oid, table.name().clone()))
        .collect()
}

pub(super) struct Watch<'a> {
    pub config: &'a Config,
    pub client: &'a Client,
    pub shared: &'a Shared,
    pub watched: &'a mut Watched,
}

/// Whether all that rules speak of is published under its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    All,
    /// It is, once more.
    Again,
    NotAll,
}

/// Dropped, or invalidated for good.
fn is_lost(slot: Option<&SlotFacts>) -> bool {
    slot.is_none_or(|slot| slot.invalidation().is_some())
}

/// A table, an operation or a publication is missing.
fn misses(report: &Report) -> bool {
    let mut found = report.problems.iter().map(|problem| &problem.found);
    found.any(|found| {
        matches!(
            found,
            Found::Publication(_) | Found::PublicationMissing { .. } | Found::TableMissing { .. }
        )
    })
}

/// What a look at everything came to.
struct Looked {
    troubles: Vec<Trouble>,
    /// The publications could not be changed, or somebody was faster: it is tried again.
    again: bool,
}

impl Looked {
    fn again() -> Self {
        Looked {
            troubles: Vec::new(),
            again: true,
        }
    }

    /// The publications were not changed, which is told and tried again.
    fn not_changed(&mut self, error: PublicationError) -> Result<(), SessionError> {
        self.again = true;
        match error {
            PublicationError::NotAllowed { .. } | PublicationError::Locked { .. } => {
                let text = format!("failed to {}", crate::postgres::failure::chain(&error));
                self.troubles.push(Trouble {
                    kind: "publication",
                    key: text.clone(),
                    text,
                });
                Ok(())
            }
            // It was renamed or dropped just now.
            PublicationError::Gone { .. } => Ok(()),
            error => Err(error.into()),
        }
    }
}

impl Watch<'_> {
    /// Runs until a query fails, or the slot is gone or lost: nothing more comes from it. A
    /// reader that waits for room does not hear of that, for it stands behind what was sent
    /// before.
    pub async fn run(mut self) -> Result<(), SessionError> {
        let slot = self.config.source.slot.clone();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut catalog: Option<(String, Instant)> = None;
        let mut found: Vec<Trouble> = Vec::new();
        loop {
            tick.tick().await;
            let observing = async { Ok(watch::observe(self.client, &slot).await?) };
            let observed = within(SILENCE_MAX, observing).await?;
            if is_lost(observed.slot.as_ref()) {
                return Ok(());
            }
            let is_known = catalog.as_ref().is_some_and(|(known, looked_at)| {
                *known == observed.catalog && looked_at.elapsed() < LOOK_EVERY
            });
            if !is_known {
                let looked = self.look().await?;
                // What could not be looked at is as it was.
                if !looked.again || !looked.troubles.is_empty() {
                    found = looked.troubles;
                }
                catalog = (!looked.again).then(|| (observed.catalog.clone(), Instant::now()));
            }
            self.oldest(&observed).await?;
            let mut troubles = self.of_slot(&observed);
            troubles.extend(found.iter().cloned());
            self.tell(troubles);
        }
    }

    /// Looks for the oldest open transaction, once a minute, and each time while much WAL
    /// is kept for one.
    async fn oldest(&mut self, observed: &Observed) -> Result<(), SessionError> {
        let held = observed.slot.as_ref().and_then(held_bytes);
        let is_due = |at: Instant| at.elapsed() >= LOOK_EVERY;
        if held.is_none_or(|held| held < HELD_BYTES) && !self.watched.oldest_at.is_none_or(is_due) {
            return Ok(());
        }
        let now = Instant::now();
        self.watched.oldest_at = Some(now);
        let before = self.watched.oldest.take();
        let found = watch::oldest_transaction(self.client).await?;
        self.watched.oldest = found.map(|open| {
            let same = before.filter(|before| before.open.holder == open.holder);
            Oldest {
                seen_at: same.map_or(now, |before| before.seen_at),
                looked_at: now,
                open,
            }
        });
        Ok(())
    }

    /// Gauges, and what is wrong with the slot's WAL.
    fn of_slot(&self, observed: &Observed) -> Vec<Trouble> {
        let oldest = self.watched.oldest.as_ref();
        let age_s = oldest.map_or(0, Oldest::age_s);
        let found = [
            wal_at_risk(observed),
            oldest.and_then(|oldest| wal_held(observed, &oldest.open, age_s)),
            wal_behind(observed),
        ];
        let troubles: Vec<Trouble> = found.into_iter().flatten().collect();
        let facts = observed.slot.as_ref();
        let safe = facts.and_then(|slot| slot.safe_wal_bytes);

        let metrics = &self.shared.metrics;
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.oldest_transaction_seconds.set(gauge(age_s));
        metrics.slot_safe_wal_bytes.clear();
        if let Some(safe) = safe {
            metrics.slot_safe_wal_bytes.get_or_create(&[]).set(safe);
        }
        let status = facts.and_then(|slot| slot.wal_status);
        for of in WalStatus::KNOWN {
            let status = i64::from(status == Some(of));
            let of = OfStatus {
                status: of.as_str(),
            };
            metrics.slot_wal_status.get_or_create(&of).set(status);
        }
        self.shared.view.update(|shown| {
            shown.retained_bytes = facts.and_then(|slot| slot.retained_bytes);
            shown.wal_end = observed.flush_lsn;
            shown.slot.safe_wal_bytes = safe;
            let first = troubles.first();
            shown.slot.lagging = first.map(|trouble| trouble.headline().to_owned());
        });
        troubles
    }

    /// Looks at everything, and mends what may be mended.
    async fn look(&mut self) -> Result<Looked, SessionError> {
        let (names, wanted) = (publication_names(self.config), wanted(self.config));
        let bound = self.watched.bound.oids();
        let before = watch::names(self.client, &bound).await?;
        let report = preflight::inspect(self.client, &names, &wanted).await?;
        let now = watch::names(self.client, &bound).await?;
        if now != before {
            // Some of it was read before somebody renamed or dropped a table, some after.
            return Ok(Looked::again());
        }
        let plan = report.joining();
        let is_lost = |table: &TableName| self.watched.bound.has(table);
        let lost = !plan.narrowed.is_empty() || plan.added.iter().any(is_lost);
        let (changed, renamed) = self.watched.bound.look(&tables(&report), &now);
        for change in changed {
            warn!("{change}");
        }
        let mut looked = self.join(&report, lost).await?;
        let moved = self.leaves(&report, &mut looked).await?;
        let moved = self.schemas(&report, now, &mut looked).await? || moved;
        let lost = lost || moved;
        let all = if (lost && looked.again) || !renamed.is_empty() || misses(&report) {
            Published::NotAll
        } else if lost {
            Published::Again
        } else {
            Published::All
        };
        self.published(&report, all).await?;
        let is_told = |found: &Found| match found {
            // It is told with its new name.
            Found::TableMissing { table, .. } => renamed.iter().any(|r| r.from == *table),
            _ => false,
        };
        let problems = report.problems.iter().filter(|p| !is_told(&p.found));
        looked.troubles.extend(problems.map(Trouble::of));
        looked
            .troubles
            .extend(renamed.iter().map(bound::Renamed::trouble));
        Ok(looked)
    }

    /// Whether leaves came or went, where the walsender must be made to take notice of it.
    async fn leaves(&mut self, report: &Report, looked: &mut Looked) -> Result<bool, SessionError> {
        let (names, major) = (publication_names(self.config), report.server.major());
        let Some(now) = publication::leaves(self.client, &names, major).await? else {
            return Ok(false);
        };
        let before = self.watched.leaves.as_ref();
        let moved = before.is_some_and(|before| now.moved_since(before));
        if moved {
            match publication::look_again(self.client, &names, major).await {
                Ok(()) => warn!(
                    "a partition was attached or detached, of which PostgreSQL {major} takes notice \
                     from here on: its changes since may be missing, or have another table's name"
                ),
                Err(error) => {
                    looked.not_changed(error)?;
                    return Ok(true);
                }
            }
        }
        self.watched.leaves = Some(now);
        Ok(moved)
    }

    /// Whether a bound table's schema has another name, where the walsender must be made to
    /// take notice of it.
    async fn schemas(
        &mut self,
        report: &Report,
        now: Names,
        looked: &mut Looked,
    ) -> Result<bool, SessionError> {
        let (names, major) = (publication_names(self.config), report.server.major());
        let is_bound = |schema: &String| now.tables.values().any(|t| t.schema == **schema);
        let renamed = self.watched.schemas.iter().any(|(oid, before)| {
            let name = now.schemas.get(oid);
            name.is_some_and(|name| name != before && is_bound(name))
        });
        let is_missed = renamed && major < SENDS_NEW_NAMES;
        if is_missed && let Err(error) = publication::look_again(self.client, &names, major).await {
            looked.not_changed(error)?;
            return Ok(true);
        }
        self.watched.schemas = now.schemas;
        Ok(is_missed)
    }

    /// Adds tables that have come since, and mends publications that are ours.
    async fn join(&self, report: &Report, lost: bool) -> Result<Looked, SessionError> {
        let mut looked = Looked {
            troubles: Vec::new(),
            again: false,
        };
        let plan = report.joining();
        if plan.statements.is_empty() {
            return Ok(looked);
        }
        match publication::apply(self.client, plan).await {
            Ok(()) => {
                let added: Vec<String> = plan.added.iter().map(ToString::to_string).collect();
                let after = report.server.flush_lsn;
                if lost {
                    warn!(
                        tables = added.join(", "),
                        narrowed = plan.narrowed.join(", "),
                        "the publications did not send all that they should, and were mended"
                    );
                } else {
                    info!(
                        tables = added.join(", "),
                        %after,
                        "the publications were changed: what these tables got before is not sent"
                    );
                }
            }
            Err(error) => looked.not_changed(error)?,
        }
        Ok(looked)
    }

    /// Follows whether all is published that should be. When it is so again, what was
    /// committed meanwhile is a gap.
    async fn published(&mut self, report: &Report, all: Published) -> Result<(), SessionError> {
        let watched = &mut *self.watched;
        if all != Published::All {
            watched.unpublished_from.get_or_insert(watched.published_at);
        }
        if all == Published::NotAll {
            return Ok(());
        }
        watched.published_at = report.server.flush_lsn;
        let Some(from) = watched.unpublished_from.take() else {
            return Ok(());
        };
        let to = catalog::server(self.client).await?.flush_lsn;
        warn!(%from, %to, "some changes in between were not published, and are not sent");
        let mut progress = Progress::of(&*self.shared.slot);
        progress.gaps.push(Gap {
            endpoint: None,
            reason: GapReason::NotPublished,
            from,
            to,
            events: None,
            recorded_at_ms: unix_us().div_euclid(1000),
        });
        let store = &self.shared.store;
        store.call(move |store| store.commit(&progress)).await?;
        Ok(())
    }

    /// Logs what has appeared and what is gone, and shows what holds.
    fn tell(&mut self, troubles: Vec<Trouble>) {
        let told = &mut self.watched.told;
        let has = |all: &[Trouble], one: &Trouble| all.iter().any(|other| other.key == one.key);
        for trouble in troubles.iter().filter(|trouble| !has(told, trouble)) {
            warn!("{}", trouble.text);
        }
        for mended in told.iter().filter(|trouble| !has(&troubles, trouble)) {
            info!("no longer: {}", mended.headline());
        }
        if *told == troubles {
            return;
        }
        let problems = &self.shared.metrics.problems;
        problems.clear();
        for trouble in &troubles {
            let of = OfKind { kind: trouble.kind };
            problems.get_or_create(&of).inc();
        }
        let texts: Vec<String> = troubles
            .iter()
            .map(|trouble| trouble.text.clone())
            .collect();
        self.shared.view.update(|shown| shown.warnings = texts);
        *told = troubles;
    }
}
