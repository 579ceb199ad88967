//! The core, simulated: the parts that decide take bytes, time and answers, so all of them
//! can be driven by one random number, against models of Postgres, of endpoints and of the
//! disk. The promises are validators that look at every step.
//!
//! `cargo test --test sim` plays 2,000 seeds. A seed that fails is printed with its last
//! steps; `WALHOOK_SIM_SEED=n` plays it alone. `WALHOOK_SIM_SEEDS=n` plays another number of
//! them (`cargo test --profile sim --test sim` for millions), from `WALHOOK_SIM_FROM` on.

#![expect(
    clippy::print_stderr,
    reason = "the output of a test that failed is where its causes are looked for"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod wire;

mod database;
mod disk;
mod receiver;
mod setup;

mod promises;

mod job;
mod kept;
mod endpoint;
mod daemon;

mod rest;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use disk::Disk;
use setup::rules;
use world::World;

const SEEDS: u64 = 2_000;
const SEEDS_WITH_A_FILE: u64 = 30;
const STEPS_SHOWN: usize = 400;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays seeds on all cores; the first that fails is played again, and told.
fn play(seeds: std::ops::Range<u64>, disk: fn() -> Disk) {
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Option<u64>> = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let rules = Rc::new(rules());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().is_some() {
                        return;
                    }
                    let mut world = World::new(seed, &rules, disk(), false);
                    if catch_unwind(AssertUnwindSafe(|| world.play())).is_err() {
                        failed.lock().unwrap().get_or_insert(seed);
                    }
                }
            });
        }
    });
    if let Some(seed) = *failed.lock().unwrap() {
        tell(seed, disk());
        panic!("seed {seed} fails; WALHOOK_SIM_SEED={seed} cargo test --test sim plays it alone");
    }
}

fn tell(seed: u64, disk: Disk) {
    eprintln!("seed {seed}:");
    let mut world = World::new(seed, &Rc::new(rules()), disk, true);
    let ended = catch_unwind(AssertUnwindSafe(|| world.play()));
    let from = world.trace().len().saturating_sub(STEPS_SHOWN);
    for line in &world.trace()[from..] {
        eprintln!("{line}");
    }
    match ended {
        Ok(()) => eprintln!("it does not fail"),
        Err(why) => eprintln!("{}", words(&*why)),
    }
}

/// What a validator said.
fn words(why: &(dyn std::any::Any + Send)) -> &str {
    why.downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| why.downcast_ref::<&str>().copied())
        .unwrap_or("it fails without a word")
}

#[test]
fn the_promises_hold_on_every_seed() {
    match variable("WALHOOK_SIM_SEED") {
        Some(seed) => {
            tell(seed, Disk::default());
            play(seed..seed + 1, Disk::default);
        }
        None => {
            let from = variable("WALHOOK_SIM_FROM").unwrap_or(0);
            let seeds = variable("WALHOOK_SIM_SEEDS").unwrap_or(SEEDS);
            play(from..from + seeds, Disk::default);
            eprintln!("played {seeds} seeds");
        }
    }
}

#[test]
fn the_state_file_keeps_what_its_model_keeps() {
    play(0..SEEDS_WITH_A_FILE, Disk::with_a_file);
}

#[test]
fn a_seed_plays_the_same_again() {
    let rules = Rc::new(rules());
    let traces = [0, 1].map(|_| {
        let mut world = World::new(7, &rules, Disk::default(), true);
        world.play();
        world.trace().to_vec()
    });
    assert_eq!(traces[0], traces[1]);
}
