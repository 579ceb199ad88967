//! `source`: the database, the slot, the publication.

use super::cursor::{At, Fields, Walk};
use super::keys;
use crate::config::ready::Source;
use crate::postgres::conninfo::{ConnInfo, ConnInfoError};

const SLOT: &str = "walhook";
const SLOT_BYTES_MAX: usize = 63;
/// 63 bytes, less the ending of the second publication (`_insert`).
const PUBLICATION_BYTES_MAX: usize = 56;

impl Walk<'_> {
    pub(super) fn source(&mut self, root: &Fields<'_>) -> Option<Source> {
        let Some(at) = root.get("source") else {
            let at = At {
                node: root.at.node,
                path: root.at.path.key("source"),
            };
            self.missing(&at, "url").hint(
                "write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL",
            );
            return None;
        };
        let fields = self.fields(&at, &keys::SOURCE)?;
        let conninfo = match fields.get("url") {
            Some(url) => self.conninfo(&url),
            None => {
                self.missing(&at, "url").hint(
                    "write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL",
                );
                None
            }
        };
        let slot = match fields.get("slot") {
            Some(slot) => self.slot(&slot),
            None => Some(SLOT.to_owned()),
        };
        let publication = match (fields.get("publication"), &slot) {
            (Some(publication), _) => self.publication(&publication),
            (None, Some(slot)) if slot.len() > PUBLICATION_BYTES_MAX => {
                self.missing(&at, "publication").hint(format!(
                    "the slot's name is too long for a publication's: write one of at most {PUBLICATION_BYTES_MAX} bytes"
                ));
                None
            }
            (None, slot) => slot.clone(),
        };
        Some(Source {
            conninfo: conninfo?,
            slot: slot?,
            publication: publication?,
        })
    }

    fn conninfo(&mut self, at: &At<'_>) -> Option<ConnInfo> {
        let text = self.text(
            at,
            "a URL (postgres://user@host/database) or keywords (host=... dbname=...)",
        )?;
        let env = self.env;
        match ConnInfo::parse(text, &|name| env.get(name).map(str::to_owned)) {
            Ok(conninfo) => Some(conninfo),
            Err(error) => {
                self.problem(
                    at,
                    format!("not a connection string: {}", shown(&error)),
                )
                .hint(
                    "write a URL (postgres://user@host/database) or keywords (host=... dbname=...)",
                );
                None
            }
        }
    }

    /// <https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS>
    fn slot(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at, "the name of a slot")?;
        let letters = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !letters || text.len() > SLOT_BYTES_MAX {
            let found = format!("{} is not a slot's name", self.shown(at));
            self.problem(at, found).hint(format!(
                "write 1 to {SLOT_BYTES_MAX} lower-case letters, digits and underscores"
            ));
            return None;
        }
        Some(text.to_owned())
    }

    fn publication(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at, "the name of a publication")?;
        if text.len() > PUBLICATION_BYTES_MAX || text.contains('\0') {
            let found = format!("{} is not a usable publication's name", self.shown(at));
            self.problem(at, found).hint(format!(
                "write at most {PUBLICATION_BYTES_MAX} bytes: \"_insert\" is added for a second publication"
            ));
            return None;
        }
        Some(text.to_owned())
    }
}

/// An unknown keyword may be the tail of a password that was not quoted.
fn shown(error: &ConnInfoError) -> String {
    let text = error.to_string();
    if text.starts_with("unknown keyword") {
        return "unknown keyword (a value with spaces stands in single quotes, and \"?\" in a URL's password is %3F)".to_owned();
    }
    text
}
