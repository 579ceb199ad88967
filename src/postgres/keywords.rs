//! The two spellings of a connection string, taken apart into keywords and values.

use std::collections::BTreeMap;

use super::conninfo::ConnInfoError;

type Keywords = BTreeMap<String, String>;

/// Takes a URL or `keyword=value` pairs apart. Checks no keyword.
pub(super) fn parse(text: &str) -> Result<Keywords, ConnInfoError> {
    let text = text.trim();
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return url(rest);
        }
    }
    if text.contains("://") {
        return Err(error(
            "it is neither a postgres:// URL nor keyword=value pairs",
        ));
    }
    pairs(text)
}

fn error(text: &str) -> ConnInfoError {
    ConnInfoError(text.to_owned())
}

/// `[user[:password]@][host[:port],...][/dbname][?keyword=value&...]`
fn url(rest: &str) -> Result<Keywords, ConnInfoError> {
    let mut keywords = Keywords::new();
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, dbname) = match rest.split_once('/') {
        Some((authority, dbname)) => (authority, Some(dbname)),
        None => (rest, None),
    };
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let mut set = |keyword: &str, value: &str| -> Result<(), ConnInfoError> {
        if !value.is_empty() {
            keywords.insert(keyword.to_owned(), decode(value)?);
        }
        Ok(())
    };
    if let Some(userinfo) = userinfo {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        set("user", user)?;
        set("password", password)?;
    }
    if let Some(dbname) = dbname {
        set("dbname", dbname)?;
    }
    if !hosts.is_empty() {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = host_and_port(host)?;
            names.push(name);
            ports.push(port);
        }
        set("host", &names.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            set("port", &ports.join(","))?;
        }
    }
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        if pair.is_empty() {
            continue;
        }
        let (keyword, value) = pair
            .split_once('=')
            .ok_or_else(|| error("a parameter of the URL has no \"=\""))?;
        let keyword = decode(keyword)?;
        // JDBC's spelling, which libpq takes too.
        if keyword == "ssl" && value == "true" {
            set("sslmode", "require")?;
        } else {
            set(&keyword, value)?;
        }
    }
    Ok(keywords)
}

fn host_and_port(host: &str) -> Result<(&str, &str), ConnInfoError> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| error("an IPv6 address of the URL has no closing bracket"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if rest.is_empty() => Ok((address, "")),
            None => Err(error(
                "an IPv6 address of the URL is followed by other text",
            )),
        };
    }
    Ok(host.split_once(':').unwrap_or((host, "")))
}

fn decode(text: &str) -> Result<String, ConnInfoError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|value| *value != 0)
            .ok_or_else(|| error("a \"%\" of the URL is not followed by two hexadecimal digits"))?;
        bytes.push(value);
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| error("a part of the URL is no UTF-8"))
}

/// `keyword = 'value' ...`: quotes around a value with spaces, backslash before a quote.
fn pairs(text: &str) -> Result<Keywords, ConnInfoError> {
    let mut keywords = Keywords::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        if characters.peek().is_none() {
            return Ok(keywords);
        }
        let mut keyword = String::new();
        while let Some(c) = characters.next_if(|c| *c != '=' && !c.is_whitespace()) {
            keyword.push(c);
        }
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        if characters.next() != Some('=') {
            return Err(error("a keyword is not followed by \"=\""));
        }
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = characters.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match characters.next() {
                None if quoted => return Err(error("a quoted value has no closing quote")),
                None => break,
                Some('\\') => value.extend(characters.next()),
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
            }
        }
        keywords.insert(keyword, value);
    }
}
