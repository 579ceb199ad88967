//! `walhook schema`: the JSON Schema of the config, for editors.

use super::Exit;
use super::printed::print;
use crate::config::reference;

pub fn run() -> anyhow::Result<Exit> {
    let mut text = serde_json::to_string_pretty(&reference::schema())?;
    text.push('\n');
    print(&text)?;
    Ok(Exit::Done)
}
