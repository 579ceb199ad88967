//! The top level, and what is small enough to stand beside it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::cursor::{At, Fields, Walk};
use super::endpoint::Names;
use super::keys;
use super::rule::To;
use crate::config::key_path::KeyPath;
use crate::config::ready::{Config, Spool};
use crate::config::source::tree::Node;
use crate::event::EndpointIndex;
use crate::store::SpoolFull;

const STATE: &str = "/var/lib/walhook/state.db";
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SPOOL_BYTES: u64 = 10 * GIB;
const MEMORY_BYTES: u64 = 24 * MIB;
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7373);

impl Walk<'_> {
    /// The whole config, when there is nothing wrong with it.
    pub fn config(&mut self, root: &Node) -> Option<Config> {
        let at = At {
            node: root,
            path: KeyPath::root(),
        };
        let fields = self.fields(&at, &keys::ROOT)?;
        let source = self.source(&fields);
        let state = self.state_of(&fields);
        let spool = self.spool(&fields);
        let memory_bytes_max = self.memory(&fields);
        let admin = self.admin(&fields);
        let (endpoints, mut names) = self.endpoints(&fields);
        let tables = self.tables(&fields, &mut names);
        let messages = self.messages(&fields, &mut names);
        let ignore_origins = self.ignore_origins(&fields);
        let alerts = self.alerts(&fields, &mut names);
        self.tell_unused(&names);
        Some(Config {
            source: source?,
            state: state?,
            spool: spool?,
            memory_bytes_max: memory_bytes_max?,
            admin: admin?,
            alerts: alerts?,
            endpoints: endpoints?,
            tables: tables?.into(),
            messages: messages?.into(),
            ignore_origins: ignore_origins?.into(),
        })
    }

    /// `state` alone: what the commands beside `run` need.
    pub fn state(&mut self, root: &Node) -> Option<PathBuf> {
        let at = At {
            node: root,
            path: KeyPath::root(),
        };
        let fields = self.mapping(&at, "a mapping")?;
        self.state_of(&fields)
    }

    fn state_of(&mut self, root: &Fields<'_>) -> Option<PathBuf> {
        let Some(at) = root.get("state") else {
            return Some(PathBuf::from(STATE));
        };
        let text = self.text(&at, "the path of a file")?;
        if text.ends_with('/') || text.contains('\0') {
            let found = format!("{} is not the path of a file", self.shown(&at));
            self.problem(&at, found)
                .hint(format!("write a path such as {STATE}"));
            return None;
        }
        Some(self.directory.join(text))
    }

    fn spool(&mut self, root: &Fields<'_>) -> Option<Spool> {
        let mut spool = Spool {
            bytes_max: SPOOL_BYTES,
            full: SpoolFull::Stop,
        };
        let Some(at) = root.get("spool") else {
            return Some(spool);
        };
        let fields = self.fields(&at, &keys::SPOOL)?;
        let bytes_max = match fields.get("max_bytes") {
            Some(at) => self.size(&at, 64 * KIB..=1024 * 1024 * GIB),
            None => Some(spool.bytes_max),
        };
        let full = match fields.get("full") {
            Some(at) => self.choice(
                &at,
                &[("stop", SpoolFull::Stop), ("disable", SpoolFull::Disable)],
            ),
            None => Some(spool.full),
        };
        spool.bytes_max = bytes_max?;
        spool.full = full?;
        Some(spool)
    }

    fn memory(&mut self, root: &Fields<'_>) -> Option<u64> {
        let Some(at) = root.get("memory") else {
            return Some(MEMORY_BYTES);
        };
        match self.fields(&at, &keys::MEMORY)?.get("max_bytes") {
            Some(at) => self.size(&at, 64 * KIB..=1024 * GIB),
            None => Some(MEMORY_BYTES),
        }
    }

    fn alerts(&mut self, root: &Fields<'_>, names: &mut Names) -> Option<Vec<EndpointIndex>> {
        let Some(at) = root.get("alerts") else {
            return Some(Vec::new());
        };
        let fields = self.fields(&at, &keys::ALERTS)?;
        match self.to(fields.get("to").as_ref(), names) {
            To::Endpoints(endpoints) => Some(endpoints),
            To::Broken => None,
            To::Absent => {
                self.missing(&at, "to").hint("name at least one endpoint");
                None
            }
        }
    }

    fn admin(&mut self, root: &Fields<'_>) -> Option<Option<SocketAddr>> {
        let Some(at) = root.get("admin") else {
            return Some(Some(ADMIN));
        };
        let Some(at) = self.fields(&at, &keys::ADMIN)?.get("listen") else {
            return Some(Some(ADMIN));
        };
        let text = self.text(&at, "an address with a port, or off")?;
        if text == "off" {
            return Some(None);
        }
        match text.parse() {
            Ok(address) => Some(Some(address)),
            Err(_) => {
                let found = format!("{} is not an address with a port", self.shown(&at));
                self.problem(&at, found)
                    .hint(format!("write for example {ADMIN} or [::1]:7373, or off"));
                None
            }
        }
    }
}
