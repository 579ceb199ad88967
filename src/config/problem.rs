//! What is wrong with a config, and how it is told.
//!
//! ```text
//! config.yaml:14:14: endpoints.billing.timeout: "15 parsecs" is not a duration
//!     hint: write a number and a unit, for example 15s, 5ms or 3d
//! ```
//!
//! A problem never shows a secret, and never a value that came from a variable:
//! that one is named by its variable.

use std::fmt;
use std::sync::Arc;

/// A place in the file. Both count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub line: usize,
    pub column: usize,
}

/// Where a value stands. Problems are sorted by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    Mark(Mark),
    /// A `WALHOOK_SOURCE__URL` style variable.
    Variable(Arc<str>),
}

/// Something to mend, or, as a warning, to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    /// `endpoints.billing.timeout`; empty for the whole config.
    pub key: String,
    /// What was found: a lowercase fragment.
    pub found: String,
    pub detail: Option<String>,
    /// What to write.
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(place: Place, key: impl Into<String>, found: impl Into<String>) -> Self {
        Problem {
            place,
            key: key.into(),
            found: found.into(),
            detail: None,
            hint: None,
        }
    }

    pub fn detail(&mut self, detail: impl Into<String>) -> &mut Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that was found in a config, as far as the reading went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Findings {
    /// Adds a problem; detail and hint can be given to what is returned.
    pub fn problem(&mut self, problem: Problem) -> &mut Problem {
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    pub fn warning(&mut self, warning: Problem) -> &mut Problem {
        self.warnings.push(warning);
        let last = self.warnings.len() - 1;
        &mut self.warnings[last]
    }

    /// In the order of the file.
    pub fn into_problems(mut self, file: &str) -> Problems {
        self.problems.sort();
        self.problems.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        Problems {
            file: file.into(),
            problems: self.problems,
            warnings: self.warnings,
        }
    }
}

/// All problems of a config, and the warnings. `Display` is what the operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    pub file: Arc<str>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", Told(&self.file, "", problem))?;
        }
        for warning in &self.warnings {
            writeln!(f, "{}", Told(&self.file, "warning: ", warning))?;
        }
        match self.problems.len() {
            0 => write!(f, "no problems in {}", self.file),
            1 => write!(f, "1 problem in {}", self.file),
            count => write!(f, "{count} problems in {}", self.file),
        }
    }
}

impl Problems {
    /// The warnings alone, each as a text of its own.
    pub fn warning_texts(&self) -> Vec<String> {
        self.warnings
            .iter()
            .map(|warning| Told(&self.file, "", warning).to_string())
            .collect()
    }
}

struct Told<'a>(&'a str, &'static str, &'a Problem);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(file, kind, problem) = self;
        match &problem.place {
            Place::File => write!(f, "{file}: {kind}")?,
            Place::Mark(mark) => write!(f, "{file}:{}:{}: {kind}", mark.line, mark.column)?,
            Place::Variable(name) => write!(f, "{name}: {kind}")?,
        }
        if !problem.key.is_empty() {
            write!(f, "{}: ", problem.key)?;
        }
        f.write_str(&problem.found)?;
        for (label, text) in [("detail", &problem.detail), ("hint", &problem.hint)] {
            if let Some(text) = text {
                let mut lines = text.lines();
                write!(f, "\n    {label}: {}", lines.next().unwrap_or_default())?;
                for line in lines {
                    write!(f, "\n        {line}")?;
                }
            }
        }
        Ok(())
    }
}
