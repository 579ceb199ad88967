//! A table's plan: what is worked out once per Relation message, so that a row
//! needs no lookup.

use std::collections::HashMap;
use std::sync::Arc;

use super::findings::Findings;
use super::outbox::OutboxPlan;
use super::rule::ColumnSelection;
use crate::change::{Relation, TableName};
use crate::pgoutput::value::{Encoder, Fidelity, LargeNumbers, Misfit, Types, write_string};

#[derive(Clone, Debug)]
pub struct TablePlan {
    pub name: Arc<TableName>,
    pub columns: Vec<ColumnPlan>,
    pub outbox: Option<OutboxPlan>,
    by_name: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
pub struct ColumnPlan {
    /// In the relation's columns.
    pub place: usize,
    pub name: String,
    /// `"name":`
    pub label: Vec<u8>,
    pub type_oid: u32,
    pub in_identity: bool,
    /// Goes into `data` and `previous`.
    pub selected: bool,
    pub form: Form,
    encoder: Encoder,
    /// With large numbers as strings, where an endpoint asks for it.
    with_strings: Option<Encoder>,
}

/// What a column's values are in CEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Int,
    Double,
    Bool,
    /// The JSON is a string of the text.
    Text,
    /// What the JSON is; its numbers are ints where they are written as such.
    Json,
    /// A list of doubles.
    Doubles,
}

impl TablePlan {
    /// `strings`: an endpoint takes large numbers as strings.
    pub fn new(
        relation: &Relation,
        types: &Types,
        selection: &ColumnSelection,
        strings: bool,
    ) -> Self {
        let with_strings = |oid| {
            let encoder = || Encoder::of(oid, types, LargeNumbers::Strings);
            strings.then(encoder)
        };
        let columns: Vec<ColumnPlan> = relation
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| {
                let mut label = Vec::new();
                write_string(column.name.as_bytes(), &mut label);
                label.push(b':');
                ColumnPlan {
                    place,
                    name: column.name.clone(),
                    label,
                    type_oid: column.type_oid,
                    in_identity: column.in_identity,
                    selected: selection.contains(&column.name),
                    form: form(column.type_oid),
                    encoder: Encoder::new(column.type_oid, types),
                    with_strings: with_strings(column.type_oid),
                }
            })
            .collect();
        let places = columns.iter().map(|c| (c.name.clone(), c.place));
        TablePlan {
            name: Arc::clone(&relation.name),
            outbox: None,
            by_name: places.collect(),
            columns,
        }
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl ColumnPlan {
    /// Appends the JSON of a text; one that does not fit its type goes as a string.
    pub fn write(
        &self,
        text: &[u8],
        large_numbers: LargeNumbers,
        json: &mut Vec<u8>,
        findings: &mut Findings,
    ) {
        let encoder = match (large_numbers, &self.with_strings) {
            (LargeNumbers::Strings, Some(encoder)) => encoder,
            _ => &self.encoder,
        };
        let lossy = match encoder.write(text, json) {
            Ok(fidelity) => fidelity == Fidelity::Lossy,
            Err(Misfit) => {
                findings.misfits.push(self.place);
                write_string(text, json)
            }
        };
        if lossy {
            findings.lossy.push(self.place);
        }
    }
}

/// By the OIDs of built-in types. A domain has another OID: its values are what
/// their JSON is.
fn form(type_oid: u32) -> Form {
    match type_oid {
        20 | 21 | 23 => Form::Int,
        700 | 701 | 1700 => Form::Double,
        16 => Form::Bool,
        // name, text, bpchar, varchar, uuid
        19 | 25 | 1042 | 1043 | 2950 => Form::Text,
        1021 | 1022 | 1231 => Form::Doubles,
        _ => Form::Json,
    }
}
