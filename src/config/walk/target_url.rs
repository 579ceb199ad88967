//! An endpoint's `url`. Nothing of it is shown but scheme and host.

use url::{Host, Url};

use super::cursor::{At, Fields, Walk};

const WANTED: &str = "a URL such as https://host/path";

impl Walk<'_> {
    pub(super) fn target_url(&mut self, endpoint: &Fields<'_>) -> Option<Url> {
        let insecure_http = match endpoint.get("insecure_http") {
            Some(at) => self.flag(&at),
            None => Some(false),
        };
        let Some(at) = endpoint.get("url") else {
            self.missing(&endpoint.at, "url")
                .hint(format!("write {WANTED}"));
            return None;
        };
        let text = self.text(&at, WANTED)?;
        let url = self.url(&at, text)?;
        // When the flag is broken, that is what is told.
        if url.scheme() == "http" && insecure_http == Some(false) && !is_loopback(&url) {
            self.problem(
                &at,
                "plain http to another machine: everybody on the way can read it",
            )
            .hint("write https://, or \"insecure_http: true\" beside the url");
            return None;
        }
        insecure_http.map(|_| url)
    }

    fn url(&mut self, at: &At<'_>, text: &str) -> Option<Url> {
        let mut refuse = |found: &str, hint: &str| {
            self.problem(at, found).hint(hint);
            None
        };
        if text.contains(['{', '}']) {
            return refuse(
                "it holds \"{\" or \"}\": no URL is a template",
                "write the URL out, or %7B and %7D where braces are meant",
            );
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return refuse(
                "it holds white space or a control character",
                "take it out, or write %20 where a space is meant",
            );
        }
        let Ok(url) = Url::parse(text) else {
            return refuse("not a URL", "write a URL such as https://host/path");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refuse(
                "a scheme other than https and http",
                "write a URL such as https://host/path",
            );
        }
        if url.host().is_none() || url.port() == Some(0) {
            return refuse(
                "no host that can be connected to",
                "write a URL such as https://host/path",
            );
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(
                "user and password in the URL",
                "take them out and write them as a header instead:\nheaders: { authorization: \"Basic <base64 of user:password>\" }",
            );
        }
        if url.fragment().is_some() {
            return refuse(
                "a fragment (\"#...\"), which is never sent",
                "take it out, or write %23 where the sign is meant",
            );
        }
        Some(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
