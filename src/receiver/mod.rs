//! A receiver of webhooks, as a subscriber would write one: it verifies, looks for
//! repeats and for what was overtaken, and answers. For `walhook listen` and `walhook demo`.

pub mod verify;
pub mod received;
pub mod seen;
pub mod server;
pub mod line;
