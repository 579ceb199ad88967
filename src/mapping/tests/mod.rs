//! Tests of the room as a whole, over one small table.

mod bench;

mod bodies;
mod conditions;
mod failures;
mod forms;
mod harm;
mod ids;
mod messages;
mod ordering;
mod payloads;
mod rules;
mod sources;
