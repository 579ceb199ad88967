//! From the publications as they are to those that the config wants. Pure.

use std::collections::BTreeSet;

use super::facts::{Member, PublicationFacts};
use super::foreign::{Shortfall, as_it_stands};
use crate::change::{Operation, TableName};
use crate::postgres::catalog::quote;

/// The names of the publications, and the slot that the comment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationNames {
    /// For all operations.
    pub all: String,
    /// For tables that may only be inserted into and truncated.
    pub insert: String,
    pub slot: String,
    pub generated: Generated,
}

/// What becomes of generated columns. Those that are not stored are never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The server cannot send them.
    LeftOut,
    /// 18 and later. There a row whose identity has a stored column that is not sent
    /// can be neither updated nor deleted.
    Stored,
}

impl Generated {
    pub fn of_major(major: u32) -> Self {
        match major >= 18 {
            true => Generated::Stored,
            false => Generated::LeftOut,
        }
    }
}

impl PublicationNames {
    pub fn new(publication: &str, slot: &str) -> Self {
        PublicationNames {
            all: publication.to_owned(),
            insert: format!("{publication}_insert"),
            slot: slot.to_owned(),
            generated: Generated::LeftOut,
        }
    }

    /// The same on a server of this major version.
    pub fn on(&self, major: u32) -> Self {
        PublicationNames {
            generated: Generated::of_major(major),
            ..self.clone()
        }
    }

    /// What stands behind WITH and SET.
    fn options(&self, part: Part) -> String {
        let generated = match self.generated {
            Generated::LeftOut => "",
            Generated::Stored => ", publish_generated_columns = stored",
        };
        format!(
            "{}, publish_via_partition_root = true{generated}",
            part.publish()
        )
    }

    /// In the order in which START_REPLICATION names them.
    pub fn both(&self) -> Vec<String> {
        vec![self.all.clone(), self.insert.clone()]
    }

    /// The mark by which a publication is known as ours.
    pub fn comment(&self) -> String {
        format!("walhook: slot \"{}\"", self.slot)
    }

    pub fn are_mark_of(&self, publication: &PublicationFacts) -> bool {
        publication.comment.as_deref() == Some(self.comment().as_str())
    }

    fn of(&self, part: Part) -> &str {
        match part {
            Part::All => &self.all,
            Part::Insert => &self.insert,
        }
    }
}

/// Which of the two publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    All,
    Insert,
}

impl Part {
    fn operations(self) -> &'static [Operation] {
        match self {
            Part::All => &Operation::ALL,
            Part::Insert => &[Operation::Insert, Operation::Truncate],
        }
    }

    fn publish(self) -> String {
        publish_option(self.operations())
    }
}

pub(super) fn publish_option(operations: &[Operation]) -> String {
    let words: Vec<_> = operations.iter().map(|o| o.as_str()).collect();
    format!("publish = {}", quote::literal(&words.join(", ")))
}

/// A table that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub table: TableName,
    pub part: Part,
    /// What its rules want.
    pub operations: Vec<Operation>,
}

/// What is to be done, and what START_REPLICATION names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PublicationPlan {
    pub publications: Vec<String>,
    /// In one transaction, each without a semicolon at its end.
    pub statements: Vec<String>,
    /// Publications that must be created.
    pub created: Vec<String>,
    /// Publications of ours that must be altered.
    pub altered: Vec<String>,
    pub added: BTreeSet<TableName>,
    pub removed: BTreeSet<TableName>,
    /// Publications that do not send an operation that they should.
    pub narrowed: Vec<String>,
    /// Tables that no rule wants any more, which stay in a publication that the
    /// role may not alter. Their changes are read and dropped.
    pub left: BTreeSet<TableName>,
    /// Publications that are not ours and are used as they stand.
    pub foreign: Vec<String>,
    /// What no statement of ours can mend.
    pub shortfalls: Vec<Shortfall>,
}

impl PublicationPlan {
    /// The statements for a person to run.
    pub fn sql(&self) -> Vec<String> {
        let statements = self.statements.iter();
        statements
            .map(|statement| format!("{statement};"))
            .collect()
    }
}

