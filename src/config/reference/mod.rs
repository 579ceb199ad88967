//! What each key means: the one description of which `docs/config.md` and the JSON Schema
//! are made. A test holds that its keys are those that the walk takes.

mod keys;
mod markdown;
mod schema;

pub use markdown::markdown;
pub use schema::schema;

#[cfg(test)]
mod tests;

/// A key of a mapping.
struct Key {
    name: &'static str,
    value: Shape,
    /// As the config would write it; `None`: there is none.
    default: Option<&'static str>,
    required: bool,
    /// A sentence or two.
    about: &'static str,
}

/// What may stand at a key.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// A text of one line, such as a name, with the pattern it follows.
    Matching(&'static str),
    Yes,
    Whole {
        min: u64,
        max: u64,
    },
    /// `5ms`, `15s`, `3d`
    Duration,
    /// `64KiB`, `10GiB`, or bytes
    Size,
    OneOf(&'static [&'static str]),
    Statuses,
    /// `whsec_...`, a list of them, or `{file: name}`
    Secret,
    /// Names to texts.
    Headers,
    /// One or a list.
    Names,
    List,
    Mapping(&'static [Key]),
    /// Any names, each with such a mapping; what the names are.
    Each(&'static str, &'static [Key]),
    /// A type, a mapping with a type, or a list of these.
    Rules(&'static [Key]),
    /// Any tree.
    Tree,
}
