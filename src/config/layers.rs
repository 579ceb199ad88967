//! The layers: the file, and over it the `WALHOOK_SOURCE__URL` style variables.
//!
//! figment merges them. It would lose the marks and the order of the file, so what
//! it merges are the shapes: each leaf is the number of a node, and the merged tree
//! is put together again from the nodes.

use figment::value::{Dict, Map, Num, Value as Shape};
use figment::{Error, Figment, Metadata, Profile, Provider};

use super::environment::Environment;
use super::problem::{Findings, Place, Problem};
use super::source::tree::{Entry, Node, Origin, Scalar, Style, Value};
use super::walk::keys;

const PREFIX: &str = "WALHOOK_";
/// figment keeps whole configs by name; this one has a single one.
const ROOT: &str = "config";

/// The file's tree with the variables laid over it.
pub fn merge(file: Node, env: &Environment, findings: &mut Findings) -> Node {
    if !matches!(file.value, Value::Map(_)) {
        return file;
    }
    let Some(variables) = variables(&file, env, findings) else {
        return file;
    };
    let mut leaves = Vec::new();
    let lower = Layer {
        name: "config file",
        shape: shape(&file, &mut leaves),
    };
    let upper = Layer {
        name: "environment",
        shape: shape(&variables, &mut leaves),
    };
    match Figment::from(lower).merge(upper).find_value(ROOT) {
        Ok(merged) => tree(merged, Some(&file), Some(&variables), &leaves).unwrap_or(file),
        Err(error) => {
            findings.problem(Problem::new(
                Place::File,
                "",
                format!("the layers cannot be merged: {error}"),
            ));
            file
        }
    }
}

struct Layer {
    name: &'static str,
    shape: Shape,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let root = Dict::from([(ROOT.to_owned(), self.shape.clone())]);
        Ok(Map::from([(Profile::Default, root)]))
    }
}

/// A mapping stays one, all else becomes its number in `leaves`.
fn shape(node: &Node, leaves: &mut Vec<Node>) -> Shape {
    match &node.value {
        Value::Map(entries) => {
            let dict: Dict = entries
                .iter()
                .map(|entry| (entry.key.clone(), shape(&entry.node, leaves)))
                .collect();
            Shape::from(dict)
        }
        Value::Scalar(_) | Value::List(_) => {
            leaves.push(node.clone());
            Shape::from(leaves.len() - 1)
        }
    }
}

/// The way back: the keys of the file in its order, then those that variables alone have.
fn tree(
    merged: Shape,
    file: Option<&Node>,
    variables: Option<&Node>,
    leaves: &[Node],
) -> Option<Node> {
    let mut dict = match merged {
        Shape::Dict(_, dict) => dict,
        Shape::Num(_, Num::USize(index)) => return leaves.get(index).cloned(),
        _ => return None,
    };
    let file = file.filter(|node| matches!(node.value, Value::Map(_)));
    let place = file.or(variables)?.place.clone();
    let mut entries = Vec::with_capacity(dict.len());
    for layer in [file, variables].into_iter().flatten() {
        for entry in layer.entries() {
            if let Some(shape) = dict.remove(&entry.key) {
                let below =
                    |layer: Option<&'_ Node>| layer.and_then(|node| node.get(&entry.key).cloned());
                entries.push(Entry {
                    key: entry.key.clone(),
                    place: entry.place.clone(),
                    node: tree(
                        shape,
                        below(file).as_ref(),
                        below(variables).as_ref(),
                        leaves,
                    )?,
                });
            }
        }
    }
    Some(Node {
        place,
        value: Value::Map(entries),
    })
}

