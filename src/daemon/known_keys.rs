//! What tells the rows of a table apart, over changes of its key.
//!
//! With `order: key` a row's lane is a hash of its key. When the key gets other columns or
//! another type, the rows have other lanes from there on: the first event after that stands
//! in all lanes, so that none of the row's later ones overtakes an earlier one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::TableName;
use crate::event::{EndpointIndex, Event, Keys};
use crate::store::of_key;

/// What told a table's rows apart when places of lanes were kept, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    /// On record, by [`of_key`] of the table.
    hashes: HashMap<String, u64>,
    /// Tables of which another key is on record.
    rekeyed: HashSet<Arc<TableName>>,
    /// Of these the first event for the endpoint since the key changed is still to come.
    turning: HashSet<(Arc<TableName>, EndpointIndex)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    First,
    Same,
    /// Another one is on record.
    Other,
}

impl KnownKeys {
    pub fn on_record(hashes: HashMap<String, u64>) -> Self {
        KnownKeys {
            hashes,
            ..KnownKeys::default()
        }
    }

    /// The table's key is this one, for `endpoints` that order by it.
    pub fn note(
        &mut self,
        table: &Arc<TableName>,
        hash: u64,
        endpoints: impl IntoIterator<Item = EndpointIndex>,
    ) -> Noted {
        match self.hashes.insert(of_key(table), hash) {
            None => Noted::First,
            Some(known) if known == hash => Noted::Same,
            Some(_) => {
                let endpoints = endpoints.into_iter();
                self.turning
                    .extend(endpoints.map(|endpoint| (Arc::clone(table), endpoint)));
                self.rekeyed.insert(Arc::clone(table));
                Noted::Other
            }
        }
    }

    /// Says of an event what follows from a key that changed.
    pub fn apply(&mut self, event: &mut Event) {
        if self.rekeyed.is_empty() || !self.rekeyed.contains(&event.table) {
            return;
        }
        event.rekeyed = true;
        let turn = (Arc::clone(&event.table), event.endpoint);
        if self.turning.remove(&turn) {
            event.keys = Keys::All;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_another_once_and_the_same_from_there_on() {
        let table = Arc::new(TableName::new("public", "t"));
        let on_record = HashMap::from([(of_key(&table), 1)]);
        let mut keys = KnownKeys::on_record(on_record);
        let ends = [EndpointIndex(0), EndpointIndex(2)];
        assert_eq!(keys.note(&table, 1, ends), Noted::Same);
        assert!(keys.turning.is_empty() && keys.rekeyed.is_empty());
        assert_eq!(keys.note(&table, 2, ends), Noted::Other);
        assert_eq!(keys.turning.len(), 2);
        assert_eq!(keys.note(&table, 2, ends), Noted::Same);
        let other = Arc::new(TableName::new("public", "u"));
        assert_eq!(keys.note(&other, 7, ends), Noted::First);
        assert_eq!(keys.turning.len(), 2);
    }
}
