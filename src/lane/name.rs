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

impl LaneName {
    /// The lane of that order that was written as `text`, with events of `table`. `None`:
    /// the text is of another order, or of another number of lanes.
    pub fn read(text: &str, table: &TableName, order: Order) -> Option<Self> {
        let name = match order {
            Order::Table => LaneName::Table(Arc::new(table.clone())),
            Order::Key { lanes: of } => {
                let (lane, _) = text.strip_prefix(KEY)?.split_once(' ')?;
                let lane = lane.parse().ok().filter(|lane| *lane < of)?;
                LaneName::Key { lane, of }
            }
            Order::Endpoint => LaneName::Endpoint,
        };
        (name.to_string() == text).then_some(name)
    }

    /// Whether a lane's name, as it is written, is that of a lane of rows.
    pub fn is_of_rows(written: &str) -> bool {
        written.starts_with(KEY)
    }
}

/// The lanes that an event stands in: one, or several whose order it keeps.
pub fn lanes_of(event: &Event, order: Order) -> Vec<LaneName> {
    lanes_for(&event.table, event.keys, order)
}

/// Those of an event of this table with these keys.
pub fn lanes_for(table: &Arc<TableName>, keys: Keys, order: Order) -> Vec<LaneName> {
    match order {
        Order::Table => vec![LaneName::Table(Arc::clone(table))],
        Order::Endpoint => vec![LaneName::Endpoint],
        Order::Key { lanes: of } => {
            let of = of.max(1);
            // The remainder is below `of`, so it fits.
            let lane = |hash: u64| u16::try_from(hash % u64::from(of)).unwrap_or(0);
            let name = |lane| LaneName::Key { lane, of };
            match keys {
                Keys::One(hash) => vec![name(lane(hash))],
                Keys::Two(old, new) if lane(old) == lane(new) => vec![name(lane(old))],
                Keys::Two(old, new) => vec![name(lane(old)), name(lane(new))],
                Keys::All => (0..of).map(name).collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_as_it_was_written_unless_the_order_is_another_one() {
        let table = TableName::new("public", "od.d");
        let key = |lanes| Order::Key { lanes };
        for (text, order) in [
            ("table public.\"od.d\"", Order::Table),
            ("key 3 of 16", key(16)),
            ("all", Order::Endpoint),
        ] {
            let name = LaneName::read(text, &table, order).unwrap();
            assert_eq!(name.to_string(), text);
            for other in [Order::Table, key(16), key(8), Order::Endpoint] {
                if other != order {
                    assert_eq!(LaneName::read(text, &table, other), None, "{text}");
                }
            }
        }
        assert_eq!(LaneName::read("key 16 of 16", &table, key(16)), None);
    }
}
