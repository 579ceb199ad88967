//! An endpoint's own `headers`. No value is ever shown.

use std::collections::HashSet;

use super::cursor::{At, Walk};
use crate::delivery::target::{HeaderMap, HeaderName, HeaderValue};

/// What walhook or HTTP itself sets.
const RESERVED: [&str; 15] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
    "user-agent",
    "date",
];
const RESERVED_PREFIX: &str = "webhook-";
const COUNT_MAX: usize = 50;

impl Walk<'_> {
    pub(super) fn headers(&mut self, at: &At<'_>) -> Option<HeaderMap> {
        let fields = self.mapping(at, "headers by their names")?;
        let mut headers = HeaderMap::new();
        let mut names = HashSet::new();
        let mut whole = true;
        if fields.iter().count() > COUNT_MAX {
            self.problem(at, format!("more than {COUNT_MAX} headers"));
            whole = false;
        }
        for (name, at) in fields.iter() {
            let name = self.header_name(name, &at);
            let value = self.header_value(&at);
            if name
                .as_ref()
                .is_some_and(|name| !names.insert(name.clone()))
            {
                self.problem(&at, "the header stands twice")
                    .hint("leave one of the two: names of headers have no case");
                whole = false;
            }
            match name.zip(value) {
                Some((name, value)) => {
                    headers.insert(name, value);
                }
                None => whole = false,
            }
        }
        whole.then_some(headers)
    }

    fn header_name(&mut self, name: &str, at: &At<'_>) -> Option<HeaderName> {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            self.problem(at, "a key that is not the name of a header")
                .hint("write letters, digits and hyphens");
            return None;
        };
        let reserved = parsed.as_str();
        if RESERVED.contains(&reserved) || reserved.starts_with(RESERVED_PREFIX) {
            self.problem(at, "the header is set by walhook or by HTTP itself")
                .hint("take it out, or give it another name");
            return None;
        }
        Some(parsed)
    }

    fn header_value(&mut self, at: &At<'_>) -> Option<HeaderValue> {
        let text = self.any_text(at, "the value of a header")?;
        let called = self.shown(at);
        if let Some(found) = forbidden(text) {
            self.problem(at, format!("{called} holds {found}"))
                .hint("a header's value is printable ASCII; does it end in a newline?");
            return None;
        }
        if ["{{", "{schema}", "{table}", "{operation}"]
            .iter()
            .any(|template| text.contains(template))
        {
            self.problem(
                at,
                format!("{called} looks like a template, which no header is"),
            )
            .hint("put what depends on the row into the payload");
            return None;
        }
        let Ok(mut value) = HeaderValue::from_str(text) else {
            self.problem(at, format!("{called} cannot be sent"));
            return None;
        };
        value.set_sensitive(true);
        Some(value)
    }
}

fn forbidden(text: &str) -> Option<&'static str> {
    if text.contains(['\r', '\n']) {
        Some("a line break")
    } else if text.contains(|c: char| c.is_control() && c != '\t') {
        Some("a control character")
    } else if !text.is_ascii() {
        Some("a character that is not ASCII")
    } else {
        None
    }
}
