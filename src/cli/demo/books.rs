//! The books: what the shop committed against what the receiver accepted. No clock, no sockets.

use std::collections::HashSet;

use serde_json::Value;

use super::setting::ENDPOINTS;
use super::shop::Expected;
use crate::receiver::line::latency_ms;
use crate::receiver::received::Received;
use crate::receiver::seen::{Seen, Sight};
use crate::receiver::server::{Receipt, Verdict};

/// The columns of an endpoint in the summary.
#[derive(Debug, Default)]
pub struct Account {
    seen: Seen,
    pub arrived: usize,
    pub repeats: usize,
    pub overtaken: usize,
    /// Of events whose endpoint and daemon were well, in milliseconds.
    pub latencies_ms: Vec<f64>,
    /// Events committed from here on count for the latencies; `None`: not now.
    calm_since_us: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Books {
    expected: HashSet<Expected>,
    arrived: HashSet<Expected>,
    accounts: [Account; ENDPOINTS.len()],
    /// Requests that did not verify.
    pub refused: usize,
}

impl Books {
    pub fn expect(&mut self, expected: impl IntoIterator<Item = Expected>) {
        self.expected.extend(expected);
    }

    /// Notes an event of a request that was accepted, and says what it is.
    pub fn take(&mut self, endpoint: usize, receipt: &Receipt, received: &Received) -> Sight {
        let standard = received.standard.as_ref();
        let table = standard.map_or("", |standard| standard.table.as_str());
        let position = standard.and_then(|standard| standard.position);
        if let Some(what) = what(received) {
            self.arrived.insert(Expected { endpoint, what });
        }
        let Some(account) = self.accounts.get_mut(endpoint) else {
            return Sight::Fresh;
        };
        let sight = account.seen.see(table, &received.id, position);
        match sight {
            Sight::Repeat => {
                account.repeats += 1;
                return sight;
            }
            Sight::Overtaken => account.overtaken += 1,
            Sight::Fresh => {}
        }
        account.arrived += 1;
        let committed_us = standard.and_then(|standard| standard.committed_us);
        if let (Some(since), Some(committed)) = (account.calm_since_us, committed_us)
            && committed >= since
            && let Some(ms) = latency_ms(receipt, received)
        {
            account.latencies_ms.push(ms);
        }
        sight
    }

    pub fn refuse(&mut self, verdict: Verdict) {
        if verdict != Verdict::Verified {
            self.refused += 1;
        }
    }

    /// From now on, or not any more, what is committed counts for the endpoint's latencies.
    pub fn calm(&mut self, endpoint: usize, since_us: Option<i64>) {
        if let Some(account) = self.accounts.get_mut(endpoint) {
            account.calm_since_us = since_us;
        }
    }

    /// What was committed and has not come.
    pub fn missing(&self, endpoint: Option<usize>) -> HashSet<Expected> {
        let missing = self.expected.difference(&self.arrived);
        let wanted = |expected: &&Expected| endpoint.is_none_or(|at| at == expected.endpoint);
        missing.filter(wanted).cloned().collect()
    }

    /// Whether all of `goal` has come.
    pub fn reached(&self, goal: &HashSet<Expected>) -> bool {
        goal.is_subset(&self.arrived)
    }

    /// Came, although nothing was committed that asks for it.
    pub fn unexpected(&self) -> usize {
        self.arrived.difference(&self.expected).count()
    }

    pub fn expected_at(&self, endpoint: usize) -> usize {
        let at = |expected: &&Expected| expected.endpoint == endpoint;
        self.expected.iter().filter(at).count()
    }

    pub fn expected(&self) -> usize {
        self.expected.len()
    }

    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }
}

/// As the shop names what it expects.
fn what(received: &Received) -> Option<String> {
    let shown: Value = serde_json::from_str(&received.shown).ok()?;
    match &received.standard {
        Some(standard) => Some(format!("{} {}", standard.event_type, shown.get("id")?)),
        None => Some(shown.get("message")?.as_str()?.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::cli::demo::setting::{BILLING, CHAT, CRM};
    use crate::receiver::received::events;

    fn receipt(body: &str) -> Receipt {
        Receipt {
            at: UNIX_EPOCH + Duration::from_millis(1005),
            path: "/billing".to_owned(),
            headers: Vec::new(),
            body: body.to_owned().into(),
            verdict: Verdict::Verified,
            status: 204,
        }
    }

    fn take(books: &mut Books, endpoint: usize, body: &str) -> Sight {
        let receipt = receipt(body);
        let received = events("evt_request", body.as_bytes()).remove(0);
        books.take(endpoint, &receipt, &received)
    }

    fn expected(endpoint: usize, what: &str) -> Expected {
        let what = what.to_owned();
        Expected { endpoint, what }
    }

    const PAID: &str = r#"{"id":"evt_1","type":"order.paid","timestamp":"1970-01-01T00:00:01.000000Z","data":{"id":7},"source":{"schema":"public","table":"orders","lsn":"0/1","index":1}}"#;

    #[test]
    fn what_is_missing_and_what_nobody_asked_for_are_told() {
        let mut books = Books::default();
        let orders = [
            expected(BILLING, "order.paid 7"),
            expected(BILLING, "order.paid 8"),
        ];
        books.expect(orders.clone());
        books.expect([
            expected(CHAT, "#1 late (low)"),
            expected(CRM, "order.paid 7"),
        ]);
        books.calm(BILLING, Some(0));
        assert_eq!(take(&mut books, BILLING, PAID), Sight::Fresh);
        assert_eq!(take(&mut books, BILLING, PAID), Sight::Repeat);
        assert_eq!(
            take(&mut books, CRM, PAID),
            Sight::Fresh,
            "another endpoint"
        );
        assert_eq!(
            take(&mut books, CHAT, r##"{"message":"#1 late (low)"}"##),
            Sight::Fresh
        );
        assert_eq!(books.missing(Some(CHAT)).len(), 0);
        assert_eq!(books.missing(None), HashSet::from([orders[1].clone()]));
        assert!(!books.reached(&HashSet::from(orders)));
        assert_eq!(books.unexpected(), 0);
        let account = &books.accounts()[BILLING];
        assert_eq!((account.arrived, account.repeats), (1, 1));
        assert_eq!(account.latencies_ms, [5.0]);
        take(&mut books, CHAT, r#"{"message":"other"}"#);
        assert_eq!(books.unexpected(), 1);
    }

    #[test]
    fn what_was_committed_before_the_calm_has_no_latency() {
        let mut books = Books::default();
        books.calm(BILLING, Some(1_000_001));
        take(&mut books, BILLING, PAID);
        assert!(books.accounts()[BILLING].latencies_ms.is_empty());
    }
}
