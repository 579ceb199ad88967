//! What the operator reads of a wrong config.

use super::{SECRET, endpoint, table, wrong, wrong_with};

#[test]
fn a_very_wrong_config_is_told_all_at_once() {
    let text = r#"
sauce:
  url: ${DATABASE_URL}
source:
  url: ${DATABASE_URL}
  slot: Walhook-1
  publication: ""
state:
spool: { max_bytes: 10 goblets, full: halt, until: tomorrow }
memory: 24MiB
admin: { listen: localhost }
alerts: { to: ops }

endpoints:
  billing:
    url: http://billing.internal/hooks
    secret: [hunter2, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", whsec_c2hvcnQ=]
    headers: { Content-Type: text/plain, "x team": a, x-team: "a\r\nb", webhook-id: "1" }
    order: keys
    key_lanes: 0
    concurrency: many
    batch: { events: 0, wait: 5, bytes: 1TiB }
    timeout: 15 parsecs
    retry: { for: 3 days ago, then: shrug, max: 0s, park_statuses: [200, 404, 404, 410, 700] }
    max_body: 1MiB
  "bad name": { url: "ftp://example.com", secret: { file: /no/such/file } }
  crm: { url: "https://u:p@example.com/", insecure_http: maybe }
  chat: { url: "https://example.com/{schema}", secret: { fill: x } }
  crm: { url: "https://example.com" }

tables:
  orders: { to: billing, events: { insert: order.created } }
  public.orders:
    to: biling
    columns: { include: [a], exclude: [b] }
    event: { insert: order.created }
  public.items:
    to: [billing, billing]
    key: [id, id]
    events:
      insert: [item created, "{tabel}.created"]
      update:
        - { when: "new.price >", when_error: explode }
        - { type: item.updated, to: [], payload: .inf }
      upsert: item.upserted
  public.lines:
    columns: {}
    events:
      insert: { type: line.created, when: "old.id == 1" }
      delete: { type: line.deleted, to: crm, when: "new.id == 1" }
      truncate: { type: lines.truncated, to: crm, payload: "{{old.id}}" }
  '"public".lines': { to: chat, events: {} }
  "audit.a*": { to: chat, events: { insert: "{table}.logged" } }
  "audit.*b": { to: chat, events: { insert: [x.logged, "{table}.logged"] } }
"#;
    insta::assert_snapshot!(wrong(text), @r#"
config.yaml:2:1: sauce: unknown key
    hint: did you mean "source"?
config.yaml:3:8: sauce.url: the variable DATABASE_URL is not set
    hint: set it in the environment, or write ${DATABASE_URL:-default}
config.yaml:5:8: source.url: the variable DATABASE_URL is not set
    hint: set it in the environment, or write ${DATABASE_URL:-default}
config.yaml:6:9: source.slot: "Walhook-1" is not a slot's name
    hint: write 1 to 63 lower-case letters, digits and underscores
config.yaml:7:16: source.publication: is empty
    hint: write the name of a publication
config.yaml:8:1: state: has no value
    hint: write the path of a file, or take the key out
config.yaml:9:21: spool.max_bytes: "10 goblets" is not a size
    hint: write a number and a unit, for example 24MiB or 10GiB
config.yaml:9:39: spool.full: "halt" is neither stop nor disable
    hint: write stop or disable
config.yaml:9:45: spool.until: unknown key
    hint: known here: max_bytes, full
config.yaml:10:9: memory: a single value where a mapping belongs
    hint: write the key max_bytes
config.yaml:11:18: admin.listen: "localhost" is not an address with a port
    hint: write for example 127.0.0.1:7373 or [::1]:7373, or off
config.yaml:12:1: alerts: is not supported by this version yet
    hint: take it out
config.yaml:16:10: endpoints.billing.url: plain http to another machine: everybody on the way can read it
    hint: write https://, or "insecure_http: true" beside the url
config.yaml:17:14: endpoints.billing.secret[0]: the secret cannot sign
    detail: it does not begin with "whsec_"
    hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
        to make one: echo "whsec_$(openssl rand -base64 32)"
config.yaml:17:23: endpoints.billing.secret[1]: the secret is weak: its bytes are not random
    hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
        to make one: echo "whsec_$(openssl rand -base64 32)"
config.yaml:17:77: endpoints.billing.secret[2]: the secret cannot sign
    detail: it holds 5 bytes, Standard Webhooks asks for 24 to 64
    hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
        to make one: echo "whsec_$(openssl rand -base64 32)"
config.yaml:18:30: endpoints.billing.headers.Content-Type: the header is set by walhook or by HTTP itself
    hint: take it out, or give it another name
config.yaml:18:52: endpoints.billing.headers: a key that is not the name of a header
    hint: write letters, digits and hyphens
config.yaml:18:63: endpoints.billing.headers.x-team: the value holds a line break
    hint: a header's value is printable ASCII; does it end in a newline?
config.yaml:18:85: endpoints.billing.headers.webhook-id: the header is set by walhook or by HTTP itself
    hint: take it out, or give it another name
config.yaml:19:12: endpoints.billing.order: "keys" is none of the words for it
    hint: did you mean "key"? write table, key or endpoint
config.yaml:20:16: endpoints.billing.key_lanes: "0" is out of range
    hint: write a whole number from 1 to 1024
config.yaml:21:18: endpoints.billing.concurrency: "many" is not a whole number
    hint: write a whole number from 1 to 1000
config.yaml:22:22: endpoints.billing.batch.events: "0" is out of range
    hint: write a whole number from 1 to 10000
config.yaml:22:31: endpoints.billing.batch.wait: "5" is not a duration
    hint: write a number and a unit, for example 15s, 5ms or 3d
config.yaml:22:41: endpoints.billing.batch.bytes: "1TiB" is out of range
    hint: write a size from 1KiB to 64MiB
config.yaml:23:14: endpoints.billing.timeout: "15 parsecs" is not a duration
    hint: write a number and a unit, for example 15s, 5ms or 3d
config.yaml:24:19: endpoints.billing.retry.for: "3 days ago" is not a duration
    hint: write a number and a unit, for example 15s, 5ms or 3d
config.yaml:24:37: endpoints.billing.retry.then: "shrug" is neither dead_letter nor block
    hint: write dead_letter or block
config.yaml:24:49: endpoints.billing.retry.max: "0s" is out of range
    hint: write a duration from 1ms to 1day
config.yaml:24:69: endpoints.billing.retry.park_statuses[0]: "200" means that the event was delivered
    hint: write statuses from 100 to 599 other than 2xx, 410 and 429
config.yaml:24:79: endpoints.billing.retry.park_statuses[2]: "404" stands twice
    hint: leave one of the two
config.yaml:24:84: endpoints.billing.retry.park_statuses[3]: "410" disables the endpoint
    hint: write statuses from 100 to 599 other than 2xx, 410 and 429
config.yaml:24:89: endpoints.billing.retry.park_statuses[4]: "700" is out of range
    hint: write a whole number from 100 to 599
config.yaml:25:5: endpoints.billing.max_body: is not supported by this version yet
    hint: take it out
config.yaml:26:3: endpoints."bad name": not a name for an endpoint
    hint: write letters, digits, "_", "-" and ".", at most 63, a letter or digit first
config.yaml:26:22: endpoints."bad name".url: a scheme other than https and http
    hint: write a URL such as https://host/path
config.yaml:26:59: endpoints."bad name".secret.file: file "/no/such/file" cannot be read
    detail: no such file or directory
config.yaml:27:3: endpoints.crm.secret: is missing
    hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
        to make one: echo "whsec_$(openssl rand -base64 32)"
config.yaml:27:15: endpoints.crm.url: user and password in the URL
    hint: take them out and write them as a header instead:
        headers: { authorization: "Basic <base64 of user:password>" }
config.yaml:27:58: endpoints.crm.insecure_http: "maybe" is neither true nor false
    hint: write true or false
config.yaml:28:16: endpoints.chat.url: it holds "{" or "}": no URL is a template
    hint: write the URL out, or %7B and %7D where braces are meant
config.yaml:28:48: endpoints.chat.secret.file: is missing
    hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
        to make one: echo "whsec_$(openssl rand -base64 32)"
config.yaml:28:58: endpoints.chat.secret: unknown key
    hint: did you mean "file"?
config.yaml:29:3: endpoints.crm: the name stands twice, first in line 27
    hint: leave one of the two
config.yaml:32:3: tables.orders: not the name of a table: the schema is missing
    hint: write schema.table, for example public.orders
config.yaml:33:3: tables."public.orders".events: is missing
    hint: name at least one event: { insert: order.created }
config.yaml:34:9: tables."public.orders".to: "biling" is not an endpoint
    hint: did you mean "billing"?
config.yaml:35:5: tables."public.orders".columns: both include and exclude
    hint: write one of the two
config.yaml:36:5: tables."public.orders".event: unknown key
    hint: did you mean "events"?
config.yaml:38:19: tables."public.items".to[1]: "billing" stands twice
    hint: leave one of the two
config.yaml:39:15: tables."public.items".key[1]: "id" stands twice
    hint: leave one of the two
config.yaml:41:16: tables."public.items".events.insert[0]: "item created" is not an event type
    detail: an event type cannot contain ' ', only letters A to Z and a to z, digits, underscores and full stops
    hint: write for example order.created or {table}.{operation}
config.yaml:41:30: tables."public.items".events.insert[1]: "{tabel}.created" is not an event type
    detail: unknown placeholder {tabel}, expected {schema}, {table} or {operation}
    hint: write for example order.created or {table}.{operation}
config.yaml:43:11: tables."public.items".events.update[0].type: is missing
    hint: write an event type, for example order.created
config.yaml:43:19: tables."public.items".events.update[0].when: not a condition: the expression ends too early at column 12
    hint: write CEL over new, old, operation, schema, table and changed("column")
config.yaml:43:46: tables."public.items".events.update[0].when_error: "explode" is none of the words for it
    hint: write skip, emit or dead_letter
config.yaml:44:33: tables."public.items".events.update[1].to: an empty list
    hint: name at least one endpoint
config.yaml:44:50: tables."public.items".events.update[1].payload: ".inf" is no number in JSON
    hint: write it in quotes, as text
config.yaml:45:7: tables."public.items".events.upsert: unknown key
    hint: did you mean "insert"?
config.yaml:47:5: tables."public.lines".columns: neither include nor exclude
    hint: write one of the two, or take the key out
config.yaml:49:7: tables."public.lines".events.insert: the rule has no endpoint
    hint: write "to: <endpoint>" at the table, or beside the rule's type
config.yaml:49:43: tables."public.lines".events.insert.when: it reads the old row, and an insert has none
    hint: read columns of new
config.yaml:50:52: tables."public.lines".events.delete.when: it reads the new row, and a delete has none
    hint: read columns of old
config.yaml:51:60: tables."public.lines".events.truncate.payload: it reads a row, and a truncate has none
    hint: read operation, schema and table alone
config.yaml:52:3: tables.'"public".lines': the same table as public.lines
    hint: make one entry of the two
config.yaml:52:33: tables.'"public".lines'.events: there is no rule
    hint: name at least one event: { insert: order.created }
config.yaml:54:3: tables."audit.*b": it can match the same table as audit.a*
    detail: a table takes the pattern with the longest literal part, and these two are equally long
    hint: make one of the patterns more exact, or write an entry for each table
68 problems in config.yaml
"#);
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(wrong(""), @r"
config.yaml: the file is empty
    hint: write at least source, endpoints and tables
1 problem in config.yaml
");
    insta::assert_snapshot!(wrong("# all to come\n---\n"), @r"
config.yaml: the file is empty
    hint: write at least source, endpoints and tables
1 problem in config.yaml
");
    insta::assert_snapshot!(wrong("[]"), @r"
config.yaml:1:1: a list where a mapping belongs
    hint: write the keys source, state, spool, memory, admin, endpoints, tables
1 problem in config.yaml
");
    insta::assert_snapshot!(wrong("walhook"), @r"
config.yaml:1:1: a single value where a mapping belongs
    hint: write the keys source, state, spool, memory, admin, endpoints, tables
1 problem in config.yaml
");
    insta::assert_snapshot!(wrong("{}"), @r"
config.yaml: endpoints: is missing
    hint: name at least one endpoint, with its url and secret
config.yaml: source.url: is missing
    hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
config.yaml: tables: is missing
    hint: name at least one table with an event:
        public.orders: { to: <endpoint>, events: { insert: order.created } }
3 problems in config.yaml
");
}

#[test]
fn empty_sections() {
    insta::assert_snapshot!(wrong("source:\nendpoints: {}\ntables: {}\n"), @r"
config.yaml:1:1: source: has no value
    hint: write the keys url, slot, publication, or take the key out
config.yaml:2:1: endpoints: there is no endpoint
    hint: name at least one endpoint, with its url and secret
config.yaml:3:1: tables: there is no table
    hint: name at least one table with an event:
        public.orders: { to: <endpoint>, events: { insert: order.created } }
3 problems in config.yaml
");
    insta::assert_snapshot!(wrong("source: {}\nendpoints:\ntables: [a]\n"), @r"
config.yaml:1:1: source.url: is missing
    hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
config.yaml:2:1: endpoints: has no value
    hint: write endpoints by their names, or take the key out
config.yaml:3:1: tables: a list where a mapping belongs
    hint: write tables and their rules
3 problems in config.yaml
");
}

#[test]
fn what_is_no_yaml() {
    insta::assert_snapshot!(wrong("source:\n\turl: x\n"), @r#"
config.yaml:2:2: not valid YAML: tabs disallowed within this context (block indentation)
    hint: check the indentation, and quote values that hold ": ", " #", or begin with one of {[]},&*!|>'"%@`
1 problem in config.yaml
"#);
    insta::assert_snapshot!(wrong("source: {url: x\nendpoints: y\n"), @r#"
config.yaml:2:10: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
    hint: check the indentation, and quote values that hold ": ", " #", or begin with one of {[]},&*!|>'"%@`
1 problem in config.yaml
"#);
    insta::assert_snapshot!(wrong("tables:\n  *.orders: {}\n"), @r#"
config.yaml:2:3: not valid YAML: while parsing node, found unknown anchor
    hint: a name or value that begins with "*" or "&" stands in quotes
1 problem in config.yaml
"#);
    insta::assert_snapshot!(wrong("tables:\n  a.*: {}\n b: c\n"), @r#"
config.yaml:3:2: not valid YAML: while parsing a block mapping, did not find expected key
    hint: check the indentation, and quote values that hold ": ", " #", or begin with one of {[]},&*!|>'"%@`
1 problem in config.yaml
"#);
    insta::assert_snapshot!(wrong("a: 1\n---\nb: 2\n"), @r#"
config.yaml:2:1: a second document begins
    hint: a config is one document: take out the "---"
1 problem in config.yaml
"#);
    insta::assert_snapshot!(wrong(&"[".repeat(1000)), @r"
config.yaml:1:256: not valid YAML: recursion limit exceeded
    hint: a config needs less than 64 levels
1 problem in config.yaml
");
}

#[test]
fn yaml_that_means_nothing_here() {
    insta::assert_snapshot!(
        wrong("base: &base { a: 1 }\n<<: *base\nstate: !path x\n? [a]\n: b\n"), @r#"
config.yaml: endpoints: is missing
    hint: name at least one endpoint, with its url and secret
config.yaml: source.url: is missing
    hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
config.yaml: tables: is missing
    hint: name at least one table with an event:
        public.orders: { to: <endpoint>, events: { insert: order.created } }
config.yaml:1:1: base: unknown key
    hint: known here: source, state, spool, memory, admin, endpoints, tables
config.yaml:2:1: a merge key ("<<"), which is no part of YAML 1.2 and not read
    hint: write the keys out
config.yaml:3:8: state: a YAML tag, which means nothing here
    hint: take out the word that begins with "!", or quote the whole value
config.yaml:4:3: a list as a key
    hint: a value that begins with "{" or "[" stands in quotes, for example "{{new.title}}"
7 problems in config.yaml
"#);
    insta::assert_snapshot!(wrong("a: &a [*a]\n"), @r"
config.yaml:1:8: a[0]: an alias of something that it is a part of
1 problem in config.yaml
");
    insta::assert_snapshot!(wrong("state: &a x\nstate: *a\nspool: {full: stop, full: stop}\n"), @r"
config.yaml: endpoints: is missing
    hint: name at least one endpoint, with its url and secret
config.yaml: source.url: is missing
    hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
config.yaml: tables: is missing
    hint: name at least one table with an event:
        public.orders: { to: <endpoint>, events: { insert: order.created } }
config.yaml:2:1: state: the name stands twice, first in line 1
    hint: leave one of the two
config.yaml:3:21: spool.full: the name stands twice, first in line 3
    hint: leave one of the two
5 problems in config.yaml
");
    insta::assert_snapshot!(
        wrong(&table("{ to: e, events: { insert: { type: a, payload: { text: {{new.id}} } } } }")), @r#"
config.yaml:6:64: tables."a.b".events.insert.payload.text: a mapping as a key
    hint: a value that begins with "{" or "[" stands in quotes, for example "{{new.title}}"
1 problem in config.yaml
"#);
    let laughs = (1..9).fold(
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
        |text, n| {
            let items = vec![format!("*a{}", n - 1); 9].join(", ");
            format!("{text}a{n}: &a{n} [{items}]\n")
        },
    );
    insta::assert_snapshot!(wrong(&laughs), @r"
config.yaml:6:10: a5[0]: aliases that stand for more than 100000 values
1 problem in config.yaml
");
}

#[test]
fn two_rules_that_make_the_same_event() {
    insta::assert_snapshot!(
        wrong(&table(r#"{ to: e, events: { update: [b.x, { type: "{table}.x", when: new.id == 1 }, b.y] } }"#)), @r#"
config.yaml:6:41: tables."a.b".events.update[1]: "{table}.x" is the event type of another rule to e too
    detail: tables."a.b".events.update[0] can make it of the same change; the two events would share an id
    hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
1 problem in config.yaml
"#);
    insta::assert_snapshot!(
        wrong(&table("{ to: [f, e], events: { insert: [b.x, { type: b.x, to: [e, f] }] } }")), @r#"
config.yaml:6:46: tables."a.b".events.insert[1]: "b.x" is the event type of another rule to e, f too
    detail: tables."a.b".events.insert[0] can make it of the same change; the two events would share an id
    hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
1 problem in config.yaml
"#);
}

#[test]
fn such_rules_are_told_beside_one_that_is_wrong() {
    let text = wrong(&table(
        "{ to: e, events: { insert: [b.x, b.x], update: {} } }",
    ));
    assert!(text.contains("events.insert[1]: \"b.x\""), "{text}");
    assert!(text.contains("events.update.type: is missing"), "{text}");
    // A type that a variable brought is not shown.
    let rules = "{ to: e, events: { insert: [canary.x, '${TYPE}'] } }";
    let text = wrong_with(&table(rules), &[("TYPE", "canary.x")]);
    assert!(
        text.contains("the value of ${TYPE} is the event type"),
        "{text}"
    );
}

#[test]
fn every_variable_that_is_not_set_is_told() {
    insta::assert_snapshot!(wrong(&endpoint(", timeout: '${A}${B:-1}${C}'")), @r"
config.yaml:3:92: endpoints.e.timeout: the variable A is not set
    hint: set it in the environment, or write ${A:-default}
config.yaml:3:92: endpoints.e.timeout: the variable C is not set
    hint: set it in the environment, or write ${C:-default}
2 problems in config.yaml
");
}

#[test]
fn a_variable_with_one_underscore_too_many_is_told() {
    let text = wrong_with(
        &endpoint(""),
        &[("WALHOOK__STATE", "s.db"), ("WALHOOK__SOURCE__SLOT", "s")],
    );
    insta::assert_snapshot!(text, @r#"
WALHOOK__SOURCE__SLOT: _source: unknown key
    hint: did you mean "source"?
WALHOOK__STATE: _state: unknown key
    hint: did you mean "state"?
2 problems in config.yaml
"#);
}

#[test]
fn a_rule_without_an_endpoint() {
    insta::assert_snapshot!(
        wrong(&table("{ events: { insert: b.made, delete: { type: b.gone } } }")), @r#"
config.yaml:6:28: tables."a.b".events.insert: the rule has no endpoint
    hint: write "to: <endpoint>" at the table, or beside the rule's type
config.yaml:6:36: tables."a.b".events.delete: the rule has no endpoint
    hint: write "to: <endpoint>" at the table, or beside the rule's type
2 problems in config.yaml
"#);
    insta::assert_snapshot!(
        wrong(&table("{ to: e, events: { insert: [], update: [[b.changed]] } }")), @r#"
config.yaml:6:27: tables."a.b".events.insert: an empty list
    hint: write an event type, or take the key out
config.yaml:6:48: tables."a.b".events.update[0]: a list where a mapping belongs
    hint: write the keys type, when, when_error, to, payload
2 problems in config.yaml
"#);
}

#[test]
fn urls() {
    let told = |url: &str| {
        wrong(&endpoint(&format!(", url: {url:?}")).replacen("url: https://example.com/, ", "", 1))
    };
    insta::assert_snapshot!(told("example.com/hooks"), @r"
config.yaml:3:61: endpoints.e.url: not a URL
    hint: write a URL such as https://host/path
1 problem in config.yaml
");
    insta::assert_snapshot!(told("http://10.0.0.1/hooks"), @r#"
config.yaml:3:61: endpoints.e.url: plain http to another machine: everybody on the way can read it
    hint: write https://, or "insecure_http: true" beside the url
1 problem in config.yaml
"#);
    insta::assert_snapshot!(told("https://example.com/#part"), @r##"
config.yaml:3:61: endpoints.e.url: a fragment ("#..."), which is never sent
    hint: take it out, or write %23 where the sign is meant
1 problem in config.yaml
"##);
    insta::assert_snapshot!(told("https://example.com/a b"), @r"
config.yaml:3:61: endpoints.e.url: it holds white space or a control character
    hint: take it out, or write %20 where a space is meant
1 problem in config.yaml
");
    insta::assert_snapshot!(told("https://example.com:0/"), @r"
config.yaml:3:61: endpoints.e.url: no host that can be connected to
    hint: write a URL such as https://host/path
1 problem in config.yaml
");
    insta::assert_snapshot!(told("https://example.com/{{new.id}}"), @r#"
config.yaml:3:61: endpoints.e.url: it holds "{" or "}": no URL is a template
    hint: write the URL out, or %7B and %7D where braces are meant
1 problem in config.yaml
"#);
    insta::assert_snapshot!(told("file:///etc/passwd"), @r"
config.yaml:3:61: endpoints.e.url: a scheme other than https and http
    hint: write a URL such as https://host/path
1 problem in config.yaml
");
    insta::assert_snapshot!(told("https://token@example.com/"), @r#"
config.yaml:3:61: endpoints.e.url: user and password in the URL
    hint: take them out and write them as a header instead:
        headers: { authorization: "Basic <base64 of user:password>" }
1 problem in config.yaml
"#);
}

#[test]
fn headers() {
    insta::assert_snapshot!(wrong(&endpoint(
        r#", headers: { host: a, X-A: "1", x-a: "2", x-b: "{{new.id}}", x-c: "é", x-d: [1], x-e: null, User-Agent: me }"#
    )), @r"
config.yaml:3:100: endpoints.e.headers.host: the header is set by walhook or by HTTP itself
    hint: take it out, or give it another name
config.yaml:3:118: endpoints.e.headers.x-a: the header stands twice
    hint: leave one of the two: names of headers have no case
config.yaml:3:128: endpoints.e.headers.x-b: the value looks like a template, which no header is
    hint: put what depends on the row into the payload
config.yaml:3:147: endpoints.e.headers.x-c: the value holds a character that is not ASCII
    hint: a header's value is printable ASCII; does it end in a newline?
config.yaml:3:152: endpoints.e.headers.x-d: a list where a single value belongs
    hint: write the value of a header
config.yaml:3:162: endpoints.e.headers.x-e: has no value
    hint: write the value of a header, or take the key out
config.yaml:3:185: endpoints.e.headers.User-Agent: the header is set by walhook or by HTTP itself
    hint: take it out, or give it another name
7 problems in config.yaml
");
}

#[test]
fn key_lanes_without_order_key() {
    insta::assert_snapshot!(wrong(&endpoint(", key_lanes: 8")), @r#"
config.yaml:3:94: endpoints.e.key_lanes: it means nothing without "order: key"
    hint: write "order: key" beside it, or take it out
1 problem in config.yaml
"#);
}

#[test]
fn values_of_variables_are_named_by_them() {
    insta::assert_snapshot!(wrong_with(
        &endpoint(", timeout: \"${TIMEOUT}\", order: \"${NONE:-sideways}\", concurrency: \"${EMPTY}\", retry: { for: \"${NOT_SET}\", max: \"${1}\" }"),
        &[("TIMEOUT", "soon"), ("EMPTY", "")],
    ), @r#"
config.yaml:3:92: endpoints.e.timeout: the value of ${TIMEOUT} is not a duration
    hint: write a number and a unit, for example 15s, 5ms or 3d
config.yaml:3:113: endpoints.e.order: "sideways" is none of the words for it
    hint: write table, key or endpoint
config.yaml:3:147: endpoints.e.concurrency: the value of ${EMPTY} is empty
    hint: write a whole number from 1 to 1000
config.yaml:3:173: endpoints.e.retry.for: the variable NOT_SET is not set
    hint: set it in the environment, or write ${NOT_SET:-default}
config.yaml:3:192: endpoints.e.retry.max: what stands in "${...}" is not the name of a variable
    hint: write ${NAME} or ${NAME:-default}, or $${ where no variable is meant
5 problems in config.yaml
"#);
    insta::assert_snapshot!(wrong_with(
        &endpoint(", timeout: 15s"),
        &[
            ("WALHOOK_ENDPOINTS__E__TIMEOUT", "soon"),
            ("WALHOOK_ENDPOINTS__E__TIMOUT", "1s"),
            ("WALHOOK_ENDPOINTS__G__TIMEOUT", "1s"),
            ("WALHOOK_SOURCE__SLOT__NAME", "x"),
            ("WALHOOK_SPOOL", "x"),
            ("WALHOOK_SPOOL__FULL", "stop"),
            ("WALHOOK_SAUCE__SLOT", "x"),
            ("WALHOOK_ALERTS", "x"),
        ],
    ), @r#"
WALHOOK_ALERTS: alerts: is not supported by this version yet
    hint: take it out
WALHOOK_ENDPOINTS__E__TIMEOUT: endpoints.e.timeout: its value is not a duration
    hint: write a number and a unit, for example 15s, 5ms or 3d
WALHOOK_ENDPOINTS__E__TIMOUT: endpoints.e.timout: unknown key
    hint: did you mean "timeout"?
WALHOOK_ENDPOINTS__G__TIMEOUT: it names endpoint "g", which the file does not have
    hint: write the endpoint into the file; a variable can only set what is there
WALHOOK_SAUCE__SLOT: sauce: unknown key
    hint: did you mean "source"?
WALHOOK_SOURCE__SLOT__NAME: source.slot: a mapping where a single value belongs
    hint: write the name of a slot
WALHOOK_SPOOL: spool: a single value where a mapping belongs
    hint: write the keys max_bytes, full
WALHOOK_SPOOL__FULL: it sets what WALHOOK_SPOOL sets already
    hint: leave one of the two
8 problems in config.yaml
"#);
}

#[test]
fn a_payload_is_told_where_it_is_wrong() {
    insta::assert_snapshot!(wrong_with(
        &table(
            r#"{ to: e, events: { insert: { type: b.made, payload: { a: ["{{new.}}", "{{new.id"], b: { c.d: "{{old.id}}" }, e: .nan, f: "${F}" } } } }"#
        ),
        &[("F", "{{")],
    ), @r#"
config.yaml:6:66: tables."a.b".events.insert.payload.a[0]: not a template: unexpected '.' at column 5
    hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
config.yaml:6:78: tables."a.b".events.insert.payload.a[1]: not a template: {{ without the }} that ends it
    hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
config.yaml:6:120: tables."a.b".events.insert.payload.e: ".nan" is no number in JSON
    hint: write it in quotes, as text
config.yaml:6:129: tables."a.b".events.insert.payload.f: the value of a variable makes no template
    hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
4 problems in config.yaml
"#);
}

#[test]
fn names_of_slots_and_publications() {
    let source = |source: &str| {
        wrong(&table("{ to: e, events: { insert: b.made } }").replacen(
            "postgres://w@localhost/app",
            &format!("postgres://w@localhost/app, {source}"),
            1,
        ))
    };
    let long = "x".repeat(60);
    insta::assert_snapshot!(source(&format!("slot: {long}")), @r"
config.yaml:1:1: source.publication: is missing
    hint: the slot's name is too long for a publication's: write one of at most 56 bytes
1 problem in config.yaml
");
    insta::assert_snapshot!(source(&format!("publication: {long}")), @r#"
config.yaml:1:57: source.publication: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is not a usable publication's name
    hint: write at most 56 bytes: "_insert" is added for a second publication
1 problem in config.yaml
"#);
    insta::assert_snapshot!(source("slot: a-b"), @r#"
config.yaml:1:50: source.slot: "a-b" is not a slot's name
    hint: write 1 to 63 lower-case letters, digits and underscores
1 problem in config.yaml
"#);
}

#[test]
fn a_wrong_connection_string_shows_nothing_of_it() {
    let text = endpoint("").replacen(
        "postgres://w@localhost/app",
        "postgres://u:CANARY@h:99999/d?sslmode=CANARY",
        1,
    );
    let told = wrong(&text);
    assert!(!told.contains("CANARY"), "{told}");
    assert!(told.contains("config.yaml:1:16: source.url: "), "{told}");
}

#[test]
fn the_one_problem_of_an_endpoint_brings_no_second_one() {
    // The endpoint is there, so nothing is told of `to`.
    let text = endpoint("").replacen(SECRET, "weak", 1);
    let told = wrong(&text);
    assert!(told.ends_with("\n1 problem in config.yaml"), "{told}");
}
