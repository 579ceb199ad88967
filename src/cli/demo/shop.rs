//! The application: orders that are created, paid, shipped and cancelled, and tickets.

use super::super::database::told;
use super::setting::{BILLING, CHAT, CRM};
use crate::postgres::Client;

const ITEMS: [&str; 6] = ["teapot", "lamp", "bicycle", "atlas", "umbrella", "kettle"];
const SUBJECTS: [&str; 4] = [
    "parcel is late",
    "wrong colour",
    "cannot log in",
    "invoice missing",
];
const SEVERITIES: [&str; 3] = ["low", "normal", "urgent"];
/// Orders shipped in one transaction.
const SHIPPED_MAX: usize = 3;

/// What a committed change must bring: `order.paid 7` at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expected {
    pub endpoint: usize,
    pub what: String,
}

#[derive(Debug, Default)]
pub struct Shop {
    created: Vec<i64>,
    paid: Vec<i64>,
}

impl Shop {
    /// One transaction, and what must come of it.
    pub async fn step(&mut self, client: &Client) -> anyhow::Result<Vec<Expected>> {
        match fastrand::u32(0..100) {
            0..10 => open_ticket(client).await,
            10..45 if !self.created.is_empty() => {
                let order = self
                    .created
                    .swap_remove(fastrand::usize(0..self.created.len()));
                self.pay_or_cancel(client, order).await
            }
            45..65 if !self.paid.is_empty() => self.ship(client).await,
            _ => self.order(client).await,
        }
    }

    async fn order(&mut self, client: &Client) -> anyhow::Result<Vec<Expected>> {
        let cents = fastrand::u32(500..50_000);
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let card = format!("4000{:012}", fastrand::u64(0..1_000_000_000_000));
        let row = client
            .query_one(
                "INSERT INTO public.orders (item, amount, card_number) \
                 VALUES ($1, $2::text::numeric, $3) RETURNING id",
                &[&one_of(&ITEMS), &amount, &card],
            )
            .await
            .map_err(told)?;
        let id: i64 = row.try_get(0).map_err(told)?;
        self.created.push(id);
        Ok(of_order("created", id, &[BILLING, CRM]))
    }

    async fn pay_or_cancel(&mut self, client: &Client, id: i64) -> anyhow::Result<Vec<Expected>> {
        let status = if fastrand::u32(0..100) < 85 {
            "paid"
        } else {
            "cancelled"
        };
        client
            .execute(
                "UPDATE public.orders SET status = $2 WHERE id = $1",
                &[&id, &status],
            )
            .await
            .map_err(told)?;
        if status == "paid" {
            self.paid.push(id);
        }
        Ok(of_order(status, id, &[BILLING, CRM]))
    }

    async fn ship(&mut self, client: &Client) -> anyhow::Result<Vec<Expected>> {
        let from = self.paid.len().saturating_sub(SHIPPED_MAX);
        let ids: Vec<i64> = self.paid.drain(from..).collect();
        client
            .execute(
                "UPDATE public.orders SET status = 'shipped' WHERE id = ANY ($1)",
                &[&ids],
            )
            .await
            .map_err(told)?;
        let shipped = ids.iter().flat_map(|id| of_order("shipped", *id, &[CRM]));
        Ok(shipped.collect())
    }
}

async fn open_ticket(client: &Client) -> anyhow::Result<Vec<Expected>> {
    let (subject, severity) = (one_of(&SUBJECTS), one_of(&SEVERITIES));
    let row = client
        .query_one(
            "INSERT INTO public.tickets (subject, severity) VALUES ($1, $2) RETURNING id",
            &[&subject, &severity],
        )
        .await
        .map_err(told)?;
    let id: i64 = row.try_get(0).map_err(told)?;
    Ok(vec![Expected {
        endpoint: CHAT,
        what: format!("#{id} {subject} ({severity})"),
    }])
}

fn of_order(status: &str, id: i64, endpoints: &[usize]) -> Vec<Expected> {
    let expected = |endpoint: &usize| Expected {
        endpoint: *endpoint,
        what: format!("order.{status} {id}"),
    };
    endpoints.iter().map(expected).collect()
}

fn one_of(texts: &[&'static str]) -> &'static str {
    texts
        .get(fastrand::usize(0..texts.len()))
        .copied()
        .unwrap_or_default()
}
