//! When the inside of types was read from the catalog.
//!
//! The stream says nothing of it: ALTER TYPE sends no message. So what was read holds for
//! transactions that committed before, and is read again
//!
//! - for a row with composites that committed since. Its values could fit and mean something
//!   else: attributes that were renamed, or dropped and added. One reading is for all that
//!   committed until then, so a stream with many transactions has few of them;
//! - for a value that does not fit its type.

use std::collections::HashMap;

use crate::change::Relation;
use crate::lsn::Lsn;
use crate::pgoutput::value::Types;

#[derive(Debug, Default)]
pub struct TypesRead {
    /// By the type's OID: all that committed before is in what was read.
    read_at: HashMap<u32, Lsn>,
    /// By the relation's OID, the types of its columns that hold composites.
    composites: HashMap<u32, Vec<u32>>,
}

impl TypesRead {
    /// Rows of the relation will come.
    pub fn bind(&mut self, relation: &Relation, types: &Types) {
        let oids = relation.columns.iter().map(|column| column.type_oid);
        let composites: Vec<u32> = oids.filter(|oid| types.has_composite(*oid)).collect();
        if composites.is_empty() {
            self.composites.remove(&relation.oid);
        } else {
            self.composites.insert(relation.oid, composites);
        }
    }

    /// `types` were read, with all that was committed before.
    pub fn at(&mut self, types: &[u32], lsn: Lsn) {
        self.read_at.extend(types.iter().map(|oid| (*oid, lsn)));
    }

    /// What must be read before a row of the relation that commits at `commit`.
    pub fn due(&self, relation: u32, commit: Lsn) -> Option<&[u32]> {
        let composites = self.composites.get(&relation)?;
        self.are_older(composites, commit).then_some(composites)
    }

    /// Whether one of them may have changed since it was read, before a transaction that
    /// ends at `commit`. A value that is older than its type is asked about once, however
    /// many rows wait to be read.
    pub fn are_older(&self, types: &[u32], commit: Lsn) -> bool {
        let is_older = |oid| self.read_at.get(oid).is_none_or(|read| *read < commit);
        types.iter().any(is_older)
    }
}
