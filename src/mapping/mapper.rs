//! The mapper: a change in, its events out.
//!
//! ```text
//! Relation --bind--> bound table (encoders, types, rules an operation)
//! change ----map---> conditions --> bodies, each rendered once --> events, one an endpoint
//! ```
//!
//! Rules know nothing of one another: each that matches makes its events, in the
//! order of the file. The same change gives the same events, whatever was mapped
//! before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::bound::BoundTable;
use super::failure::FailureKind;
use super::form::BodyForm;
use super::making::{Around, Making, Scratch};
use super::report::{Bound, Mapped, Matched};
use super::row::Cells;
use super::rule::{TableRules, select};
use crate::change::{Change, Relation};
use crate::event::Event;
use crate::pgoutput::value::Types;

/// Where the changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceIdentity {
    pub system_identifier: u64,
    pub database: Arc<str>,
}

/// What mapping knows of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointMapping {
    pub name: Arc<str>,
    pub key_use: KeyUse,
    pub form: BodyForm,
}

/// Whether an endpoint orders its events by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    Needed,
    NotNeeded,
}

#[derive(Debug)]
pub struct Mapper {
    rules: Arc<[TableRules]>,
    endpoints: Arc<[EndpointMapping]>,
    source: SourceIdentity,
    /// By the relation's OID, with the place of its entry in `rules`.
    tables: HashMap<u32, (usize, BoundTable)>,
    /// What failed before, by rule.
    failed: HashSet<(Arc<str>, FailureKind)>,
    scratch: Scratch,
}

impl Mapper {
    pub fn new(
        rules: Arc<[TableRules]>,
        endpoints: Arc<[EndpointMapping]>,
        source: SourceIdentity,
    ) -> Self {
        Mapper {
            rules,
            endpoints,
            source,
            tables: HashMap::new(),
            failed: HashSet::new(),
            scratch: Scratch::default(),
        }
    }

    /// Takes a relation as it is from now on, also one that was bound before. One that no
    /// entry speaks of makes no event: partitions are announced beside their root.
    /// Whatever its types are made of must be in `types`.
    pub fn bind(&mut self, relation: &Relation, types: &Types) -> Bound {
        let mut bound = Bound::default();
        self.tables.remove(&relation.oid);
        let Some(entry) = select(&self.rules, &relation.name) else {
            return bound;
        };
        let table = BoundTable::new(
            entry,
            relation,
            types,
            &self.endpoints,
            &self.source.database,
            &mut bound.problems,
        );
        let place = self
            .rules
            .iter()
            .position(|rules| std::ptr::eq(rules, entry));
        if let Some(place) = place {
            self.tables.insert(relation.oid, (place, table));
        }
        bound
    }

    /// Appends the change's events, those of one endpoint in the order of the rules.
    pub fn map(&mut self, change: &Change<'_>, events: &mut Vec<Event>) -> Mapped {
        let Mapper {
            rules,
            endpoints,
            source,
            tables,
            failed,
            scratch,
        } = self;
        let Some((entry, table)) = tables.get(&change.relation.oid) else {
            return Mapped::of(Matched::Unbound);
        };
        let bound_rules = table.rules(change.operation);
        let Some(entry) = rules.get(*entry).filter(|_| !bound_rules.is_empty()) else {
            return Mapped::of(Matched::Filtered);
        };
        let cells = Cells::of(change, std::mem::take(&mut scratch.cells));
        let around = Around {
            source,
            endpoints,
            failed,
            scratch,
        };
        let mut making = Making::new(change, table, &cells, around);
        for bound in bound_rules {
            if let Some(rule) = entry.rules.get(bound.place) {
                making.rule(rule, bound);
            }
        }
        let mapped = making.finish(events);
        scratch.cells = cells.emptied();
        mapped
    }
}
