//! What a request carried, as far as its body tells.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::change::TableName;
use crate::lsn::Lsn;

/// One event of a request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The event's own id; of a body that has none, the request's `webhook-id`.
    pub id: String,
    /// `None` when the body is a payload of the config's own.
    pub standard: Option<Standard>,
    /// `data` or `data_base64`, or the whole body when it is a payload: JSON as it came.
    pub shown: String,
}

/// What the standard body says of itself.
#[derive(Clone, Debug)]
pub struct Standard {
    pub event_type: String,
    /// `schema.table`, or `message prefix`
    pub table: String,
    /// Commit time, microseconds since 1970.
    pub committed_us: Option<i64>,
    /// Commit LSN and ordinal.
    pub position: Option<(Lsn, u64)>,
}

#[derive(Deserialize)]
struct Body<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    timestamp: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    /// Of a logical message that is no JSON.
    #[serde(borrow)]
    data_base64: Option<&'a RawValue>,
    source: Source,
}

impl Source {
    fn table(&self) -> Option<String> {
        match (&self.schema, &self.table, &self.prefix) {
            (Some(schema), Some(table), None) => Some(format!("{schema}.{table}")),
            (None, None, Some(prefix)) => Some(TableName::of_messages(prefix).to_string()),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Source {
    schema: Option<String>,
    table: Option<String>,
    /// Of a logical message.
    prefix: Option<String>,
    lsn: String,
    index: u64,
}

/// The body is an event or an array of them; what is no JSON is shown as text.
pub fn events(webhook_id: &str, body: &[u8]) -> Vec<Received> {
    if let Ok(batch) = serde_json::from_slice::<Vec<&RawValue>>(body) {
        return batch
            .iter()
            .enumerate()
            .map(|(place, event)| one(&format!("{webhook_id}.{place}"), event.get()))
            .collect();
    }
    vec![one(webhook_id, &String::from_utf8_lossy(body))]
}

fn one(id: &str, json: &str) -> Received {
    let body = serde_json::from_str::<Body<'_>>(json).ok();
    match body.and_then(|body| body.source.table().map(|table| (body, table))) {
        Some((body, table)) => Received {
            id: body.id,
            shown: body.data_base64.unwrap_or(body.data).get().to_owned(),
            standard: Some(Standard {
                event_type: body.event_type,
                table,
                committed_us: body.timestamp.as_deref().and_then(microseconds),
                position: body
                    .source
                    .lsn
                    .parse()
                    .ok()
                    .map(|lsn| (lsn, body.source.index)),
            }),
        },
        None => Received {
            id: id.to_owned(),
            standard: None,
            shown: json.to_owned(),
        },
    }
}

fn microseconds(timestamp: &str) -> Option<i64> {
    let time: jiff::Timestamp = timestamp.parse().ok()?;
    Some(time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"id":"evt_1","type":"order.paid","timestamp":"1970-01-01T00:00:01.000002Z","data":{"id":7,"amount":1.50},"previous":null,"source":{"database":"app","schema":"public","table":"orders","operation":"update","lsn":"0/16B3748","xid":771,"index":3}}"#;

    #[test]
    fn a_standard_body_tells_its_table_time_and_position() {
        let [received] = &events("evt_1", EVENT.as_bytes())[..] else {
            panic!("one event");
        };
        let standard = received.standard.as_ref().unwrap();
        assert_eq!(received.shown, r#"{"id":7,"amount":1.50}"#);
        assert_eq!(standard.table, "public.orders");
        assert_eq!(standard.committed_us, Some(1_000_002));
        assert_eq!(standard.position, Some(("0/16B3748".parse().unwrap(), 3)));
    }

    #[test]
    fn a_message_has_a_prefix_and_no_table() {
        let body = r#"{"id":"evt_1","type":"ping","timestamp":null,"data":null,"data_base64":"aGk=","previous":null,"source":{"database":"app","prefix":"ping.me","operation":"message","transactional":false,"lsn":"0/10","xid":null,"index":0}}"#;
        let [received] = &events("evt_1", body.as_bytes())[..] else {
            panic!("one event");
        };
        let standard = received.standard.as_ref().unwrap();
        assert_eq!(received.shown, "\"aGk=\"");
        assert_eq!(standard.table, "message ping.me");
        assert_eq!(standard.committed_us, None);
        assert_eq!(standard.position, Some((Lsn(16), 0)));
    }

    #[test]
    fn a_batch_is_its_events_and_another_body_stands_for_itself() {
        let batch = format!("[{EVENT},{{\"message\":\"x\"}}]");
        let ids: Vec<_> = events("bat_1", batch.as_bytes())
            .into_iter()
            .map(|event| (event.id, event.standard.is_some()))
            .collect();
        assert_eq!(
            ids,
            [("evt_1".to_owned(), true), ("bat_1.1".to_owned(), false)]
        );
        let [other] = &events("evt_2", b"not \xff JSON")[..] else {
            panic!("one event");
        };
        assert_eq!(
            (&other.id[..], &other.shown[..]),
            ("evt_2", "not \u{fffd} JSON")
        );
    }
}
