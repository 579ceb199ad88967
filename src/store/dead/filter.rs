//! Which dead letters a person means.

use rusqlite::ToSql;
use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;

/// What is set narrows; a filter with nothing set means all.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Parked at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Parked before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Committed at this LSN or later.
    #[serde(with = "lsn_text", skip_serializing_if = "Option::is_none")]
    pub lsn_from: Option<Lsn>,
    /// Committed at this LSN or before.
    #[serde(with = "lsn_text", skip_serializing_if = "Option::is_none")]
    pub lsn_to: Option<Lsn>,
    /// How many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The number of the last letter of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

impl DeadFilter {
    /// Nothing says which letters are meant; a limit alone does not.
    pub fn means_all(&self) -> bool {
        DeadFilter {
            limit: None,
            after: None,
            ..self.clone()
        } == DeadFilter::default()
    }

    /// A condition on `dead`, and what its parameters stand for.
    pub(super) fn condition(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut condition = String::from("1");
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut narrow = |part: &str, value: Option<Box<dyn ToSql>>| {
            if let Some(value) = value {
                condition.push_str(" AND ");
                condition.push_str(part);
                values.push(value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(|v| Box::new(v) as Box<dyn ToSql>);
        let number = |value: Option<i64>| value.map(|v| Box::new(v) as Box<dyn ToSql>);
        let lsn = |value: Option<Lsn>| number(value.map(|lsn| lsn.0.cast_signed()));
        let ids = Some(&self.ids).filter(|ids| !ids.is_empty()).map(|ids| {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            format!("[{}]", ids.join(","))
        });

        narrow("id IN (SELECT value FROM json_each(?))", text(&ids));
        narrow(
            "slot = (SELECT id FROM slot WHERE name = ?)",
            text(&self.slot),
        );
        narrow("endpoint = ?", text(&self.endpoint));
        narrow("table_schema = ?", text(&self.schema));
        narrow("table_name = ?", text(&self.table));
        narrow("parked_at_ms >= ?", number(self.since_ms));
        narrow("parked_at_ms < ?", number(self.until_ms));
        narrow("lsn >= ?", lsn(self.lsn_from));
        narrow("lsn <= ?", lsn(self.lsn_to));
        narrow("id > ?", number(self.after));
        (condition, values)
    }
}

/// An LSN as Postgres prints it.
mod lsn_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::lsn::Lsn;

    pub(super) fn serialize<S: Serializer>(
        lsn: &Option<Lsn>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        lsn.map(|lsn| lsn.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Lsn>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_the_socket() {
        let filter = DeadFilter {
            ids: vec![3, 4],
            endpoint: Some("billing".into()),
            lsn_from: Some(Lsn(0x16_B374_D848)),
            ..DeadFilter::default()
        };
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(
            text,
            r#"{"ids":[3,4],"endpoint":"billing","lsn_from":"16/B374D848"}"#
        );
        assert_eq!(serde_json::from_str::<DeadFilter>(&text).unwrap(), filter);
        assert!(serde_json::from_str::<DeadFilter>(r#"{"lsn_to":"x"}"#).is_err());
        assert!(serde_json::from_str::<DeadFilter>(r#"{"endpint":"x"}"#).is_err());
    }

    #[test]
    fn a_limit_alone_means_all() {
        let filter = DeadFilter {
            limit: Some(1),
            ..DeadFilter::default()
        };
        assert!(filter.means_all());
        let filter = DeadFilter {
            lsn_to: Some(Lsn(1)),
            ..DeadFilter::default()
        };
        assert!(!filter.means_all());
    }
}
