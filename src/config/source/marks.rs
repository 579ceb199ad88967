//! YAML text -> a tree with marks.
//!
//! Built from the parser's events, so that every name that stands twice is found,
//! with both its lines. Aliases are expanded within a limit; merge keys (`<<`),
//! tags and keys that are not text are refused: YAML 1.2 has no merge keys, and
//! the others mean nothing here.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::tree::{Entry, Node, Origin, Scalar, Style, Value};
use crate::config::key_path::KeyPath;
use crate::config::problem::{Findings, Mark, Place, Problem};

const DEPTH_MAX: usize = 64;
/// Nodes that aliases may add.
const ALIASED_NODES_MAX: usize = 100_000;

/// The one document of a file, or none when nothing can be made of it, which is then told.
pub fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut builder = Builder::new(findings);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.take(event, mark(span.start)),
            Err(error) => {
                builder.syntax(mark(*error.marker()), error.info());
                Err(Stop)
            }
        };
        if let Err(Stop) = taken {
            return None;
        }
    }
    let root = builder.root.map(|root| Node {
        // What is missing from the top level is missing from the file.
        place: match root.value {
            Value::Map(_) => Place::File,
            Value::Scalar(_) | Value::List(_) => root.place,
        },
        ..root
    });
    let empty = match &root {
        None => true,
        Some(Node {
            value: Value::Scalar(scalar),
            ..
        }) => scalar.is_null(),
        Some(_) => false,
    };
    if empty {
        findings
            .problem(Problem::new(Place::File, "", "the file is empty"))
            .hint("write at least source, endpoints and tables");
        return None;
    }
    root
}

