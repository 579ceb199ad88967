//! Opening the slot: what it is against what the state file remembers; created, after
//! the intention is durable, when neither knows of it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::session_error::SessionError;
use super::source::Source;
use crate::config::Config;
use crate::event::EndpointIndex;
use crate::lane::options::Order;
use crate::lsn::Lsn;
use crate::postgres::Client;
use crate::postgres::catalog::Server;
use crate::postgres::preflight;
use crate::postgres::publication::{self, PublicationNames};
use crate::postgres::replication::{ReplicationConnection, System};
use crate::postgres::slot::{
    self, Expected, Marked, Reached, SlotVerdict, TimelineVerdict, blockers,
};
use crate::postgres::wanted::Wanted;
use crate::store::{Checkpoint, SlotState};

/// The creation of a slot that waits longer is told with what it waits for.
const CREATION_TOLD_AFTER: Duration = Duration::from_secs(3);

/// What START_REPLICATION is to say.
#[derive(Debug)]
pub struct Opened {
    pub publications: Vec<String>,
    /// `0/0`: at the slot's own position.
    pub start: Lsn,
    /// The end of the server's WAL.
    pub flush: Lsn,
}

/// What the config wants of the database.
pub fn wanted(config: &Config) -> Wanted {
    let keyed: Vec<(EndpointIndex, Arc<str>)> = config
        .endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| matches!(endpoint.lanes.order, Order::Key { .. }))
        .map(|(index, endpoint)| (EndpointIndex(index), Arc::clone(&endpoint.name)))
        .collect();
    Wanted::new(&config.tables, &keyed)
}

pub fn publication_names(config: &Config) -> PublicationNames {
    PublicationNames::new(&config.source.publication, &config.source.slot)
}

/// All that is wrong with the database.
pub(super) async fn problems(
    config: &Config,
    client: &Client,
) -> Result<Vec<preflight::Problem>, SessionError> {
    let report = preflight::inspect(client, &publication_names(config), &wanted(config)).await?;
    Ok(report.problems)
}

/// Preflight, publications, slot: in this order.
pub(super) async fn open(
    source: &mut Source,
    client: &Client,
    replication: &mut ReplicationConnection,
    system: &System,
) -> Result<Opened, SessionError> {
    let config = Arc::clone(&source.config);
    let names = publication_names(&config);
    let report = preflight::inspect(client, &names, &wanted(&config)).await?;
    // The slot's own state first: about a lost slot the other problems say nothing.
    let verdict = judge(source, report.slot.as_ref(), &report.server, system);
    if !matches!(verdict, SlotVerdict::OtherCluster { .. }) {
        compare_timeline(source, replication, system).await?;
    }
    if verdict.is_definite() {
        return Err(SessionError::Slot(verdict));
    }
    let Some(plan) = report.plan() else {
        return Err(SessionError::Preflight(report.problems));
    };
    for warning in &report.warnings {
        // Once: nothing that a reconnect could have mended.
        if source.warned.insert(warning.to_string()) {
            warn!("{warning}");
        }
    }
    if !plan.statements.is_empty() {
        info!(
            created = plan.created.join(", "),
            added = plan.added.len(),
            removed = plan.removed.len(),
            "changing the publications"
        );
        publication::apply(client, plan).await?;
    }
    source.watched.connected(&report, &plan.added);
    if let SlotVerdict::InCreation { .. } = verdict {
        return Err(SessionError::Slot(verdict));
    }
    if verdict == SlotVerdict::Fresh {
        create(source, client, replication, system).await?;
    }
    let confirmed = report.slot.as_ref().and_then(|slot| slot.confirmed_flush);
    // What `skip` passed would come again, also when a crash of the server has set the
    // slot back.
    let start = source.state.start.filter(|start| confirmed < Some(*start));
    Ok(Opened {
        publications: report.publications().to_vec(),
        start: start.unwrap_or_default(),
        flush: report.server.flush_lsn,
    })
}

/// Asks anew how much WAL the server keeps for us.
pub(super) async fn show_retained(source: &Source, client: &Client) -> Result<(), SessionError> {
    let found = slot::slot(client, &source.config.source.slot).await?;
    let retained = found.and_then(|slot| slot.retained_bytes);
    let view = &source.shared.view;
    view.update(|shown| shown.retained_bytes = retained);
    Ok(())
}

