//! Problems: what was found, where in the config, and what mends it.

use std::fmt;

use crate::change::{Operation, TableName};
use crate::postgres::catalog::{NotATable, quote};
use crate::postgres::identity::{self, IdentityFault};
use crate::postgres::publication::Shortfall;
use crate::postgres::slot::SlotFault;

/// Something that must be mended before walhook can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Key path in the config: `source.slot`, `tables."public.orders".key`.
    pub place: String,
    pub found: Found,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.found)
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Found {
    #[error("the server is PostgreSQL {major}, which is older than 14")]
    ServerTooOld { major: u32 },
    #[error("the server is a standby")]
    Standby,
    #[error("wal_level is {found}, not logical")]
    WalLevel { found: String },
    #[error("role \"{role}\" may not replicate")]
    RoleMayNotReplicate {
        role: String,
        /// A server on which membership in `rds_replication` stands for REPLICATION.
        is_rds: bool,
    },
    #[error("all {max} replication slots are in use (max_replication_slots)")]
    NoSlotLeft { max: u32 },
    #[error("all {max} WAL senders are in use (max_wal_senders)")]
    NoSenderLeft { max: u32 },
    #[error("\"{name}\" cannot be a slot's name: {why}")]
    SlotName { name: String, why: &'static str },
    #[error("\"{name}\" cannot be the publication's name: {why}")]
    PublicationName { name: String, why: &'static str },
    #[error("replication slot \"{slot}\" {fault}")]
    Slot { slot: String, fault: SlotFault },
    #[error(
        "publication \"{publication}\" does not exist, but slot \"{slot}\" does: WAL from before \
         the publication cannot be decoded, also when it is created now"
    )]
    PublicationMissing { publication: String, slot: String },
    #[error("{0}")]
    Publication(Shortfall),
    #[error("role \"{role}\" may not set up the publications: {}", reasons.join("; "))]
    NotAllowed {
        role: String,
        reasons: Vec<String>,
        sql: Vec<String>,
    },
    #[error("table {table} does not exist")]
    TableMissing {
        table: TableName,
        similar: Option<TableName>,
    },
    #[error("{table} is {found}; logical replication does not send its changes")]
    NotATable { table: TableName, found: NotATable },
    #[error("table {table} is a partition: its changes come under the name of {root}")]
    UnderRoot { table: TableName, root: TableName },
    #[error("table {table} is matched equally well by {first} and {second}")]
    Tie {
        table: TableName,
        first: String,
        second: String,
    },
    #[error("column \"{column}\" of table {table} does not exist")]
    ColumnMissing { table: TableName, column: String },
    #[error("none of the matched tables has a column \"{column}\"")]
    ColumnNowhere { column: String },
    #[error("column \"{column}\" of table {table} is generated: the WAL does not carry it")]
    ColumnGenerated { table: TableName, column: String },
    #[error(
        "rules want {}, but the replica identity of table {table} does not allow it: {}",
        words(operations),
        told(table, faults)
    )]
    Identity {
        table: TableName,
        operations: Vec<Operation>,
        faults: Vec<IdentityFault>,
    },
    #[error(
        "it reads old values of {} ({operation}), but the replica identity of table {table} \
         carries {identity}",
        columns(needed)
    )]
    OldValues {
        table: TableName,
        operation: Operation,
        /// Empty: all.
        needed: Vec<String>,
        identity: String,
        /// The table, and its partitions.
        relations: Vec<TableName>,
    },
    #[error("endpoint {endpoint} has order: key, but table {table} has no key")]
    NoOrderKey { table: TableName, endpoint: String },
}

impl Problem {
    /// What was found, the hint and the SQL: a paragraph.
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        if let Some(hint) = self.found.hint() {
            text.push_str("\n  hint: ");
            text.push_str(&hint);
        }
        for statement in self.found.sql() {
            text.push_str("\n  ");
            text.push_str(&statement);
            if !statement.ends_with(';') {
                text.push(';');
            }
        }
        text
    }
}

