//! What may happen next.

use proptest::prelude::*;

use crate::event::Keys;
use crate::lane::options::Order;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Push { table: u8, keys: KeyKind },
    Retry { table: u8, keys: KeyKind },
    Send,
    Finish { which: usize, outcome: u8 },
    Parked { which: usize },
    Time(u16),
    Enable,
    ToDisk { pressed: bool },
    Write,
    Written { fails: bool },
    Load,
    Loaded { which: usize },
    Unload,
    Checkpoint,
    Crash,
}

#[derive(Clone, Debug)]
pub(super) enum KeyKind {
    All,
    One(u64),
    Two(u64, u64),
}

impl KeyKind {
    pub(super) fn keys(&self) -> Keys {
        match *self {
            KeyKind::All => Keys::All,
            KeyKind::One(a) => Keys::One(a),
            KeyKind::Two(a, b) if a == b => Keys::One(a),
            KeyKind::Two(a, b) => Keys::Two(a, b),
        }
    }
}

pub(super) fn key_kinds() -> impl Strategy<Value = KeyKind> {
    prop_oneof![
        1 => Just(KeyKind::All),
        6 => (0..6_u64).prop_map(KeyKind::One),
        2 => (0..6_u64, 0..6_u64).prop_map(|(a, b)| KeyKind::Two(a, b)),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..3_u8, key_kinds()).prop_map(|(table, keys)| Step::Push { table, keys }),
        1 => (0..3_u8, key_kinds()).prop_map(|(table, keys)| Step::Retry { table, keys }),
        8 => Just(Step::Send),
        8 => (0..8_usize, 0..14_u8).prop_map(|(which, outcome)| Step::Finish { which, outcome }),
        4 => (0..8_usize).prop_map(|which| Step::Parked { which }),
        3 => (0..20_000_u16).prop_map(Step::Time),
        1 => Just(Step::Enable),
        2 => any::<bool>().prop_map(|pressed| Step::ToDisk { pressed }),
        4 => Just(Step::Write),
        4 => (0..8_u8).prop_map(|n| Step::Written { fails: n == 0 }),
        4 => Just(Step::Load),
        4 => (0..8_usize).prop_map(|which| Step::Loaded { which }),
        2 => Just(Step::Unload),
        2 => Just(Step::Checkpoint),
        1 => (0..4_u8).prop_map(|n| if n == 0 { Step::Crash } else { Step::Checkpoint }),
    ];
    proptest::collection::vec(step, 1..300)
}

pub(super) fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Table),
        Just(Order::Key { lanes: 3 }),
        Just(Order::Endpoint),
    ]
}
