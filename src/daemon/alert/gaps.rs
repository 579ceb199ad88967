//! Which gaps are being told to whom. A gap is told until all have it, also over restarts;
//! one that grows all the time is told now and then. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::lsn::Lsn;
use crate::store::{Gap, GapReason};

/// A gap that grows is told again after so long.
const AGAIN_MS: i64 = 600_000;

/// What stays the same of a gap while it grows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapKey {
    endpoint: Option<String>,
    reason: &'static str,
    from: Lsn,
}

impl GapKey {
    pub fn of(gap: &Gap) -> Self {
        GapKey {
            endpoint: gap.endpoint.clone(),
            reason: GapReason::as_str(gap.reason),
            from: gap.from,
        }
    }
}

#[derive(Debug, Default)]
pub struct Gaps {
    told: BTreeMap<GapKey, Told>,
}

/// How a gap is told. Outboxes by their places.
#[derive(Debug)]
struct Told {
    gap: Gap,
    began_ms: i64,
    waiting: BTreeSet<usize>,
    delivered: BTreeSet<usize>,
}

impl Gaps {
    /// What is to be posted, and to which outboxes. `found` are the gaps that are to be
    /// announced; `targets` are those that may hear of a gap.
    pub fn news(
        &mut self,
        found: Vec<Gap>,
        targets: impl Fn(&Gap) -> BTreeSet<usize>,
        now_ms: i64,
    ) -> Vec<(Gap, Vec<usize>)> {
        let keys: BTreeSet<GapKey> = found.iter().map(GapKey::of).collect();
        self.told
            .retain(|key, told| keys.contains(key) || now_ms - told.began_ms < AGAIN_MS);
        let mut news = Vec::new();
        for gap in found {
            let told = self.told.entry(GapKey::of(&gap)).or_insert_with(|| Told {
                gap: gap.clone(),
                began_ms: now_ms,
                waiting: BTreeSet::new(),
                delivered: BTreeSet::new(),
            });
            let has_grown = told.gap.to != gap.to || told.gap.events != gap.events;
            if has_grown && now_ms - told.began_ms >= AGAIN_MS && told.waiting.is_empty() {
                told.gap = gap;
                told.began_ms = now_ms;
                told.delivered.clear();
            }
            let targets = targets(&told.gap);
            let to: Vec<usize> = targets
                .into_iter()
                .filter(|target| !told.delivered.contains(target) && told.waiting.insert(*target))
                .collect();
            if !to.is_empty() {
                news.push((told.gap.clone(), to));
            }
        }
        news
    }

    /// The gap, when all have it now.
    pub fn delivered(&mut self, key: &GapKey, target: usize) -> Option<Gap> {
        let told = self.told.get_mut(key)?;
        told.waiting.remove(&target);
        told.delivered.insert(target);
        told.waiting.is_empty().then(|| told.gap.clone())
    }

    /// It is posted anew.
    pub fn given_up(&mut self, key: &GapKey, target: usize) {
        if let Some(told) = self.told.get_mut(key) {
            told.waiting.remove(&target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(to: u64) -> Gap {
        Gap {
            endpoint: None,
            reason: GapReason::Adopted,
            from: Lsn(1),
            to: Lsn(to),
            events: None,
            recorded_at_ms: 0,
        }
    }

    fn both(_: &Gap) -> BTreeSet<usize> {
        [0, 1].into()
    }

    #[test]
    fn a_gap_is_told_until_all_have_it() {
        let mut gaps = Gaps::default();
        let key = GapKey::of(&gap(2));
        assert_eq!(gaps.news(vec![gap(2)], both, 0), [(gap(2), vec![0, 1])]);
        assert!(gaps.news(vec![gap(2)], both, 1000).is_empty());
        assert_eq!(gaps.delivered(&key, 0), None);
        gaps.given_up(&key, 1);
        assert_eq!(gaps.news(vec![gap(2)], both, 2000), [(gap(2), vec![1])]);
        assert_eq!(gaps.delivered(&key, 1), Some(gap(2)));
    }

    #[test]
    fn a_gap_that_grows_is_told_now_and_then() {
        let mut gaps = Gaps::default();
        let key = GapKey::of(&gap(2));
        gaps.news(vec![gap(2)], both, 0);
        gaps.delivered(&key, 0);
        assert_eq!(gaps.delivered(&key, 1), Some(gap(2)));
        // What was told is marked; what has grown since is found again.
        assert!(gaps.news(vec![gap(3)], both, AGAIN_MS - 1).is_empty());
        assert_eq!(
            gaps.news(vec![gap(4)], both, AGAIN_MS),
            [(gap(4), vec![0, 1])]
        );
    }
}
