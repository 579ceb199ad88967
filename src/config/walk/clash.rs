//! Two rules that can make the same event of the same change.
//!
//! An event's id comes from the change and the type, not from the rule: two such
//! events to one endpoint would share an id. Whether two conditions exclude one
//! another is not known here, so they do not count.

use super::cursor::{At, Walk};
use super::endpoint::Names;
use super::event_type::reach;
use super::overlap::overlap;
use crate::event::EndpointIndex;
use crate::mapping::rule::{Rule, TablePattern};

impl Walk<'_> {
    pub(super) fn tell_clashes(
        &mut self,
        rules: &[(Rule, At<'_>)],
        pattern: &TablePattern,
        names: &Names,
    ) {
        for (index, (rule, at)) in rules.iter().enumerate() {
            let clash = rules[..index].iter().find_map(|(other, _)| {
                let shared = shared(rule, other);
                (rule.operation == other.operation
                    && !shared.is_empty()
                    && overlap(
                        &reach(&rule.event_type, rule.operation, pattern),
                        &reach(&other.event_type, other.operation, pattern),
                    ))
                .then_some((other, shared))
            });
            let Some((other, shared)) = clash else {
                continue;
            };
            let endpoints: Vec<&str> = shared
                .iter()
                .filter_map(|endpoint| names.all.get(endpoint.0))
                .map(|name| name.name.as_str())
                .collect();
            // The type may be that of a variable.
            let event_type = match at.node.get("type") {
                Some(node) => At {
                    node,
                    path: at.path.key("type"),
                },
                None => at.clone(),
            };
            let found = format!(
                "{} is the event type of another rule to {} too",
                self.shown(&event_type),
                endpoints.join(", ")
            );
            self.problem(at, found)
            .detail(format!(
                "{} can make it of the same change; the two events would share an id",
                other.name
            ))
            .hint("give one of them another type or endpoint, or make one rule of them: when: (...) || (...)");
        }
    }
}

fn shared(a: &Rule, b: &Rule) -> Vec<EndpointIndex> {
    a.endpoints
        .iter()
        .filter(|endpoint| b.endpoints.contains(endpoint))
        .copied()
        .collect()
}
