//! A world of one seed: a database, a disk, endpoints and the daemon between them; what
//! happens in it, a step at a time, and its end, when all faults are over.

use std::rc::Rc;

use fastrand::Rng;
use walhook::event::EndpointIndex;
use walhook::lane::state::Why;
use walhook::store::EndpointState;

use super::daemon::Daemon;
use super::database::Database;
use super::disk::{Disk, endpoint_name};
use super::endpoint::RETRYING_MAX;
use super::job::{Done, Job};
use super::promises::Promises;
use super::receiver::Mood;
use super::setup::{ENDPOINTS, Rules, Setup};
use super::wire::confirmed;

#[derive(Clone, Copy, Debug)]
enum Step {
    Work,
    Persist,
    ServerCrash,
    Connect,
    Read,
    Disconnect,
    TakeIn,
    Answer,
    Store,
    Done,
    Save,
    Status,
    Time,
    Tick,
    Press,
    LookAtRoom,
    Mood,
    Enable,
    Retry,
    DiskFull,
    Kill,
    Stop,
}

pub struct World {
    pub rng: Rng,
    pub setup: Setup,
    pub rules: Rc<Rules>,
    pub database: Database,
    pub disk: Disk,
    pub daemon: Daemon,
    pub promises: Promises,
    pub moods: Vec<Mood>,
    pub disk_is_full: bool,
    /// Milliseconds of the wall clock.
    pub wall_ms: i64,
}

impl World {
    pub fn new(seed: u64, rules: &Rc<Rules>, mut disk: Disk, traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setup = Setup::of(&mut rng);
        let database = Database::new(&mut rng);
        let wall_ms = 1_800_000_000_000;
        let daemon = Daemon::start(&setup, rules, &mut disk, wall_ms);
        World {
            promises: Promises::new(&setup, traced),
            rules: Rc::clone(rules),
            rng,
            setup,
            database,
            disk,
            daemon,
            moods: vec![Mood::Well; ENDPOINTS],
            disk_is_full: false,
            wall_ms,
        }
    }

    /// What happened last.
    pub fn trace(&self) -> &[String] {
        self.promises.notes.as_deref().unwrap_or_default()
    }

    pub fn told(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.promises.notes.is_some() {
            let line = format!("{:>6} ms  {}", self.daemon.now_ms, what(self));
            self.promises.note(|| line);
        }
    }

    pub fn play(&mut self) {
        for _ in 0..self.setup.steps {
            let step = self.choose();
            self.told(|_| format!("{step:?}"));
            self.step(step);
        }
        self.come_to_rest();
    }

