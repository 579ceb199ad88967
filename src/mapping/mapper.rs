//! stub
use super::rule::TableRules;
use crate::change::{Change, Relation};
use crate::event::Event;
use crate::pgoutput::value::Types;
use std::sync::Arc;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    Needed,
    NotNeeded,
}
#[derive(Clone, Debug)]
pub struct SourceIdentity {
    pub system_identifier: u64,
    pub database: Arc<str>,
}
#[derive(Debug)]
pub struct Mapper;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Matched,
    Filtered,
    Unbound,
}
#[derive(Debug)]
pub struct RuleFailure {
    pub rule: Arc<str>,
    pub kind: Kind,
    pub first: bool,
}
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    A,
}
impl Kind {
    pub fn as_str(self) -> &'static str {
        "a"
    }
}
#[derive(Debug)]
pub struct Mapped {
    pub outcome: Outcome,
    pub misfits: u32,
    pub failures: Vec<RuleFailure>,
    pub parked: Vec<Event>,
}
#[derive(Debug)]
pub struct BindProblem;
impl std::fmt::Display for BindProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl Mapper {
    pub fn new(_rules: Arc<[TableRules]>, _keys: Arc<[KeyUse]>, _source: SourceIdentity) -> Self {
        Mapper
    }
    pub fn bind(&mut self, _r: &Relation, _t: &Types) -> Vec<BindProblem> {
        Vec::new()
    }
    pub fn map(&mut self, _c: &Change<'_>, _e: &mut Vec<Event>) -> Mapped {
        todo!()
    }
}
pub fn rules_hash(_t: &[TableRules], _n: &[Arc<str>]) -> u64 {
    0
}
