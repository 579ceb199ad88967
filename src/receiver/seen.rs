//! Has this event come before, and did it overtake another?

use std::collections::{HashMap, HashSet, VecDeque};

use crate::lsn::Lsn;

/// So many ids are remembered; a repeat after more events than this looks fresh.
const IDS_MAX: usize = 1_000_000;

/// What an event is beside those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Fresh,
    Repeat,
    /// It is fresh, but a later change of its lane was here first.
    Overtaken,
}

/// What has come to one endpoint so far, by the ids and positions of events. Another
/// endpoint gets the same change under the same id.
#[derive(Debug, Default)]
pub struct Seen {
    ids: HashSet<String>,
    oldest: VecDeque<String>,
    furthest: HashMap<String, (Lsn, u64)>,
}

impl Seen {
    /// `lane` names what must stay in order with one another.
    pub fn see(&mut self, lane: &str, id: &str, position: Option<(Lsn, u64)>) -> Sight {
        if !self.ids.insert(id.to_owned()) {
            return Sight::Repeat;
        }
        self.oldest.push_back(id.to_owned());
        if self.oldest.len() > IDS_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.ids.remove(&oldest);
        }
        let Some(position) = position else {
            return Sight::Fresh;
        };
        match self.furthest.get_mut(lane) {
            Some(furthest) if position < *furthest => Sight::Overtaken,
            Some(furthest) => {
                *furthest = position;
                Sight::Fresh
            }
            None => {
                self.furthest.insert(lane.to_owned(), position);
                Sight::Fresh
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_by_id_and_what_was_overtaken_by_position() {
        let mut seen = Seen::default();
        let mut see = |lane: &str, id: &str, lsn: u64, index: u64| {
            seen.see(lane, id, Some((Lsn(lsn), index)))
        };
        assert_eq!(see("orders", "a", 10, 1), Sight::Fresh);
        assert_eq!(see("orders", "b", 10, 1), Sight::Fresh, "another rule's");
        assert_eq!(see("orders", "c", 10, 3), Sight::Fresh);
        assert_eq!(see("orders", "d", 10, 2), Sight::Overtaken);
        assert_eq!(see("items", "e", 9, 1), Sight::Fresh, "another lane");
        assert_eq!(see("orders", "a", 10, 1), Sight::Repeat);
        assert_eq!(seen.see("orders", "f", None), Sight::Fresh);
    }
}
