//! The inspection: reads the facts, runs the checks, makes the plan.

use tokio_postgres::Client;

use super::problem::{Found, Problem};
use super::server::{Role, SlotState, at, check_names, check_server, role};
use super::tables::check;
use super::warning::{Warning, of_server};
use crate::change::{Operation, TableName};
use crate::postgres::catalog::{self, QueryError, Server, TableFacts, Tables};
use crate::postgres::publication::{
    self, Part, PublicationFacts, PublicationNames, PublicationPlan, Published,
};
use crate::postgres::slot::{self, SlotFacts};
use crate::postgres::wanted::Wanted;

/// What was found. Nothing was written.
#[derive(Clone, Debug)]
pub struct Report {
    pub server: Server,
    pub slot: Option<SlotFacts>,
    /// The tables that the rules speak of, by name.
    pub tables: Vec<TableFacts>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
    plan: PublicationPlan,
    joining: PublicationPlan,
}

impl Report {
    /// What is to be done to the publications; `None` while there is a problem.
    pub fn plan(&self) -> Option<&PublicationPlan> {
        self.problems.is_empty().then_some(&self.plan)
    }

    /// What a daemon that streams already may do, whatever problems have come
    /// since: see [`publication::joining`].
    pub fn joining(&self) -> &PublicationPlan {
        &self.joining
    }

    /// What START_REPLICATION names, in order.
    pub fn publications(&self) -> &[String] {
        &self.plan.publications
    }
}

/// Looks at everything that the config needs of the database.
pub async fn inspect(
    client: &Client,
    names: &PublicationNames,
    wanted: &Wanted,
) -> Result<Report, QueryError> {
    let server = catalog::server(client).await?;
    let names = &names.on(server.major());
    let slot = slot::slot(client, &names.slot).await?;
    let role = role(client).await?;
    let tables = catalog::tables(client, wanted).await?;
    let existing = publication::existing(client, &names.both(), server.major()).await?;

    let checked = check(wanted, &tables);
    let plan = publication::plan(names, &existing, &checked.published);
    let mut problems = check_names(names);
    let mut warnings = of_server(&server);
    if let Some(role) = &role {
        problems.extend(check_server(&server, role, state(slot.as_ref())));
        problems.extend(check_rights(role, &server, &existing, &tables, &plan));
    }
    problems.extend(check_slot(names, slot.as_ref(), &server, &plan));
    let shortfalls = plan.shortfalls.iter().cloned().map(Found::Publication);
    problems.extend(at("source.publication", shortfalls));
    problems.extend(checked.problems);
    warnings.extend(slot.as_ref().and_then(active));
    warnings.extend(of_publications(names, &existing, &checked.published));
    let left = plan.left.iter().cloned();
    warnings.extend(left.map(|table| Warning::Leftover { table }));
    warnings.extend(checked.warnings);
    Ok(Report {
        server,
        slot,
        tables: tables.found,
        problems,
        warnings,
        plan,
        joining: publication::joining(names, &existing, &checked.published),
    })
}

fn state(slot: Option<&SlotFacts>) -> SlotState {
    match slot.map(|slot| slot.active_pid) {
        None => SlotState::Absent,
        Some(None) => SlotState::Idle,
        Some(Some(_)) => SlotState::Active,
    }
}

/// After a crash of ours the old walsender lives on for a while: no problem yet.
fn active(slot: &SlotFacts) -> Option<Warning> {
    Some(Warning::SlotActive {
        slot: slot.name.clone(),
        pid: slot.active_pid?,
        application: slot.active_application.clone().unwrap_or_default(),
    })
}

fn check_slot(
    names: &PublicationNames,
    slot: Option<&SlotFacts>,
    server: &Server,
    plan: &PublicationPlan,
) -> Vec<Problem> {
    let Some(slot) = slot else {
        return Vec::new();
    };
    let fault = slot.fault(&server.database).map(|fault| Found::Slot {
        slot: slot.name.clone(),
        fault,
    });
    let missing = plan
        .created
        .iter()
        .map(|publication| Found::PublicationMissing {
            publication: publication.clone(),
            slot: names.slot.clone(),
        });
    let mut problems = at("source.slot", fault);
    problems.extend(at("source.publication", missing));
    problems
}

fn check_rights(
    role: &Role,
    server: &Server,
    existing: &[PublicationFacts],
    tables: &Tables,
    plan: &PublicationPlan,
) -> Vec<Problem> {
    let mut reasons = Vec::new();
    if !plan.created.is_empty() && !role.may_create {
        reasons.push(format!(
            "it lacks CREATE on database \"{}\"",
            server.database
        ));
    }
    for facts in existing {
        let publication = &facts.membership.publication;
        if plan.altered.contains(publication) && !facts.is_owned {
            reasons.push(format!(
                "publication \"{publication}\" belongs to \"{}\"",
                facts.owner
            ));
        }
    }
    let foreign = |table: &&TableFacts| !table.is_owned && plan.added.contains(table.name());
    for table in tables.found.iter().filter(foreign) {
        reasons.push(format!(
            "table {} belongs to \"{}\"",
            table.name(),
            table.owner
        ));
    }
    let not_allowed = (!reasons.is_empty()).then(|| Found::NotAllowed {
        role: role.name.clone(),
        reasons,
        sql: plan.sql(),
    });
    at("source.publication", not_allowed)
}

fn of_publications(
    names: &PublicationNames,
    existing: &[PublicationFacts],
    published: &[Published],
) -> Vec<Warning> {
    let foreign = existing.iter().filter(|facts| !names.are_mark_of(facts));
    foreign
        .flat_map(|facts| of_foreign(facts, published))
        .collect()
}

fn of_foreign(facts: &PublicationFacts, published: &[Published]) -> Vec<Warning> {
    let publication = &facts.membership.publication;
    let mut warnings = vec![Warning::ForeignPublication {
        publication: publication.clone(),
    }];
    for (table, member) in &facts.members {
        let (publication, table) = (publication.clone(), table.clone());
        if member.has_column_list {
            warnings.push(Warning::ColumnList {
                publication: publication.clone(),
                table: table.clone(),
            });
        }
        if member.has_row_filter {
            warnings.push(Warning::RowFilter { publication, table });
        }
    }
    let sends = |operation| facts.membership.operations.contains(&operation);
    if sends(Operation::Update) || sends(Operation::Delete) {
        let broken = published
            .iter()
            .filter(|published| published.part == Part::Insert);
        let broken = broken.map(|published| &published.table);
        let member = |table: &&TableName| facts.membership.tables.contains(*table);
        warnings.extend(broken.filter(member).map(|table| Warning::BreaksUpdates {
            publication: publication.clone(),
            table: table.clone(),
        }));
    }
    warnings
}
