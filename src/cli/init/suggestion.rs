//! Names for events: `orders` suggests `order.created`. Pure.

use std::collections::HashMap;

use crate::change::TableName;

/// Of a slot's 63 bytes: its name is the publication's too, which has 56.
const DATABASE_MAX: usize = 40;

/// What stands before `.created`, for each table: its singular, with the schema before it
/// where two tables would share it.
pub fn stems(tables: &[&TableName]) -> Vec<String> {
    let mut shared: HashMap<String, usize> = HashMap::new();
    for table in tables {
        *shared.entry(stem(&table.table)).or_default() += 1;
    }
    let stems = tables.iter().map(|table| {
        let own = stem(&table.table);
        if shared.get(&own).is_some_and(|count| *count > 1) {
            format!("{}.{own}", allowed(&table.schema))
        } else {
            own
        }
    });
    stems.collect()
}

/// A slot that the server does not have yet: its name is one for all databases of a server.
pub fn slot(database: &str, taken: &[String]) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let database: String = database.chars().take(DATABASE_MAX).map(keep).collect();
    let usual = ["walhook".to_owned(), format!("walhook_{database}")];
    let numbered = (2..).map(|number| format!("walhook_{database}_{number}"));
    let mut names = usual.into_iter().chain(numbered);
    // There is always one: slots are few.
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn stem(table: &str) -> String {
    allowed(&singular(table))
}

/// Letters, digits and underscores: what Standard Webhooks has in types.
fn allowed(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}

/// By English endings; a name that is none of them stays as it is.
fn singular(table: &str) -> String {
    let replaced = |ending: &str, by: &str| {
        let singular = format!("{}{by}", table.strip_suffix(ending)?);
        (!singular.is_empty()).then_some(singular)
    };
    let kept = ["ss", "us", "is", "news", "series", "data"];
    if kept.iter().any(|ending| table.ends_with(ending)) {
        return table.to_owned();
    }
    [
        ("people", "person"),
        ("children", "child"),
        ("ies", "y"),
        ("sses", "ss"),
        ("uses", "us"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("s", ""),
    ]
    .iter()
    .find_map(|(ending, by)| replaced(ending, by))
    .unwrap_or_else(|| table.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_that_the_server_does_not_have() {
        let taken = ["walhook", "walhook_my_app"].map(str::to_owned);
        assert_eq!(slot("My-App", &[]), "walhook");
        assert_eq!(slot("My-App", &taken[..1]), "walhook_my_app");
        assert_eq!(slot("My-App", &taken), "walhook_my_app_2");
        assert_eq!(slot(&"ü".repeat(63), &taken).len(), "walhook_".len() + 40);
    }

    #[test]
    fn tables_in_the_plural_suggest_the_singular() {
        for (table, stem_of) in [
            ("orders", "order"),
            ("order_items", "order_item"),
            ("categories", "category"),
            ("addresses", "address"),
            ("statuses", "status"),
            ("boxes", "box"),
            ("branches", "branch"),
            ("people", "person"),
            ("news", "news"),
            ("status", "status"),
            ("analysis", "analysis"),
            ("user", "user"),
            ("s", "s"),
            ("Größen", "Gr__en"),
            ("a.b*", "a_b_"),
        ] {
            assert_eq!(stem(table), stem_of, "{table}");
        }
    }

    #[test]
    fn a_name_in_two_schemas_takes_the_schema_before_it() {
        let tables = [
            TableName::new("public", "orders"),
            TableName::new("archive", "order"),
            TableName::new("public", "users"),
        ];
        let stems = stems(&tables.iter().collect::<Vec<_>>());
        assert_eq!(stems, ["public.order", "archive.order", "user"]);
    }
}
