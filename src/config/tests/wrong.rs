//! What an operator reads of a very wrong config.

use super::{CANARY, problems};

#[test]
fn all_problems_of_a_very_wrong_config_come_at_once() {
    let text = r#"source:
  url: ${NOT_SET}
  slott: walhook
  slot: Wal-Hook
spool: { max_bytes: plenty, full: explode }
memory: 24MiB
admin: { listen: localhost }
alerts: { to: [biling, billing, billing] }
endpoints:
  billing:
    url: http://billing.example.com/CANARY
    secret: CANARY
    order: tabel
    key_lanes: 5000
    concurrency: 0
    timeout: 15 parsecs
    max_body: 2GiB
    headers: { host: CANARY, webhook-id: CANARY, x-a: "CANARY\nb", "b d": CANARY }
    retry: { for: 3d, then: drop, park_statuses: [422, 410, 200] }
    batch: { events: 0, wait: 5, bytes: 1KB }
  billing: {}
  "b c":
    url: ftp://CANARY@host/
tables:
  public.orders:
    to: biling
    columns: { include: [a], exclude: [b] }
    events:
      insert: { type: "order created", when: old.a == 1 }
      update:
        - { type: order.paid, when: "new.a >" }
        - { when_error: maybe }
      upsert: order.upserted
  orders: { to: billing, events: { insert: a.b } }
  "audit.*a": { to: billing, events: { insert: a.b } }
  "audit.a*": { to: billing, events: { insert: [a.b, a.b] } }
  public.items: { events: { insert: item.made, delete: [] } }
"#;
    let shown = problems(text);
    assert!(!shown.contains(CANARY), "{shown}");
    insta::assert_snapshot!(shown, @r#"
    config.yaml:2:8: source.url: the variable NOT_SET is not set
        hint: set it in the environment, or write ${NOT_SET:-default}
    config.yaml:3:3: source.slott: unknown key
        hint: did you mean "slot"?
    config.yaml:4:9: source.slot: "Wal-Hook" is not a slot's name
        hint: write 1 to 63 lower-case letters, digits and underscores
    config.yaml:5:21: spool.max_bytes: "plenty" is not a size
        hint: write a number and a unit, for example 24MiB or 10GiB
    config.yaml:5:35: spool.full: "explode" is neither stop nor disable
        hint: write stop or disable
    config.yaml:6:9: memory: a single value where a mapping belongs
        hint: write the key max_bytes
    config.yaml:7:18: admin.listen: "localhost" is not an address with a port
        hint: write for example 127.0.0.1:7373 or [::1]:7373, or off
    config.yaml:8:16: alerts.to[0]: "biling" is not an endpoint
        hint: did you mean "billing"?
    config.yaml:8:33: alerts.to[2]: "billing" stands twice
        hint: leave one of the two
    config.yaml:11:10: endpoints.billing.url: plain http to another machine: everybody on the way can read it
        hint: write https://, or "insecure_http: true" beside the url
    config.yaml:12:13: endpoints.billing.secret: the secret cannot sign
        detail: it does not begin with "whsec_"
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:13:12: endpoints.billing.order: "tabel" is none of table, key, endpoint
        hint: did you mean "table"?
    config.yaml:14:16: endpoints.billing.key_lanes: "5000" is out of range
        hint: write a whole number from 1 to 1024
    config.yaml:15:18: endpoints.billing.concurrency: "0" is out of range
        hint: write a whole number from 1 to 1000
    config.yaml:16:14: endpoints.billing.timeout: "15 parsecs" is not a duration
        hint: write a number and a unit, for example 15s, 5ms or 3d
    config.yaml:17:15: endpoints.billing.max_body: "2GiB" is out of range
        hint: write a size from 1KiB to 1GiB
    config.yaml:18:22: endpoints.billing.headers.host: the header is set by walhook or by HTTP itself
        hint: take it out, or give it another name
    config.yaml:18:42: endpoints.billing.headers.webhook-id: the header is set by walhook or by HTTP itself
        hint: take it out, or give it another name
    config.yaml:18:55: endpoints.billing.headers.x-a: the value holds a line break
        hint: a header's value is printable ASCII; does it end in a newline?
    config.yaml:18:75: endpoints.billing.headers: a key that is not the name of a header
        hint: write letters, digits and hyphens
    config.yaml:19:29: endpoints.billing.retry.then: "drop" is neither dead_letter nor block
        hint: write dead_letter or block
    config.yaml:19:56: endpoints.billing.retry.park_statuses[1]: "410" disables the endpoint
        hint: write statuses from 100 to 599 other than 2xx, 410 and 429
    config.yaml:19:61: endpoints.billing.retry.park_statuses[2]: "200" means that the event was delivered
        hint: write statuses from 100 to 599 other than 2xx, 410 and 429
    config.yaml:20:22: endpoints.billing.batch.events: "0" is out of range
        hint: write a whole number from 1 to 10000
    config.yaml:20:31: endpoints.billing.batch.wait: "5" is not a duration
        hint: write a number and a unit, for example 15s, 5ms or 3d
    config.yaml:20:41: endpoints.billing.batch.bytes: "1KB" is out of range
        hint: write a size from 1KiB to 64MiB
    config.yaml:21:3: endpoints.billing: the name stands twice, first in line 10
        hint: leave one of the two
    config.yaml:22:3: endpoints."b c": not a name for an endpoint
        hint: write letters, digits, "_", "-" and ".", at most 63, a letter or digit first
    config.yaml:22:3: endpoints."b c".secret: is missing
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:23:10: endpoints."b c".url: a scheme other than https and http
        hint: write a URL such as https://host/path
    config.yaml:26:9: tables."public.orders".to: "biling" is not an endpoint
        hint: did you mean "billing"?
    config.yaml:27:5: tables."public.orders".columns: both include and exclude
        hint: write one of the two
    config.yaml:29:23: tables."public.orders".events.insert.type: "order created" is not an event type
        detail: an event type cannot contain ' ', only letters A to Z and a to z, digits, underscores and full stops
        hint: write for example order.created or {table}.{operation}
    config.yaml:29:46: tables."public.orders".events.insert.when: it reads the old row, and an insert has none
        hint: read columns of new
    config.yaml:31:37: tables."public.orders".events.update[0].when: not a condition: the expression ends too early at column 8
        hint: write CEL over new, old, operation, schema, table and changed("column")
    config.yaml:32:11: tables."public.orders".events.update[1].type: is missing
        hint: write an event type, for example order.created
    config.yaml:32:25: tables."public.orders".events.update[1].when_error: "maybe" is none of skip, emit, dead_letter
        hint: write skip, emit or dead_letter
    config.yaml:33:7: tables."public.orders".events.upsert: unknown key
        hint: did you mean "insert"?
    config.yaml:34:3: tables.orders: not the name of a table: the schema is missing
        hint: write schema.table, for example public.orders
    config.yaml:36:3: tables."audit.a*": it can match the same table as audit.*a
        detail: a table takes the pattern with the longest literal part, and these two are equally long
        hint: make one of the patterns more exact, or write an entry for each table
    config.yaml:36:54: tables."audit.a*".events.insert[1]: "a.b" is the event type of another rule to billing too
        detail: tables."audit.a*".events.insert[0] can make it of the same change; the two events would share an id
        hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
    config.yaml:37:37: tables."public.items".events.insert: the rule has no endpoint
        hint: write "to: <endpoint>" at the entry, or beside the rule's type
    config.yaml:37:48: tables."public.items".events.delete: an empty list
        hint: write an event type, or take the key out
    config.yaml:32:25: warning: tables."public.orders".events.update[1].when_error: it means nothing without "when" or "payload"
    43 problems in config.yaml
    "#);
}
