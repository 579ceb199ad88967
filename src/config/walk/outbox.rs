//! A table's `outbox`: the columns that say what each row is as an event.

use super::cursor::{At, Fields, Walk};
use super::keys;
use super::rule::To;
use crate::change::Operation;
use crate::mapping::rule::{Outbox, Rule, TypeTemplate, WhenError};

impl Walk<'_> {
    /// The columns, and the one rule: every inserted row is an event, and one that gives
    /// no type becomes a dead letter, so that none is lost in silence.
    pub(super) fn outbox(
        &mut self,
        at: &At<'_>,
        table: &Fields<'_>,
        to: &To,
    ) -> Option<(Outbox, Rule)> {
        let fields = self.fields(at, &keys::OUTBOX)?;
        for (key, instead) in [
            (
                "events",
                "the rows of an outbox are its events: take it out",
            ),
            (
                "columns",
                "an event has the payload's value alone: take it out",
            ),
            ("key", "name its column in the outbox: outbox: { key: ... }"),
        ] {
            if let Some(at) = table.get(key) {
                self.problem(&at, "it means nothing beside \"outbox\"")
                    .hint(instead);
            }
        }
        let event_type = self.outbox_column(&fields, "type");
        let payload = self.outbox_column(&fields, "payload");
        let optional = |walk: &mut Self, key| match fields.get(key) {
            Some(_) => walk.outbox_column(&fields, key).map(Some),
            None => Some(None),
        };
        let key = optional(self, "key");
        let id = optional(self, "id");
        let endpoints = self.endpoints_of(at, To::Absent, to);
        let event_type = event_type?;
        let rule = Rule {
            name: at.path.to_string().into(),
            operation: Operation::Insert,
            event_type: TypeTemplate::of_column(&event_type),
            when: None,
            when_error: WhenError::DeadLetter,
            endpoints: endpoints?,
            payload: None,
        };
        let outbox = Outbox {
            event_type,
            payload: payload?,
            key: key?,
            id: id?,
        };
        Some((outbox, rule))
    }

    fn outbox_column(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        match fields.get(key) {
            Some(at) => self.text(&at, "the name of a column").map(str::to_owned),
            None => {
                self.missing(&fields.at, key)
                    .hint("write the name of a column");
                None
            }
        }
    }
}
