//! What tasks ask of the store, and what comes of it.

use walhook::event::EventId;
use walhook::lane::attempt::{LaneIndex, Ticket};
use walhook::store::{
    EndpointState, LanePosition, NewRun, RetryCursor, StoredEvent, Verdict, WaitingRun,
};

/// What a task asks of the store. Jobs run one after another.
pub enum Job {
    Checkpoint(walhook::store::Progress),
    Park {
        endpoint: usize,
        ticket: Ticket,
        progress: walhook::store::Progress,
    },
    Append {
        endpoint: usize,
        runs: Vec<NewRun>,
        positions: Vec<LanePosition>,
    },
    Read {
        endpoint: usize,
        lane: LaneIndex,
        name: String,
        after: i64,
        bytes_max: u64,
    },
    Retrying {
        endpoint: usize,
        after: Option<RetryCursor>,
    },
    DeadDelivered {
        endpoint: usize,
        ids: Vec<EventId>,
    },
    DeadAgain {
        endpoint: usize,
        ticket: Ticket,
        ids: Vec<EventId>,
        verdict: Verdict,
    },
    SetEndpoint {
        endpoint: usize,
        state: EndpointState,
    },
}

/// What came of it.
pub enum Done {
    Parked(Ticket),
    Written(Option<Vec<i64>>),
    Read(LaneIndex, Vec<WaitingRun>),
    Retrying(Vec<(RetryCursor, StoredEvent)>),
    RetriedRemoved(Vec<EventId>),
    Stored,
}

impl Done {
    pub fn name(&self) -> &'static str {
        match self {
            Done::Parked(_) => "dead letters",
            Done::Written(Some(_)) => "a write",
            Done::Written(None) => "a write that failed",
            Done::Read(..) => "a read",
            Done::Retrying(_) => "dead letters to send again",
            Done::RetriedRemoved(_) => "dead letters that are gone",
            Done::Stored => "its state",
        }
    }
}
