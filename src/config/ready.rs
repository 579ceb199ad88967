//! The config, ready to use: it cannot hold an invalid value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::delivery::target::Target;
use crate::event::EndpointIndex;
use crate::lane::options::LaneOptions;
use crate::mapping::form::BodyForm;
use crate::mapping::rule::TableRules;
use crate::postgres::conninfo::ConnInfo;
use crate::store::SpoolFull;

#[derive(Clone, Debug)]
pub struct Config {
    pub source: Source,
    pub state: PathBuf,
    pub spool: Spool,
    /// All events held in memory, in bytes.
    pub memory_bytes_max: u64,
    /// `None` when the admin port is off (`listen: off`).
    pub admin: Option<SocketAddr>,
    /// The endpoints that are told how walhook itself fares.
    pub alerts: Vec<EndpointIndex>,
    /// An [`EndpointIndex`] is a place in it. In the order of the file.
    pub endpoints: Vec<Endpoint>,
    /// In the order of the file.
    pub tables: Arc<[TableRules]>,
    /// In the order of the file.
    pub messages: Arc<[TableRules]>,
    /// Names of replication origins whose changes make no event.
    pub ignore_origins: Arc<[String]>,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub conninfo: ConnInfo,
    pub slot: String,
    pub publication: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    pub bytes_max: u64,
    pub full: SpoolFull,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: Arc<str>,
    pub target: Target,
    pub lanes: LaneOptions,
    pub form: BodyForm,
}