    fn choose(&mut self) -> Step {
        let setup = &self.setup;
        let weights = [
            (Step::Work, 1_600),
            (Step::Persist, 60),
            (Step::ServerCrash, setup.server_crashes / 3),
            (Step::Connect, 300),
            (Step::Read, 900),
            (Step::Disconnect, setup.disconnects / 2),
            (Step::TakeIn, 900),
            (Step::Answer, 1_200),
            (Step::Store, 900),
            (Step::Done, 900),
            (Step::Save, 300),
            (Step::Status, 250),
            (Step::Time, 500),
            (Step::Tick, 200),
            (Step::Press, 150),
            (Step::LookAtRoom, 40),
            (Step::Mood, setup.moods),
            (Step::Enable, 40),
            (Step::Retry, 30),
            (Step::DiskFull, setup.disk_faults / 3),
            (Step::Kill, setup.crashes / 2),
            (Step::Stop, setup.crashes / 6),
        ];
        let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.u32(..sum);
        for (step, weight) in weights {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return step,
            }
        }
        Step::Work
    }

    pub fn any_endpoint(&mut self) -> usize {
        self.rng.usize(..ENDPOINTS)
    }

    fn step(&mut self, step: Step) {
        let endpoint = self.any_endpoint();
        match step {
            Step::Work => {
                let committed = self.database.work(&mut self.rng, &self.setup);
                committed.iter().for_each(|it| self.promises.committed(it));
            }
            Step::Persist => self.database.persist_slot(),
            Step::ServerCrash => {
                self.daemon.stream = None;
                self.database.crash();
            }
            Step::Connect => self.connect(),
            Step::Read => {
                let (frames, breaks) = (self.rng.usize(1..30), self.rng.u8(..20) == 0);
                self.daemon
                    .read(&self.database, &mut self.rng, frames, breaks);
                if breaks {
                    self.daemon.stream = None;
                }
            }
            Step::Disconnect => self.daemon.stream = None,
            Step::TakeIn => self.with(endpoint, |it, around| it.take_in(around)),
            Step::Answer => self.answer(endpoint),
            Step::Store => self.run_job(),
            Step::Done => self.done(endpoint),
            Step::Save => self.daemon.save(),
            Step::Status => self.status(),
            Step::Time => {
                let ms = [20_000, 3_000, 3_000, 300, 300, 300, 300, 300][self.rng.usize(..8)];
                self.pass(ms);
            }
            Step::Tick => self.with(endpoint, |it, around| it.move_to_disk(Why::Age, around)),
            Step::Press if self.daemon.is_blocked() => self.daemon.press(&mut self.promises),
            Step::Press => {}
            Step::LookAtRoom => self.look_at_room(),
            Step::Mood => {
                self.moods[endpoint] = Mood::any(&mut self.rng);
                self.told(|world| format!("endpoint {endpoint} is {:?}", world.moods[endpoint]));
            }
            Step::Enable => self.enable(endpoint),
            Step::Retry => self.retry(endpoint),
            Step::DiskFull => self.disk_is_full = !self.disk_is_full,
            Step::Kill => self.kill(),
            Step::Stop => self.stop(),
        }
    }

    pub fn with(
        &mut self,
        endpoint: usize,
        act: impl FnOnce(&mut super::endpoint::Endpoint, &mut super::endpoint::Around<'_>),
    ) {
        self.daemon.with(endpoint, &mut self.promises, act);
    }

    pub fn pass(&mut self, ms: i64) {
        self.wall_ms += ms;
        self.daemon.now_ms += ms;
        for endpoint in 0..ENDPOINTS {
            self.with(endpoint, |_, _| {});
        }
    }

    pub fn connect(&mut self) {
        if self.daemon.stream.is_some() {
            return;
        }
        // What is asked of the store here waits for its turn.
        self.run_jobs();
        let dies = self.rng.u8(..4);
        let mut calls = 0;
        let connected = self.daemon.connect(&mut self.database, &mut self.disk, || {
            calls += 1;
            calls == dies
        });
        if !connected {
            self.kill();
        }
    }

    pub fn answer(&mut self, endpoint: usize) {
        if self.daemon.endpoints[endpoint].requests() == 0 {
            return;
        }
        let answer = self.moods[endpoint].answer(&mut self.rng);
        self.told(|_| format!("endpoint {endpoint} answers {answer:?}"));
        let rng = &mut self.rng;
        self.daemon
            .with(endpoint, &mut self.promises, |it, around| {
                it.answered(rng, &answer, around);
            });
    }

    pub fn status(&mut self) {
        if let Some(status) = self.daemon.status() {
            let lsn = confirmed(&status);
            let disk = &self.disk;
            self.promises.confirmed(
                lsn,
                disk.durable(),
                |endpoint, id| disk.waits(endpoint, id),
                |endpoint, lsn| disk.has_gap(endpoint, lsn),
            );
            if let Some(slot) = &mut self.database.slot
                && slot.confirmed < lsn
            {
                slot.confirmed = lsn;
                self.told(|_| format!("confirmed {lsn}"));
            }
        }
    }

    pub fn look_at_room(&mut self) {
        let waiting: Vec<u64> = (0..ENDPOINTS)
            .map(|it| self.disk.waiting_bytes(it))
            .collect();
        let sums = waiting.iter().copied().enumerate();
        self.daemon.room.is(
            waiting.iter().sum(),
            sums.map(|(index, bytes)| (EndpointIndex(index), bytes)),
            1 << 40,
        );
    }

    pub fn enable(&mut self, endpoint: usize) {
        // Stored before the task hears of it.
        self.run_jobs();
        let name = endpoint_name(endpoint);
        self.disk.set_endpoint(&name, EndpointState::Enabled);
        self.with(endpoint, |it, around| it.enable(around));
    }

    fn retry(&mut self, endpoint: usize) {
        self.run_jobs();
        self.disk.retry_all(&endpoint_name(endpoint));
        self.with(endpoint, |it, _| it.retry());
    }

    pub fn done(&mut self, endpoint: usize) {
        let dones = &mut self.daemon.endpoints[endpoint].dones;
        if !dones.is_empty() {
            // They end in any order.
            let done = dones.swap_remove(self.rng.usize(..dones.len()));
            self.told(|_| format!("endpoint {endpoint} hears of {}", done.name()));
            self.with(endpoint, |it, around| it.done(done, around));
        }
    }

    pub fn run_jobs(&mut self) {
        while !self.daemon.jobs.is_empty() {
            self.run_job();
        }
    }

    /// The store does the next job, and answers. A write that fails for good ends the
    /// daemon.
    fn run_job(&mut self) {
        let Some(job) = self.daemon.jobs.pop_front() else {
            return;
        };
        let is_read = matches!(job, Job::Read { .. } | Job::Retrying { .. });
        match job {
            Job::Append { endpoint, .. } if self.disk_is_full => {
                self.answer_job(endpoint, Done::Written(None));
            }
            _ if self.disk_is_full && !is_read => self.kill(),
            job => self.apply(job),
        }
    }

    fn answer_job(&mut self, endpoint: usize, done: Done) {
        self.daemon.endpoints[endpoint].dones.push(done);
    }

    fn apply(&mut self, job: Job) {
        let (disk, promises) = (&mut self.disk, &mut self.promises);
        let (endpoint, done) = match job {
            Job::Checkpoint(progress) => {
                disk.commit(&progress, promises);
                self.daemon.saved(progress.checkpoint.map(|it| it.lsn));
                self.told(|world| format!("durable {}", world.disk.durable()));
                return;
            }
            Job::Park {
                endpoint,
                ticket,
                progress,
            } => {
                disk.commit(&progress, promises);
                (endpoint, Done::Parked(ticket))
            }
            Job::Append {
                endpoint,
                runs,
                positions,
            } => {
                let sequences = disk.append(&runs, &positions, promises);
                promises.note(|| format!("endpoint {endpoint}: written as runs {sequences:?}"));
                (endpoint, Done::Written(Some(sequences)))
            }
            Job::Read {
                endpoint,
                lane,
                name,
                after,
                bytes_max,
            } => {
                let runs = disk.read_runs(&endpoint_name(endpoint), &name, after, bytes_max);
                promises.note(|| {
                    let runs: Vec<_> = runs.iter().map(|run| (run.sequence, run.settled)).collect();
                    format!("endpoint {endpoint}: of {name} read after {after} {runs:?}")
                });
                (endpoint, Done::Read(lane, runs))
            }
            Job::Retrying { endpoint, after } => {
                let letters = disk.retrying(&endpoint_name(endpoint), after, RETRYING_MAX);
                (endpoint, Done::Retrying(letters))
            }
            Job::DeadDelivered { endpoint, ids } => {
                disk.dead_delivered(&endpoint_name(endpoint), &ids, promises);
                (endpoint, Done::RetriedRemoved(ids))
            }
            Job::DeadAgain {
                endpoint,
                ticket,
                ids,
                verdict,
            } => {
                disk.dead_again(&endpoint_name(endpoint), &ids, &verdict);
                (endpoint, Done::Parked(ticket))
            }
            Job::SetEndpoint { endpoint, state } => {
                disk.set_endpoint(&endpoint_name(endpoint), state);
                (endpoint, Done::Stored)
            }
        };
        self.answer_job(endpoint, done);
    }

    /// kill -9: the job under way may have reached the disk, a request its receiver.
    fn kill(&mut self) {
        self.told(|_| "killed".to_owned());
        if self.rng.bool()
            && !self.disk_is_full
            && let Some(job) = self.daemon.jobs.pop_front()
        {
            self.apply(job);
        }
        self.start(false);
    }

    fn start(&mut self, in_good_order: bool) {
        self.disk.crash();
        self.promises.restarted(in_good_order);
        self.disk_is_full &= self.rng.bool();
        self.daemon = Daemon::start(&self.setup, &self.rules, &mut self.disk, self.wall_ms);
    }

    /// Stopped in good order: what is in flight is waited for, what is in memory written.
    fn stop(&mut self) {
        self.disk_is_full = false;
        self.daemon.endpoints.iter_mut().for_each(|it| it.drain());
        for round in 0.. {
            assert!(round < 100, "P6: a stop does not end");
            let mut busy = !self.daemon.jobs.is_empty();
            for endpoint in 0..ENDPOINTS {
                self.with(endpoint, |_, _| {});
                while self.daemon.endpoints[endpoint].requests() > 0 {
                    self.answer(endpoint);
                    busy = true;
                }
                while !self.daemon.endpoints[endpoint].dones.is_empty() {
                    self.done(endpoint);
                    busy = true;
                }
            }
            self.run_jobs();
            if !busy {
                break;
            }
        }
        self.daemon.save();
        self.run_jobs();
        self.status();
        self.told(|_| "stopped".to_owned());
        self.start(true);
    }
}
