//! Which file is the config.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::problem::{Findings, Place, Problem, Problems};

const VARIABLE: &str = "WALHOOK_CONFIG";
const PLACES: [&str; 2] = ["config.yaml", "/etc/walhook/config.yaml"];

/// `--config`, `WALHOOK_CONFIG`, `./config.yaml`, `/etc/walhook/config.yaml`: the first
/// of them that is there. What the operator names is taken as it is; the error names
/// all places.
pub fn locate(flag: Option<&Path>, env: &Environment) -> Result<PathBuf, Problems> {
    locate_in(flag, env, &PLACES.map(Path::new))
}

fn locate_in(
    flag: Option<&Path>,
    env: &Environment,
    places: &[&Path],
) -> Result<PathBuf, Problems> {
    let variable = env.get(VARIABLE).filter(|value| !value.is_empty());
    if let Some(named) = flag.or(variable.map(Path::new)) {
        return Ok(named.to_owned());
    }
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok((*found).to_owned());
    }
    let mut findings = Findings::default();
    let tried: Vec<String> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    findings
        .problem(Problem::new(Place::File, "", "there is no config file"))
        .detail(format!(
            "tried --config and {VARIABLE} (not given), {}",
            tried.join(", ")
        ))
        .hint("name the file: walhook --config FILE; `walhook init --database URL` writes one");
    Err(findings.into_problems("config.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_comes_first_then_the_variable_then_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("config.yaml");
        let etc = dir.path().join("etc.yaml");
        let places = [here.as_path(), etc.as_path()];
        let with = Environment::from_iter([("WALHOOK_CONFIG", "/v.yaml")]);
        let without = Environment::from_iter([("WALHOOK_CONFIG", "")]);
        let flag = Some(Path::new("/f.yaml"));

        assert_eq!(
            locate_in(flag, &with, &places).unwrap(),
            Path::new("/f.yaml")
        );
        assert_eq!(
            locate_in(None, &with, &places).unwrap(),
            Path::new("/v.yaml")
        );
        std::fs::write(&etc, "").unwrap();
        assert_eq!(locate_in(None, &without, &places).unwrap(), etc);
        std::fs::write(&here, "").unwrap();
        assert_eq!(locate_in(None, &without, &places).unwrap(), here);
    }

    #[test]
    fn the_error_names_all_places() {
        let places = [Path::new("/no/a.yaml"), Path::new("/no/b.yaml")];
        let error = locate_in(None, &Environment::default(), &places).unwrap_err();
        insta::assert_snapshot!(error, @r"
        config.yaml: there is no config file
            detail: tried --config and WALHOOK_CONFIG (not given), /no/a.yaml, /no/b.yaml
            hint: name the file: walhook --config FILE; `walhook init --database URL` writes one
        1 problem in config.yaml
        ");
    }
}
