//! A lane's name: what it orders, as the state file and the metrics write it.

use std::fmt;
use std::sync::Arc;

use super::options::Order;
use crate::change::TableName;
use crate::event::{Event, Keys};

/// What the name of a lane of rows begins with.
const KEY: &str = "key ";

/// One lane of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaneName {
    /// All of a table: `table public.orders`.
    Table(Arc<TableName>),
    /// One of so many lanes of rows: `key 3 of 16`.
    Key { lane: u16, of: u16 },
    /// All of the endpoint: `all`.
    Endpoint,
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaneName::Table(table) => write!(f, "table {table}"),
            LaneName::Key { lane, of } => write!(f, "{KEY}{lane} of {of}"),
            LaneName::Endpoint => f.write_str("all"),
        }
    }
}

/// Whether a lane's name, as it is written, is that of a lane of rows.
pub fn is_of_rows(written: &str) -> bool {
    written.starts_with(KEY)
}

/// The lanes that an event stands in: one, or several whose order it keeps.
pub fn lanes_of(event: &Event, order: Order) -> Vec<LaneName> {
    match order {
        Order::Table => vec![LaneName::Table(Arc::clone(&event.table))],
        Order::Endpoint => vec![LaneName::Endpoint],
        Order::Key { lanes: of } => {
            let of = of.max(1);
            // The remainder is below `of`, so it fits.
            let lane = |hash: u64| u16::try_from(hash % u64::from(of)).unwrap_or(0);
            let name = |lane| LaneName::Key { lane, of };
            match event.keys {
                Keys::One(hash) => vec![name(lane(hash))],
                Keys::Two(old, new) if lane(old) == lane(new) => vec![name(lane(old))],
                Keys::Two(old, new) => vec![name(lane(old)), name(lane(new))],
                Keys::All => (0..of).map(name).collect(),
            }
        }
    }
}
