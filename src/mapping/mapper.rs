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
pub struct Mapper {
    rules: Arc<[TableRules]>,
    source: SourceIdentity,
    enc: std::collections::HashMap<u32, Vec<crate::pgoutput::value::Encoder>>,
}
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
    pub fn new(rules: Arc<[TableRules]>, _keys: Arc<[KeyUse]>, source: SourceIdentity) -> Self {
        Mapper {
            rules,
            source,
            enc: Default::default(),
        }
    }
    pub fn bind(&mut self, r: &Relation, t: &Types) -> Vec<BindProblem> {
        self.enc.insert(
            r.oid,
            r.columns
                .iter()
                .map(|c| crate::pgoutput::value::Encoder::new(c.type_oid, t))
                .collect(),
        );
        Vec::new()
    }
    pub fn map(&mut self, c: &Change<'_>, e: &mut Vec<Event>) -> Mapped {
        use sha2::Digest;
        let name = c.relation.name.to_string();
        let mut n = 0;
        let Some(t) = self.rules.iter().find(|t| *t.name == *name) else {
            return Mapped {
                outcome: Outcome::Unbound,
                misfits: 0,
                failures: vec![],
                parked: vec![],
            };
        };
        for rule in t.rules.iter().filter(|r| r.operation == c.operation) {
            let ty = rule
                .event_type
                .0
                .iter()
                .map(|p| match p {
                    super::rule::TypePiece::Literal(l) => l.clone(),
                    _ => "x".to_owned(),
                })
                .collect::<String>();
            let mut h = sha2::Sha256::new();
            h.update(self.source.system_identifier.to_be_bytes());
            h.update(c.transaction.commit_lsn.0.to_be_bytes());
            h.update(c.ordinal.to_be_bytes());
            h.update(ty.as_bytes());
            let id = crate::event::EventId(h.finalize()[..16].try_into().unwrap_or_default());
            let mut body =
                format!("{{\"id\":\"{id}\",\"type\":\"{ty}\",\"timestamp\":\"x\",\"data\":{{")
                    .into_bytes();
            if let Some(tuple) = c.new.or(c.old.map(|o| o.tuple())) {
                for ((v, col), en) in tuple
                    .values()
                    .zip(&c.relation.columns)
                    .zip(&self.enc[&c.relation.oid])
                {
                    if !body.ends_with(b"{") {
                        body.push(b',');
                    }
                    body.extend(format!("\"{}\":", col.name).bytes());
                    match v {
                        crate::change::Value::Text(x) => {
                            let _ = en.write(x, &mut body);
                        }
                        _ => body.extend(b"null"),
                    }
                }
            }
            body.extend(format!("}},\"previous\":null,\"source\":{{\"schema\":\"{}\",\"table\":\"{}\",\"operation\":\"{}\",\"lsn\":\"{}\",\"xid\":{},\"index\":{}}}}}", c.relation.name.schema, c.relation.name.table, c.operation, c.transaction.commit_lsn, c.transaction.xid, c.ordinal).bytes());
            let body = bytes::Bytes::from(body);
            for endpoint in &rule.endpoints {
                e.push(Event {
                    id,
                    endpoint: *endpoint,
                    event_type: ty.as_str().into(),
                    table: c.relation.name.clone(),
                    operation: c.operation,
                    position: crate::event::Position {
                        lsn: c.transaction.commit_lsn,
                        ordinal: c.ordinal,
                        n,
                    },
                    last_of_change: true,
                    keys: crate::event::Keys::All,
                    fate: crate::event::Fate::Deliver,
                    commit_time_us: c.transaction.commit_time_us,
                    body: body.clone(),
                });
            }
            n += 1;
        }
        Mapped {
            outcome: Outcome::Matched,
            misfits: 0,
            failures: vec![],
            parked: vec![],
        }
    }
}
pub fn rules_hash(_t: &[TableRules], _n: &[Arc<str>]) -> u64 {
    0
}