/// The way from `existing` (those of the two that exist) to what is `wanted`.
///
/// When the first is not ours, it is used as it stands, with the second if there is one.
pub fn plan(
    names: &PublicationNames,
    existing: &[PublicationFacts],
    wanted: &[Published],
) -> PublicationPlan {
    let find = |name: &str| {
        let mut existing = existing.iter();
        existing.find(|facts| facts.membership.publication == name)
    };
    let all = find(&names.all);
    if all.is_some_and(|facts| !names.are_mark_of(facts)) {
        return as_it_stands(names, existing, wanted);
    }
    let mut plan = PublicationPlan {
        publications: names.both(),
        ..PublicationPlan::default()
    };
    for part in [Part::All, Part::Insert] {
        let tables: BTreeSet<&TableName> = wanted
            .iter()
            .filter(|published| published.part == part)
            .map(|published| &published.table)
            .collect();
        match find(names.of(part)) {
            None => plan.create(names, part, &tables),
            Some(facts) if !names.are_mark_of(facts) => {
                plan.shortfalls.push(Shortfall::NameTaken {
                    publication: names.of(part).to_owned(),
                });
            }
            Some(facts) if facts.is_for_all_tables => {
                plan.shortfalls.push(Shortfall::ForAllTables {
                    publication: names.of(part).to_owned(),
                });
            }
            Some(facts) => {
                let is_wanted = |table: &TableName| wanted.iter().any(|w| w.table == *table);
                let extra = facts.members.keys().filter(|table| !is_wanted(table));
                let extra: BTreeSet<_> = extra.collect();
                plan.alter((names, part), facts, &tables, &extra);
            }
        }
    }
    plan
}

/// What a running daemon may do on its own: tables that came join, and our
/// publications are what they should be again. No table leaves: one whose identity
/// was lost would be missed in silence, so that is for a person to decide.
pub fn joining(
    names: &PublicationNames,
    existing: &[PublicationFacts],
    wanted: &[Published],
) -> PublicationPlan {
    let mut kept: Vec<Published> = Vec::new();
    for (part, name) in [(Part::All, &names.all), (Part::Insert, &names.insert)] {
        let mut existing = existing.iter();
        let Some(facts) = existing.find(|facts| facts.membership.publication == *name) else {
            return PublicationPlan::default();
        };
        kept.extend(facts.members.keys().map(|table| Published {
            table: table.clone(),
            part,
            operations: Vec::new(),
        }));
    }
    let joins = |published: &&Published| !kept.iter().any(|kept| kept.table == published.table);
    let new: Vec<Published> = wanted.iter().filter(joins).cloned().collect();
    plan(names, existing, &[kept, new].concat())
}

impl PublicationPlan {
    fn create(&mut self, names: &PublicationNames, part: Part, tables: &BTreeSet<&TableName>) {
        let publication = quote::identifier(names.of(part));
        let members = match tables.is_empty() {
            true => String::new(),
            false => format!(" FOR TABLE {}", list(tables)),
        };
        self.statements.push(format!(
            "CREATE PUBLICATION {publication}{members} WITH ({})",
            names.options(part),
        ));
        self.statements.push(format!(
            "COMMENT ON PUBLICATION {publication} IS {}",
            quote::literal(&names.comment()),
        ));
        self.created.push(names.of(part).to_owned());
        self.added.extend(tables.iter().copied().cloned());
    }

    /// `tables` are wanted in this publication, `extra` in neither.
    fn alter(
        &mut self,
        (names, part): (&PublicationNames, Part),
        facts: &PublicationFacts,
        tables: &BTreeSet<&TableName>,
        extra: &BTreeSet<&TableName>,
    ) {
        let alter = format!(
            "ALTER PUBLICATION {}",
            quote::identifier(&facts.membership.publication)
        );
        let before = self.statements.len();
        let membership = &facts.membership;
        let is_sent = |operation| membership.operations.contains(operation);
        if !part.operations().iter().all(is_sent) {
            self.narrowed.push(membership.publication.clone());
        }
        let is_as_wanted = membership.operations == part.operations()
            && membership.via_root
            && facts.generated == names.generated;
        if !is_as_wanted {
            self.statements
                .push(format!("{alter} SET ({})", names.options(part)));
        }
        for schema in &facts.schemas {
            let schema = quote::identifier(schema);
            self.statements
                .push(format!("{alter} DROP TABLES IN SCHEMA {schema}"));
        }
        // A filter or a column list goes only with the table, which then comes back without.
        let is_plain = |table: &TableName| facts.members.get(table) == Some(&Member::default());
        let keeps = |table: &TableName| tables.contains(table) && is_plain(table);
        let removed: BTreeSet<_> = facts.members.keys().filter(|t| !keeps(t)).collect();
        let added: BTreeSet<_> = tables.iter().copied().filter(|t| !is_plain(t)).collect();
        for (verb, tables) in [("DROP", &removed), ("ADD", &added)] {
            if !tables.is_empty() {
                let tables = list(tables);
                self.statements
                    .push(format!("{alter} {verb} TABLE {tables}"));
            }
        }
        let only_removes = self.statements.len() == before + 1 && added.is_empty();
        if only_removes && !facts.is_owned && removed == *extra {
            self.statements.truncate(before);
            self.left.extend(extra.iter().copied().cloned());
            return;
        }
        if self.statements.len() > before {
            self.altered.push(membership.publication.clone());
        }
        self.removed.extend(removed.into_iter().cloned());
        self.added.extend(added.into_iter().cloned());
    }
}

