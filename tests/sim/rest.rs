//! The end of a world: faults are over, and everything must come to rest.

use walhook::lane::state::Why;

use super::receiver::Mood;
use super::setup::ENDPOINTS;
use super::world::World;

/// So many rounds of half a second are enough for everything.
const ROUNDS_MAX: usize = 400;

impl World {
    /// All faults are over but one: an endpoint that stays dead, which harms only itself.
    /// Then that, too, and nothing is left anywhere.
    pub fn come_to_rest(&mut self) {
        self.disk_is_full = false;
        let committed = self.database.commit_all(&mut self.rng, &self.setup);
        committed.iter().for_each(|it| self.promises.committed(it));
        let dead = self.rng.bool().then(|| self.any_endpoint());
        for endpoint in 0..ENDPOINTS {
            self.moods[endpoint] = Mood::Well;
            if Some(endpoint) != dead {
                self.enable(endpoint);
            }
        }
        if let Some(dead) = dead {
            self.moods[dead] = [Mood::Down, Mood::Failing, Mood::Gone][self.rng.usize(..3)];
            self.told(|world| format!("endpoint {dead} stays {:?}", world.moods[dead]));
            // A full spool that stops all is asked for by the config.
            let stops = self.setup.spool_bytes < 1 << 20;
            if !stops {
                self.rest("P6: an endpoint harms others", |it| it != dead);
            }
            self.moods[dead] = Mood::Well;
            self.enable(dead);
        }
        self.told(|_| "all is well".to_owned());
        self.rest("P1: something is stuck", |_| true);
        self.nothing_is_left();
    }

    /// Rounds in which everything has its turn, until these endpoints have what they are
    /// owed and the slot is at the end of the WAL.
    fn rest(&mut self, otherwise: &str, wanted: impl Fn(usize) -> bool) {
        for round in 0..ROUNDS_MAX {
            self.round(round);
            for endpoint in (0..ENDPOINTS).filter(|it| round % 20 == 19 && wanted(*it)) {
                // A full spool may have disabled it once more.
                if self.daemon.endpoints[endpoint].is_disabled() {
                    self.enable(endpoint);
                }
            }
            let mut endpoints = (0..ENDPOINTS).filter(|it| wanted(*it));
            let done = endpoints.all(|it| {
                let endpoint = &self.daemon.endpoints[it];
                let heard = endpoint.dones.is_empty();
                // Disabled once more it keeps a letter that was sent again, until it is enabled.
                let counts = &endpoint.counts;
                let came = counts.made + counts.at_start + counts.retried;
                let took_all = came == counts.delivered + counts.dead;
                heard && took_all && self.promises.is_done(it) && self.disk.is_empty_of(it)
            });
            let slot = self.database.slot.as_ref().map(|slot| slot.confirmed);
            if done && slot == Some(self.database.flush) {
                return;
            }
        }
        let slot = self.database.slot.as_ref().map(|slot| slot.confirmed);
        let flush = self.database.flush;
        let open: Vec<String> = (0..ENDPOINTS).map(|it| self.open(it)).collect();
        panic!(
            "{otherwise}: the slot is at {slot:?} of {flush:?}, reading is blocked: {}, {} bytes in memory\n{}",
            self.daemon.is_blocked(),
            self.daemon.budget.used(),
            open.join("\n")
        );
    }

    fn open(&mut self, endpoint: usize) -> String {
        let owed = self.promises.open(endpoint);
        let it = &self.daemon.endpoints[endpoint];
        format!(
            "endpoint {endpoint}: waits for {:?}, {} bytes in memory, {} requests, {} jobs done, {:?}",
            owed.map(|owed| owed.position),
            it.holder.held(),
            it.requests(),
            it.dones.len(),
            it.lanes
        )
    }

    fn round(&mut self, round: usize) {
        self.connect();
        self.daemon.read_all(&self.database, &mut self.rng);
        if self.daemon.is_blocked() && round % 2 == 1 {
            self.daemon.press(&mut self.promises);
        }
        for endpoint in 0..ENDPOINTS {
            self.with(endpoint, |it, around| it.take_in(around));
            self.with(endpoint, |it, around| it.move_to_disk(Why::Age, around));
            for _ in 0..20 {
                self.answer(endpoint);
                self.run_jobs();
                while !self.daemon.endpoints[endpoint].dones.is_empty() {
                    self.done(endpoint);
                }
            }
        }
        self.daemon.save();
        self.run_jobs();
        self.status();
        if round.is_multiple_of(8) {
            self.look_at_room();
        }
        self.pass(500);
    }

    /// P7: nothing waits anywhere, and what came in went out.
    fn nothing_is_left(&mut self) {
        assert!(
            self.daemon.tracker.nothing_open(),
            "P7: the ledger has open events"
        );
        assert_eq!(
            self.daemon.budget.used(),
            0,
            "P7: memory is held for nothing: {}",
            (0..ENDPOINTS).map(|it| self.open(it)).collect::<String>()
        );
        for endpoint in &self.daemon.endpoints {
            let counts = &endpoint.counts;
            assert_eq!(
                counts.made + counts.at_start + counts.retried,
                counts.delivered + counts.dead,
                "P7: the events of endpoint {}",
                endpoint.index
            );
            assert_eq!(endpoint.lanes.in_flight(), 0, "P7: requests in flight");
            assert!(!endpoint.lanes.is_spooling(), "P7: a lane is still on disk");
        }
    }
}