/// Whether the server is on a timeline that has all that was read.
async fn compare_timeline(
    source: &mut Source,
    replication: &mut ReplicationConnection,
    system: &System,
) -> Result<(), SessionError> {
    let Some(checkpoint) = remembered(source).checkpoint else {
        return Ok(());
    };
    let journal: Vec<_> = source.reading.history().known().copied().collect();
    let reached = Reached {
        timeline: checkpoint.timeline,
        lsn: source.reached(),
        journal: &journal,
    };
    let verdict = slot::timeline(replication, reached, system.timeline).await?;
    if verdict.is_definite() {
        return Err(SessionError::Timeline(verdict));
    }
    if verdict != TimelineVerdict::Same && source.told.is_news(&verdict.to_string()) {
        info!("{verdict}");
    }
    Ok(())
}

/// What the slot is compared with.
pub fn expected(slot: &str, state: &SlotState, reached: Lsn) -> Expected {
    Expected {
        slot: slot.to_owned(),
        reached,
        checkpoint: state.checkpoint.map(|checkpoint| Marked {
            system_identifier: checkpoint.system_identifier,
            lsn: checkpoint.lsn,
        }),
        intention: state.intention.map(|intention| Marked {
            system_identifier: intention.system_identifier,
            lsn: intention.lsn,
        }),
    }
}

/// What the state file remembers by now: the checkpoint of the start, or the one that
/// an earlier session led to.
fn remembered(source: &Source) -> SlotState {
    let mut state = source.state.clone();
    let durable = *source.durable.borrow();
    if let Some(lineage) = *source.lineage.borrow()
        && !durable.is_zero()
    {
        let written_at_ms = state
            .checkpoint
            .map_or(0, |checkpoint| checkpoint.written_at_ms);
        state.checkpoint = Some(Checkpoint {
            system_identifier: lineage.system_identifier,
            timeline: lineage.timeline,
            lsn: durable,
            written_at_ms,
        });
    }
    state
}

/// After START: nobody has moved or recreated the slot in between. The slot's position,
/// which nobody but us moves now.
pub(super) async fn compare_again(source: &Source, client: &Client) -> Result<Lsn, SessionError> {
    let server = crate::postgres::catalog::server(client).await?;
    let facts = slot::slot(client, &source.config.source.slot).await?;
    let confirmed = facts.as_ref().and_then(|slot| slot.confirmed_flush);
    let confirmed = confirmed.unwrap_or_default();
    let Some(lineage) = *source.lineage.borrow() else {
        return Ok(confirmed);
    };
    let system = System {
        system_identifier: lineage.system_identifier,
        timeline: lineage.timeline,
        flush: server.flush_lsn,
    };
    match judge(source, facts.as_ref(), &server, &system) {
        SlotVerdict::Fresh => Err(SessionError::Transient(
            "the slot was dropped while the stream was started".to_owned(),
        )),
        verdict if verdict.is_definite() => Err(SessionError::Slot(verdict)),
        _ => Ok(confirmed),
    }
}

fn judge(
    source: &Source,
    facts: Option<&slot::SlotFacts>,
    server: &Server,
    system: &System,
) -> SlotVerdict {
    let name = &source.config.source.slot;
    slot::compare(
        &expected(name, &remembered(source), source.reached()),
        facts,
        &server.database,
        system.system_identifier,
        server.flush_lsn,
    )
}

/// The intention is committed first, so that a slot which is found after a crash in
/// between is known to be ours.
async fn create(
    source: &mut Source,
    client: &Client,
    replication: &mut ReplicationConnection,
    system: &System,
) -> Result<(), SessionError> {
    let name = source.config.source.slot.clone();
    let (identifier, lsn) = (system.system_identifier, system.flush);
    let slot = name.clone();
    source
        .shared
        .store
        .call(move |store| store.intend(&slot, identifier, lsn))
        .await?;
    source.state.intention = Some(crate::store::Intention {
        system_identifier: identifier,
        lsn,
    });
    let creation = replication.create_slot(&name);
    tokio::pin!(creation);
    let point = loop {
        match tokio::time::timeout(CREATION_TOLD_AFTER, &mut creation).await {
            Ok(created) => break created?,
            Err(_) => {
                let open = blockers(client).await?;
                let open: Vec<String> = open.iter().map(ToString::to_string).collect();
                let reason = format!(
                    "creating slot \"{name}\" waits for open write transactions: {}",
                    open.join("; ")
                );
                if source.told.is_news(&reason) {
                    warn!("{reason}");
                }
                source.shared.view.set_stream(
                    crate::telemetry::view::StreamState::Waiting { reason },
                    std::time::SystemTime::now(),
                );
            }
        }
    };
    info!(slot = %name, from = %point, "created the replication slot");
    // All before it is nobody's: the first checkpoint.
    source.shared.tracker.idle(point);
    Ok(())
}