/// The variables as a tree, none when there are none.
fn variables(file: &Node, env: &Environment, findings: &mut Findings) -> Option<Node> {
    let mut root: Option<Node> = None;
    for (variable, value) in env.iter() {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        // Also of a slip such as WALHOOK__STATE.
        if !variable.contains("__") && !keys::is_root(&name.to_lowercase()) {
            continue;
        }
        match path(name, file) {
            Ok(path) => {
                let root = root.get_or_insert_with(|| empty_map(variable));
                if let Err(other) = insert(root, &path, variable, value) {
                    findings
                        .problem(Problem::new(
                            Place::Variable(variable.into()),
                            "",
                            format!("it sets what {other} sets already"),
                        ))
                        .hint("leave one of the two");
                }
            }
            Err(unknown) => {
                findings
                    .problem(Problem::new(
                        Place::Variable(variable.into()),
                        "",
                        unknown.found,
                    ))
                    .hint(unknown.hint);
            }
        }
    }
    root
}

fn empty_map(variable: &str) -> Node {
    Node {
        place: Place::Variable(variable.into()),
        value: Value::Map(Vec::new()),
    }
}

struct UnknownName {
    found: String,
    hint: String,
}

/// `ENDPOINTS__BILLING__URL` -> `endpoints`, `billing`, `url`.
///
/// A name has neither case nor hyphen, so a part stands for the one key of the file
/// that it can be read as; a variable names no endpoint and no table of its own.
fn path(name: &str, file: &Node) -> Result<Vec<String>, UnknownName> {
    let mut path: Vec<String> = Vec::new();
    let mut below = Some(file);
    for part in name.split("__") {
        let entries = below.map(Node::entries).unwrap_or_default();
        let key = match read_as(part, entries) {
            Some(key) => key,
            None => {
                let folded = part.to_lowercase();
                match path.as_slice() {
                    [first] if first == "endpoints" || first == "tables" => {
                        return Err(unknown_name(first, &folded, entries));
                    }
                    [.., last] if last == "headers" => folded.replace('_', "-"),
                    _ => folded,
                }
            }
        };
        below = below.and_then(|node| node.get(&key));
        path.push(key);
    }
    Ok(path)
}

fn read_as(part: &str, entries: &[Entry]) -> Option<String> {
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = fold(part);
    let mut like = entries.iter().filter(|entry| fold(&entry.key) == wanted);
    let found = like.next()?;
    // Of several the one that is spelled like it.
    let exact = part.to_lowercase();
    let found = std::iter::once(found)
        .chain(like)
        .reduce(|best, entry| if entry.key == exact { entry } else { best })?;
    Some(found.key.clone())
}

fn unknown_name(section: &str, name: &str, entries: &[Entry]) -> UnknownName {
    let kind = section.trim_end_matches('s');
    let near = super::nearest::nearest(name, entries.iter().map(|entry| entry.key.as_str()));
    UnknownName {
        found: format!("it names {kind} \"{name}\", which the file does not have"),
        hint: match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                format!("write the {kind} into the file; a variable can only set what is there")
            }
        },
    }
}

/// Fails with the variable that is in the way.
fn insert(root: &mut Node, path: &[String], variable: &str, value: &str) -> Result<(), String> {
    let mut at = root;
    for (depth, key) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        let in_the_way = name_of(&at.place);
        let Value::Map(entries) = &mut at.value else {
            return Err(in_the_way);
        };
        let index = match entries.iter().position(|entry| &entry.key == key) {
            Some(index) if last => return Err(name_of(&entries[index].place)),
            Some(index) => index,
            None => {
                let mut node = empty_map(variable);
                if last {
                    node.value = Value::Scalar(Scalar {
                        text: value.to_owned(),
                        style: Style::Quoted,
                        origin: Origin::Written,
                    });
                }
                entries.push(Entry {
                    key: key.clone(),
                    place: node.place.clone(),
                    node,
                });
                entries.len() - 1
            }
        };
        at = &mut entries[index].node;
    }
    Ok(())
}

fn name_of(place: &Place) -> String {
    match place {
        Place::Variable(name) => name.to_string(),
        Place::File | Place::Mark(_) => "the file".to_owned(),
    }
}