impl Found {
    /// Its word in the metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Found::ServerTooOld { .. } | Found::Standby | Found::WalLevel { .. } => "server",
            Found::RoleMayNotReplicate { .. } | Found::NotAllowed { .. } => "rights",
            Found::NoSlotLeft { .. } | Found::NoSenderLeft { .. } => "no_slot_left",
            Found::SlotName { .. } | Found::PublicationName { .. } => "name",
            Found::Slot { .. } => "slot",
            Found::PublicationMissing { .. } | Found::Publication(_) => "publication",
            Found::TableMissing { .. } => "table_missing",
            Found::NotATable { .. } | Found::UnderRoot { .. } | Found::Tie { .. } => "table",
            Found::ColumnMissing { .. }
            | Found::ColumnNowhere { .. }
            | Found::ColumnGenerated { .. } => "column",
            Found::Identity { .. } | Found::OldValues { .. } => "identity",
            Found::NoOrderKey { .. } => "key",
        }
    }

    /// Whether it can end without a person: somebody else may give back what is used up.
    pub fn is_transient(&self) -> bool {
        matches!(self, Found::NoSlotLeft { .. } | Found::NoSenderLeft { .. })
    }

    /// What a person can do about it, when the statements of [`Found::sql`] do not say it all.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Found::ServerTooOld { .. } => "use PostgreSQL 14 or later".to_owned(),
            Found::Standby => "connect to the primary".to_owned(),
            Found::WalLevel { .. } => {
                "then restart the server; on a managed service set its parameter for logical \
                 replication"
                    .to_owned()
            }
            Found::RoleMayNotReplicate { .. }
            | Found::Identity { .. }
            | Found::OldValues { .. } => return None,
            Found::NoSlotLeft { .. } => {
                "drop a slot that nobody reads (pg_replication_slots), or raise \
                 max_replication_slots and restart the server"
                    .to_owned()
            }
            Found::NoSenderLeft { .. } => "raise max_wal_senders and restart the server".to_owned(),
            Found::SlotName { .. } => {
                "write lower case letters, digits and underscores, at most 63".to_owned()
            }
            Found::PublicationName { .. } => "write a shorter name".to_owned(),
            Found::Slot { slot, fault } => fault.remedy(slot, None),
            Found::PublicationMissing { .. } => {
                "if it was renamed, rename it back; else `walhook adopt` creates publication and \
                 slot anew and records the gap"
                    .to_owned()
            }
            Found::Publication(shortfall) => of_shortfall(shortfall).to_owned(),
            Found::NotAllowed { .. } => {
                "run these as a role that owns the tables and may create publications".to_owned()
            }
            Found::TableMissing {
                similar: Some(similar),
                ..
            } => format!("names are not folded: did you mean {similar}?"),
            Found::TableMissing { similar: None, .. } => {
                "create it, or take its entry out".to_owned()
            }
            Found::NotATable { found, .. } => match found {
                NotATable::Unlogged | NotATable::Temporary => {
                    "make it an ordinary table, or take its entry out".to_owned()
                }
                NotATable::View | NotATable::MaterializedView => {
                    "name the tables that it reads".to_owned()
                }
                NotATable::ForeignTable | NotATable::Sequence | NotATable::System => {
                    "take its entry out".to_owned()
                }
                NotATable::Unnameable => "rename it, or take its entry out".to_owned(),
            },
            Found::UnderRoot { root, .. } => {
                format!("take its entry out; {root} has one")
            }
            Found::Tie { table, .. } => format!("give {table} an entry of its own"),
            Found::ColumnMissing { .. } | Found::ColumnNowhere { .. } => {
                "write a column that exists; names are not folded".to_owned()
            }
            Found::ColumnGenerated { .. } => "name the columns it is made of".to_owned(),
            Found::NoOrderKey { .. } => {
                "give the table a primary key, or its entry `key: [columns]`, or the endpoint \
                 another order"
                    .to_owned()
            }
        })
    }

    /// The statements that mend it, each with its semicolon.
    pub fn sql(&self) -> Vec<String> {
        match self {
            Found::WalLevel { .. } => vec!["ALTER SYSTEM SET wal_level = 'logical';".to_owned()],
            Found::RoleMayNotReplicate { role, is_rds } => {
                let role = quote::identifier(role);
                vec![match is_rds {
                    true => format!("GRANT rds_replication TO {role};"),
                    false => format!("ALTER ROLE {role} REPLICATION;"),
                }]
            }
            Found::NotAllowed { sql, .. } => sql.clone(),
            Found::Identity { faults, .. } => {
                let mut statements: Vec<String> = Vec::new();
                for fault in faults {
                    if !statements.contains(&fault.sql) {
                        statements.push(fault.sql.clone());
                    }
                }
                statements
            }
            Found::OldValues { relations, .. } => relations.iter().map(identity::full).collect(),
            Found::Publication(shortfall) => shortfall.sql().into_iter().collect(),
            Found::ServerTooOld { .. }
            | Found::Standby
            | Found::NoSlotLeft { .. }
            | Found::NoSenderLeft { .. }
            | Found::SlotName { .. }
            | Found::PublicationName { .. }
            | Found::Slot { .. }
            | Found::PublicationMissing { .. }
            | Found::TableMissing { .. }
            | Found::NotATable { .. }
            | Found::UnderRoot { .. }
            | Found::Tie { .. }
            | Found::ColumnMissing { .. }
            | Found::ColumnNowhere { .. }
            | Found::ColumnGenerated { .. }
            | Found::NoOrderKey { .. } => Vec::new(),
        }
    }
}

fn of_shortfall(shortfall: &Shortfall) -> &'static str {
    match shortfall {
        Shortfall::Table { .. }
        | Shortfall::PartitionNames { .. }
        | Shortfall::Operations { .. } => {
            "walhook alters no publication that is not its own: do it yourself, or change \
             source.publication, and walhook creates one"
        }
        Shortfall::NameTaken { .. } => "rename it, or change source.publication",
        Shortfall::ForAllTables { .. } => {
            "drop it and let walhook create it before the slot, or change source.publication"
        }
    }
}

fn words(operations: &[Operation]) -> String {
    let words: Vec<_> = operations.iter().map(|o| o.as_str()).collect();
    words.join(" and ")
}

fn columns(columns: &[String]) -> String {
    match columns {
        [] => "all columns".to_owned(),
        columns => format!("({})", columns.join(", ")),
    }
}

/// The first few faults; a partitioned table can have thousands.
fn told(table: &TableName, faults: &[IdentityFault]) -> String {
    const SHOWN: usize = 3;
    let mut texts: Vec<String> = faults
        .iter()
        .take(SHOWN)
        .map(|fault| match fault.relation == *table {
            true => fault.fault.to_string(),
            false => format!("partition {}: {}", fault.relation, fault.fault),
        })
        .collect();
    if faults.len() > SHOWN {
        texts.push(format!("{} more", faults.len() - SHOWN));
    }
    texts.join("; ")
}
