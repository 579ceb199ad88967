//! stub
pub mod ready;
pub use ready::*;
use std::path::{Path, PathBuf};
#[derive(Debug)]
pub struct Problems;
impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
pub struct Environment;
impl Environment {
    pub fn from_process() -> Self {
        Environment
    }
    pub fn get(&self, _n: &str) -> Option<&str> {
        None
    }
}
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}
pub fn locate(_f: Option<&Path>, _e: &Environment) -> Result<PathBuf, Problems> {
    todo!()
}
pub fn load(_f: &Path, _e: &Environment) -> Result<Loaded, Problems> {
    todo!()
}
pub fn load_state(_f: &Path, _e: &Environment) -> Result<PathBuf, Problems> {
    todo!()
}