fn mark(marker: Marker) -> Mark {
    Mark {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// Nothing more can be read.
struct Stop;

enum Key {
    Awaited,
    Read(String, Mark),
    /// Its value is read and dropped.
    Refused,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Key },
}

struct Frame {
    mark: Mark,
    anchor: usize,
    open: Open,
}

struct Builder<'f> {
    findings: &'f mut Findings,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    aliased_nodes_left: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'f> Builder<'f> {
    fn new(findings: &'f mut Findings) -> Self {
        Builder {
            findings,
            frames: Vec::new(),
            anchors: HashMap::new(),
            aliased_nodes_left: ALIASED_NODES_MAX,
            documents: 0,
            root: None,
        }
    }

    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(mark),
            Event::Scalar(text, style, anchor, tag) => {
                let style = self.style(style, tag.as_deref(), mark);
                let node = Node {
                    place: Place::Mark(mark),
                    value: Value::Scalar(Scalar {
                        text: text.into_owned(),
                        style,
                        origin: Origin::Written,
                    }),
                };
                self.finished(node, mark, anchor);
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, mark),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), mark);
                self.open(Open::List(Vec::new()), anchor, mark)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), mark);
                let open = Open::Map {
                    entries: Vec::new(),
                    key: Key::Awaited,
                };
                self.open(open, anchor, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.frames.pop() {
                    let value = match frame.open {
                        Open::List(items) => Value::List(items),
                        Open::Map { entries, .. } => Value::Map(entries),
                    };
                    let node = Node {
                        place: Place::Mark(frame.mark),
                        value,
                    };
                    self.finished(node, frame.mark, frame.anchor);
                }
                Ok(())
            }
        }
    }

    fn document(&mut self, mark: Mark) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.problem(mark, "a second document begins")
            .hint("a config is one document: take out the \"---\"");
        Err(Stop)
    }

    fn open(&mut self, open: Open, anchor: usize, mark: Mark) -> Result<(), Stop> {
        if self.frames.len() >= DEPTH_MAX {
            self.problem(mark, format!("nested more than {DEPTH_MAX} levels deep"));
            return Err(Stop);
        }
        self.frames.push(Frame { mark, anchor, open });
        Ok(())
    }

    /// `!!str 1` is text, `!!int "1"` a number; tags of other kinds mean nothing here.
    fn style(&mut self, style: ScalarStyle, tag: Option<&Tag>, mark: Mark) -> Style {
        self.check_tag(tag, mark);
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Style::Quoted,
            Some(tag) if tag.is_yaml_core_schema() => Style::Plain,
            _ if style == ScalarStyle::Plain => Style::Plain,
            _ => Style::Quoted,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, mark: Mark) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.problem(mark, "a YAML tag, which means nothing here")
                .hint("take out the word that begins with \"!\", or quote the whole value");
        }
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.problem(mark, "an alias of something that it is a part of");
            return Err(Stop);
        };
        let Some(left) = self.aliased_nodes_left.checked_sub(node.count()) else {
            self.problem(
                mark,
                format!("aliases that stand for more than {ALIASED_NODES_MAX} values"),
            );
            return Err(Stop);
        };
        // The limit of depth holds for what an alias brings too.
        if self.frames.len() + depth(&node) > DEPTH_MAX {
            self.problem(mark, format!("nested more than {DEPTH_MAX} levels deep"));
            return Err(Stop);
        }
        self.aliased_nodes_left = left;
        self.finished(node, mark, 0);
        Ok(())
    }

    /// Puts a complete node into what is open, as a key or as a value.
    fn finished(&mut self, mut node: Node, mark: Mark, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, key }) => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => {
                    let read = self.key(node, mark);
                    if let Some(Open::Map { key, .. }) =
                        self.frames.last_mut().map(|frame| &mut frame.open)
                    {
                        *key = read;
                    }
                }
                Key::Refused => {}
                Key::Read(key, key_mark) => {
                    let own_place = match &node.value {
                        Value::Scalar(scalar) => !scalar.is_null(),
                        Value::List(_) | Value::Map(_) => false,
                    };
                    if !own_place {
                        node.place = Place::Mark(key_mark);
                    }
                    entries.push(Entry {
                        key,
                        place: Place::Mark(key_mark),
                        node,
                    });
                }
            },
        }
    }

    fn key(&mut self, node: Node, mark: Mark) -> Key {
        let Value::Scalar(scalar) = node.value else {
            self.problem(mark, format!("{} as a key", node.kind()))
                .hint("a value that begins with \"{\" or \"[\" stands in quotes, for example \"{{new.title}}\"");
            return Key::Refused;
        };
        if scalar.text == "<<" && scalar.style == Style::Plain {
            self.problem(
                mark,
                "a merge key (\"<<\"), which is no part of YAML 1.2 and not read",
            )
            .hint("write the keys out");
            return Key::Refused;
        }
        let Some(first) = self.first_of(&scalar.text) else {
            return Key::Read(scalar.text, mark);
        };
        let key = self.path().key(&scalar.text);
        self.findings
            .problem(Problem::new(
                Place::Mark(mark),
                key.to_string(),
                format!("the name stands twice, first in line {}", first.line),
            ))
            .hint("leave one of the two");
        Key::Refused
    }

    fn first_of(&self, key: &str) -> Option<Mark> {
        let Open::Map { entries, .. } = &self.frames.last()?.open else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        match entry.place {
            Place::Mark(mark) => Some(mark),
            Place::File | Place::Variable(_) => None,
        }
    }

    fn path(&self) -> KeyPath {
        self.frames
            .iter()
            .fold(KeyPath::root(), |path, frame| match &frame.open {
                Open::List(items) => path.index(items.len()),
                Open::Map {
                    key: Key::Read(key, _),
                    ..
                } => path.key(key),
                Open::Map { .. } => path,
            })
    }

    fn problem(&mut self, mark: Mark, found: impl Into<String>) -> &mut Problem {
        let path = self.path().to_string();
        self.findings
            .problem(Problem::new(Place::Mark(mark), path, found))
    }

    fn syntax(&mut self, mark: Mark, info: &str) {
        let problem = self.findings.problem(Problem::new(
            Place::Mark(mark),
            "",
            format!("not valid YAML: {info}"),
        ));
        if info.contains("recursion") {
            problem.hint(format!("a config needs less than {DEPTH_MAX} levels"));
        } else if info.contains("anchor") {
            problem.hint("a name or value that begins with \"*\" or \"&\" stands in quotes");
        } else {
            problem.hint("check the indentation, and quote values that hold \": \", \" #\", or begin with one of {[]},&*!|>'\"%@`");
        }
    }
}

fn depth(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| depth(&entry.node))
            .max()
            .unwrap_or(0),
    }
}