/// ONLY: a table's inheritance children are tables of their own here. Of a
/// partitioned table it changes nothing.
fn list(tables: &BTreeSet<&TableName>) -> String {
    let tables: Vec<_> = tables
        .iter()
        .map(|table| format!("ONLY {}", quote::table(table)))
        .collect();
    tables.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::publication::Membership;

    fn names() -> PublicationNames {
        PublicationNames::new("walhook", "walhook")
    }

    fn table(name: &str) -> TableName {
        TableName::new("public", name)
    }

    fn published(name: &str, part: Part) -> Published {
        Published {
            table: table(name),
            part,
            operations: part.operations().to_vec(),
        }
    }

    fn ours(part: Part, tables: &[&str]) -> PublicationFacts {
        PublicationFacts {
            membership: Membership {
                publication: names().of(part).to_owned(),
                operations: part.operations().to_vec(),
                via_root: true,
                tables: tables.iter().map(|name| table(name)).collect(),
            },
            owner: "walhook".into(),
            is_owned: true,
            comment: Some(names().comment()),
            is_for_all_tables: false,
            generated: Generated::LeftOut,
            schemas: Vec::new(),
            members: tables
                .iter()
                .map(|name| (table(name), Member::default()))
                .collect(),
        }
    }

    #[test]
    fn both_are_created_the_second_also_when_it_is_empty() {
        let plan = plan(&names(), &[], &[published("orders", Part::All)]);
        assert_eq!(plan.publications, ["walhook", "walhook_insert"]);
        insta::assert_snapshot!(plan.sql().join("\n"), @r#"
CREATE PUBLICATION "walhook" FOR TABLE ONLY "public"."orders" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);
COMMENT ON PUBLICATION "walhook" IS 'walhook: slot "walhook"';
CREATE PUBLICATION "walhook_insert" WITH (publish = 'insert, truncate', publish_via_partition_root = true);
COMMENT ON PUBLICATION "walhook_insert" IS 'walhook: slot "walhook"';
"#);
    }

    #[test]
    fn nothing_is_done_when_all_is_as_wanted() {
        let existing = [ours(Part::All, &["a"]), ours(Part::Insert, &["b"])];
        let wanted = [published("a", Part::All), published("b", Part::Insert)];
        assert!(plan(&names(), &existing, &wanted).statements.is_empty());
    }

    #[test]
    fn only_differences_are_altered() {
        let mut all = ours(Part::All, &["stays", "goes", "moves", "filtered"]);
        let filtered = Member {
            has_row_filter: true,
            has_column_list: false,
        };
        all.members.insert(table("filtered"), filtered);
        all.schemas.push("extra".into());
        let mut insert = ours(Part::Insert, &[]);
        insert.membership.operations.push(Operation::Update);
        let wanted = [
            published("stays", Part::All),
            published("filtered", Part::All),
            published("comes", Part::All),
            published("moves", Part::Insert),
        ];
        let plan = plan(&names(), &[all, insert], &wanted);
        assert!(plan.created.is_empty());
        insta::assert_snapshot!(plan.sql().join("\n"), @r#"
ALTER PUBLICATION "walhook" DROP TABLES IN SCHEMA "extra";
ALTER PUBLICATION "walhook" DROP TABLE ONLY "public"."filtered", ONLY "public"."goes", ONLY "public"."moves";
ALTER PUBLICATION "walhook" ADD TABLE ONLY "public"."comes", ONLY "public"."filtered";
ALTER PUBLICATION "walhook_insert" SET (publish = 'insert, truncate', publish_via_partition_root = true);
ALTER PUBLICATION "walhook_insert" ADD TABLE ONLY "public"."moves";
"#);
    }

    #[test]
    fn a_running_daemon_adds_and_takes_nothing_out() {
        let existing = [ours(Part::All, &["lost", "moves"]), ours(Part::Insert, &[])];
        let wanted = [
            published("new", Part::All),
            published("moves", Part::Insert),
        ];
        let joining = joining(&names(), &existing, &wanted);
        let sql = "ALTER PUBLICATION \"walhook\" ADD TABLE ONLY \"public\".\"new\"";
        assert_eq!(joining.statements, [sql]);
        let one_is_gone = super::joining(&names(), &existing[..1], &wanted);
        assert!(one_is_gone.statements.is_empty());
    }

    #[test]
    fn a_table_that_nobody_wants_stays_where_the_role_may_not_alter() {
        let of_another_owner = |part, tables: &[&str]| PublicationFacts {
            is_owned: false,
            ..ours(part, tables)
        };
        let existing = [
            of_another_owner(Part::All, &["a", "extra", "moves"]),
            of_another_owner(Part::Insert, &["old"]),
        ];
        let wanted = [published("a", Part::All), published("moves", Part::All)];
        let stays = plan(&names(), &existing, &wanted);
        assert!(stays.statements.is_empty() && stays.altered.is_empty());
        assert_eq!(stays.left, [table("extra"), table("old")].into());

        // One that lost its identity must go, or the application's UPDATE fails.
        let wanted = [published("a", Part::All), published("moves", Part::Insert)];
        let moves = plan(&names(), &existing, &wanted);
        assert_eq!(moves.altered, ["walhook", "walhook_insert"]);
    }

    #[test]
    fn one_that_is_not_ours_is_used_as_it_stands_and_never_altered() {
        let foreign = |part, tables: &[&str]| PublicationFacts {
            comment: Some("walhook: slot \"other\"".into()),
            ..ours(part, tables)
        };
        let mut all = foreign(Part::All, &["a", "b"]);
        let wanted = [published("a", Part::All), published("b", Part::Insert)];
        let covered = plan(&names(), &[all.clone()], &wanted);
        assert_eq!(covered.publications, ["walhook"]);
        assert_eq!(covered.foreign, ["walhook"]);
        assert!(covered.shortfalls.is_empty() && covered.statements.is_empty());

        all.membership.operations = vec![Operation::Insert, Operation::Delete];
        let wanted = [published("a", Part::All), published("c", Part::All)];
        let short = plan(&names(), &[all], &wanted);
        assert!(short.statements.is_empty());
        let taken = [ours(Part::All, &[]), foreign(Part::Insert, &[])];
        let taken = plan(&names(), &taken, &[]);
        let mut all_tables = ours(Part::All, &[]);
        all_tables.is_for_all_tables = true;
        let all_tables = plan(&names(), &[all_tables, ours(Part::Insert, &[])], &[]);
        let shortfalls = [short.shortfalls, taken.shortfalls, all_tables.shortfalls];
        let texts: Vec<String> = shortfalls.concat().iter().map(|s| s.to_string()).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
publication "walhook" does not send update, truncate of table public.a
publication "walhook" does not send table public.c
publication "walhook_insert" exists already and is not walhook's for this slot
publication "walhook" is FOR ALL TABLES
"#);
    }

    #[test]
    fn from_18_on_stored_generated_columns_are_sent() {
        let names = names().on(18);
        let created = plan(&names, &[], &[]);
        let option = "publish_via_partition_root = true, publish_generated_columns = stored)";
        assert!(created.statements[0].ends_with(option));
        let existing = [ours(Part::All, &[]), ours(Part::Insert, &[])];
        let altered = plan(&names, &existing, &[]);
        assert_eq!(altered.statements.len(), 2);
        assert!(altered.statements.iter().all(|sql| sql.ends_with(option)));
        let stored = existing.map(|facts| PublicationFacts {
            generated: Generated::Stored,
            ..facts
        });
        assert!(plan(&names, &stored, &[]).statements.is_empty());
        assert_eq!(names.on(17), super::tests::names());
    }
}
