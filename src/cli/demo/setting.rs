//! The shop's tables, and the config that makes webhooks of them.

use std::fmt::Write as _;
use std::net::SocketAddr;

pub const BILLING: usize = 0;
pub const CRM: usize = 1;
pub const CHAT: usize = 2;
pub const ENDPOINTS: [&str; 3] = ["billing", "crm", "chat"];
pub const SECRETS: [&str; 3] = ["BILLING_SECRET", "CRM_SECRET", "CHAT_SECRET"];

/// As an application has it that knows nothing of webhooks; the identity is for `old`.
pub const SCHEMA: &str = "
CREATE TABLE public.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status text NOT NULL DEFAULT 'created',
    amount numeric(10, 2) NOT NULL,
    item text NOT NULL,
    card_number text NOT NULL
);
ALTER TABLE public.orders REPLICA IDENTITY FULL;
CREATE TABLE public.tickets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    severity text NOT NULL
);";

const TABLES: &str = r##"
tables:
  public.orders:
    to: [billing, crm]
    columns: { exclude: [card_number] }
    events:
      insert: order.created
      update:
        - type: order.paid
          when: new.status == "paid" && old.status != "paid"
        - type: order.shipped
          when: new.status == "shipped" && old.status != "shipped"
          to: crm
        - type: order.cancelled
          when: new.status == "cancelled" && old.status != "cancelled"
  public.tickets:
    to: chat
    events:
      insert:
        type: ticket.opened
        payload:
          message: "#{{new.id}} {{new.subject}} ({{new.severity}})"
          username: walhook
          icon_emoji: ":ticket:"
"##;

/// `conninfo` as libpq takes it, without double quotes and backslashes.
pub fn config(conninfo: &str, receiver: SocketAddr) -> String {
    let mut text = format!(
        "source:\n  url: \"{conninfo}\"\nstate: ./state.db\nadmin: {{ listen: off }}\nendpoints:\n"
    );
    for (name, secret) in ENDPOINTS.iter().zip(SECRETS) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {name}:\n    url: http://{receiver}/{name}\n    secret: ${{{secret}}}\n    retry: {{ max: 1s }}"
        );
    }
    text.push_str(TABLES);
    text
}
