//! Relations as they are announced, completed from the catalog: rules, key, leaves, types.

use std::sync::Arc;

use tracing::warn;

use super::{Announced, Reading};
use crate::change::{OldRows, Relation};
use crate::daemon::known_keys::Noted;
use crate::event::EndpointIndex;
use crate::lsn::Lsn;
use crate::mapping::{EndpointMapping, KeyUse, key_columns_hash};
use crate::pgoutput::value::TypeKind;
use crate::progress::tracker::KeyKnown;

impl Reading {
    /// The relation with what the catalog knows of it, and the types that were not known.
    ///
    /// When another key of it is on record, [`Reading::rekeyed`] must be called.
    pub fn bind(
        &mut self,
        announced: Announced,
        key: &[String],
        roots: &[u32],
        types: Vec<(u32, TypeKind)>,
    ) -> Option<KeyKnown> {
        for (oid, kind) in types {
            self.types.insert(oid, kind);
        }
        let mut relation = announced.relation;
        relation.key = relation.key_by(key);
        let bound = self.mapping.bind(&relation, &self.types);
        self.types_read.bind(&relation, &self.types);
        let rekeyed = bound.and_then(|bound| self.key_is(&relation, &bound.key));
        self.mapping.forget_counters(relation.oid);
        let oid = relation.oid;
        self.reader.bind(relation);
        self.judge_leaves(oid);
        for root in roots {
            self.leaves.entry(*root).or_default().insert(oid);
            self.judge_leaves(*root);
        }
        rekeyed
    }

    /// A root is announced, and each leaf behind it before its first row, and again when the
    /// leaf's identity has changed.
    fn judge_leaves(&mut self, root: u32) {
        let Some(leaves) = self.leaves.get(&root) else {
            return;
        };
        let Some(known) = self.reader.relation(root) else {
            return;
        };
        let mut leaves = leaves.iter().filter_map(|leaf| self.reader.relation(*leaf));
        let old_rows = match leaves.all(|leaf| known.carries_like(leaf)) {
            true => OldRows::AsAnnounced,
            false => OldRows::NullsUnknown,
        };
        if let Some(known) = self.reader.relation_mut(root) {
            known.old_rows = old_rows;
        }
    }

    /// The relation's rows are ordered by this key. Where another is on record, that is
    /// returned.
    fn key_is(&mut self, relation: &Relation, key: &[usize]) -> Option<KeyKnown> {
        let by_key = |(_, endpoint): &(usize, &EndpointMapping)| endpoint.key_use == KeyUse::Needed;
        let endpoints = self.rules.endpoints.iter().enumerate().filter(by_key);
        let endpoints: Vec<_> = endpoints.map(|(at, _)| EndpointIndex(at)).collect();
        if endpoints.is_empty() {
            return None;
        }
        let table = Arc::clone(&relation.name);
        let hash = key_columns_hash(relation, key);
        let noted = self.keys.note(&table, hash, endpoints);
        let known = KeyKnown {
            table,
            hash,
            from: Lsn::ZERO,
        };
        match noted {
            Noted::Same => None,
            Noted::First => {
                self.tracker.key_known(known);
                None
            }
            Noted::Other => {
                warn!(table = %known.table, "its key has changed: with order: key its events may be repeated");
                Some(known)
            }
        }
    }

    /// The lanes' places below `from` say nothing of the table's events: they were kept by
    /// another key.
    pub fn rekeyed(&mut self, known: KeyKnown, from: Lsn) {
        self.tracker.key_known(KeyKnown { from, ..known });
    }

    /// What the types that may have changed are made of, with all that was committed before
    /// `lsn`. The message that led to it is to be given once more.
    pub fn retype(&mut self, reread: &[u32], types: Vec<(u32, TypeKind)>, lsn: Lsn) {
        let mut changed = false;
        for (oid, kind) in types {
            changed |= self.types.insert(oid, kind);
        }
        // For the message that follows it was read in any case.
        let commit = self.half_read().map_or(Lsn::ZERO, |read| read.commit_lsn);
        self.types_read.at(reread, lsn.max(commit));
        if changed {
            for relation in self.reader.relations() {
                self.mapping.bind(relation, &self.types);
            }
        }
    }
}
