-- Version 1 of the state file.
--
-- LSNs, hashes and the system identifier are unsigned 64-bit numbers kept as
-- the signed numbers with the same bits. LSNs are compared as numbers: a cluster
-- would have to write 8 EiB of WAL to make one negative.
-- Times ending in _ms are wall-clock milliseconds since 1970, times ending in
-- _us are Postgres's microseconds since 2000. A position is (lsn, ordinal, n).

CREATE TABLE slot (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- Another number after "walhook adopt": LSNs of different histories do not compare.
  history INTEGER NOT NULL,
  intended_system INTEGER,
  intended_lsn INTEGER,
  system_identifier INTEGER,
  timeline INTEGER,
  checkpoint_lsn INTEGER,
  checkpoint_at_ms INTEGER,
  -- The checkpoint that "adopt" or "skip" wrote: the stream starts there for as long
  -- as the slot's own position is below it.
  start_lsn INTEGER,
  -- The journal has every transaction that was sent from here up to the checkpoint,
  -- unless it is as long as it may be: then from its first one on.
  journal_from INTEGER,
  -- Where the server's history was found to be another one than the journal's.
  differs_lsn INTEGER
) STRICT;

CREATE TABLE lane_position (
  slot INTEGER NOT NULL REFERENCES slot (id),
  endpoint TEXT NOT NULL,
  lane TEXT NOT NULL,
  lsn INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  n INTEGER NOT NULL,
  -- Of the event that heads the lane.
  first_attempt_at_ms INTEGER,
  attempts INTEGER NOT NULL,
  PRIMARY KEY (slot, endpoint, lane)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_position_by_lsn ON lane_position (slot, lsn);

-- The last transactions below the checkpoint, and of those above it the ones that a
-- lane stands in. A message that is not transactional stands where its record ends,
-- before a transaction that commits there, with a hash of it for an xid.
CREATE TABLE journal (
  slot INTEGER NOT NULL REFERENCES slot (id),
  commit_lsn INTEGER NOT NULL,
  kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
  xid INTEGER NOT NULL,
  commit_time_us INTEGER NOT NULL,
  PRIMARY KEY (slot, commit_lsn, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE table_rules (
  slot INTEGER NOT NULL REFERENCES slot (id),
  table_name TEXT NOT NULL,
  hash INTEGER NOT NULL,
  PRIMARY KEY (slot, table_name)
) STRICT, WITHOUT ROWID;

-- An endpoint without a row is enabled.
CREATE TABLE endpoint (
  slot INTEGER NOT NULL REFERENCES slot (id),
  name TEXT NOT NULL,
  disabled_by TEXT CHECK (disabled_by IN ('gone_410', 'spool_full', 'operator')),
  since_ms INTEGER NOT NULL,
  PRIMARY KEY (slot, name)
) STRICT, WITHOUT ROWID;

-- Waiting events, a row per run of consecutive events of one lane and table.
-- The bodies stand apart, so that progress within a run does not rewrite them.
CREATE TABLE run (
  -- The order of waiting. AUTOINCREMENT: never reused.
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  slot INTEGER NOT NULL REFERENCES slot (id),
  history INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  lane TEXT NOT NULL,
  table_schema TEXT NOT NULL,
  table_name TEXT NOT NULL,
  first_lsn INTEGER NOT NULL,
  first_ordinal INTEGER NOT NULL,
  first_n INTEGER NOT NULL,
  last_lsn INTEGER NOT NULL,
  last_ordinal INTEGER NOT NULL,
  last_n INTEGER NOT NULL,
  -- Entries at the front that are settled; events and bytes are those after them.
  settled INTEGER NOT NULL,
  events INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  enqueued_at_ms INTEGER NOT NULL,
  first_attempt_at_ms INTEGER,
  attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX run_by_lane ON run (slot, endpoint, lane, sequence);

CREATE TABLE run_body (
  sequence INTEGER PRIMARY KEY REFERENCES run (sequence) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  slot INTEGER NOT NULL REFERENCES slot (id),
  history INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  event_id BLOB NOT NULL,
  event_type TEXT NOT NULL,
  table_schema TEXT NOT NULL,
  table_name TEXT NOT NULL,
  operation TEXT NOT NULL,
  lane TEXT NOT NULL,
  -- No bytes: ordered with all rows; 8 or 16: hashes of the key, of the old and the new one.
  keys BLOB NOT NULL,
  lsn INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  n INTEGER NOT NULL,
  last_of_change INTEGER NOT NULL,
  commit_time_us INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('dead', 'retrying')),
  reason TEXT NOT NULL,
  parked_at_ms INTEGER NOT NULL,
  first_attempt_at_ms INTEGER,
  attempts INTEGER NOT NULL,
  last_status INTEGER,
  last_error TEXT,
  bytes INTEGER NOT NULL,
  answer BLOB NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (slot, endpoint, event_id)
) STRICT;
CREATE INDEX dead_in_order ON dead (slot, endpoint, state, lsn, ordinal, n, id);
CREATE INDEX dead_by_endpoint ON dead (endpoint, id);

-- Events that no endpoint or one endpoint ("" for all) never gets.
CREATE TABLE gap (
  slot INTEGER NOT NULL REFERENCES slot (id),
  endpoint TEXT NOT NULL,
  reason TEXT NOT NULL,
  from_lsn INTEGER NOT NULL,
  to_lsn INTEGER NOT NULL,
  events INTEGER,
  recorded_at_ms INTEGER NOT NULL,
  -- When those who asked for it were told of it as it is.
  announced_at_ms INTEGER,
  PRIMARY KEY (slot, endpoint, reason, from_lsn)
) STRICT, WITHOUT ROWID;

-- The sums over run and dead, kept by the triggers below: a metrics page must not scan them.
CREATE TABLE tally (
  slot INTEGER NOT NULL REFERENCES slot (id),
  endpoint TEXT NOT NULL,
  table_schema TEXT NOT NULL,
  table_name TEXT NOT NULL,
  waiting_events INTEGER NOT NULL DEFAULT 0,
  waiting_bytes INTEGER NOT NULL DEFAULT 0,
  dead_events INTEGER NOT NULL DEFAULT 0,
  dead_bytes INTEGER NOT NULL DEFAULT 0,
  retrying_events INTEGER NOT NULL DEFAULT 0,
  retrying_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (slot, endpoint, table_schema, table_name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER run_added AFTER INSERT ON run BEGIN
  INSERT INTO tally (slot, endpoint, table_schema, table_name, waiting_events, waiting_bytes)
  VALUES (new.slot, new.endpoint, new.table_schema, new.table_name, new.events, new.bytes)
  ON CONFLICT DO UPDATE SET
    waiting_events = waiting_events + excluded.waiting_events,
    waiting_bytes = waiting_bytes + excluded.waiting_bytes;
END;

CREATE TRIGGER run_progressed AFTER UPDATE OF events, bytes ON run BEGIN
  UPDATE tally SET
    waiting_events = waiting_events + new.events - old.events,
    waiting_bytes = waiting_bytes + new.bytes - old.bytes
  WHERE slot = new.slot AND endpoint = new.endpoint
    AND table_schema = new.table_schema AND table_name = new.table_name;
END;

CREATE TRIGGER run_removed AFTER DELETE ON run BEGIN
  UPDATE tally SET
    waiting_events = waiting_events - old.events,
    waiting_bytes = waiting_bytes - old.bytes
  WHERE slot = old.slot AND endpoint = old.endpoint
    AND table_schema = old.table_schema AND table_name = old.table_name;
END;

CREATE TRIGGER dead_added AFTER INSERT ON dead BEGIN
  INSERT INTO tally (slot, endpoint, table_schema, table_name,
    dead_events, dead_bytes, retrying_events, retrying_bytes)
  VALUES (new.slot, new.endpoint, new.table_schema, new.table_name,
    new.state = 'dead', iif(new.state = 'dead', new.bytes, 0),
    new.state = 'retrying', iif(new.state = 'retrying', new.bytes, 0))
  ON CONFLICT DO UPDATE SET
    dead_events = dead_events + excluded.dead_events,
    dead_bytes = dead_bytes + excluded.dead_bytes,
    retrying_events = retrying_events + excluded.retrying_events,
    retrying_bytes = retrying_bytes + excluded.retrying_bytes;
END;

CREATE TRIGGER dead_changed AFTER UPDATE OF state ON dead WHEN new.state <> old.state BEGIN
  UPDATE tally SET
    dead_events = dead_events + iif(new.state = 'dead', 1, -1),
    dead_bytes = dead_bytes + iif(new.state = 'dead', new.bytes, -new.bytes),
    retrying_events = retrying_events + iif(new.state = 'dead', -1, 1),
    retrying_bytes = retrying_bytes + iif(new.state = 'dead', -new.bytes, new.bytes)
  WHERE slot = new.slot AND endpoint = new.endpoint
    AND table_schema = new.table_schema AND table_name = new.table_name;
END;

CREATE TRIGGER dead_removed AFTER DELETE ON dead BEGIN
  UPDATE tally SET
    dead_events = dead_events - (old.state = 'dead'),
    dead_bytes = dead_bytes - iif(old.state = 'dead', old.bytes, 0),
    retrying_events = retrying_events - (old.state = 'retrying'),
    retrying_bytes = retrying_bytes - iif(old.state = 'retrying', old.bytes, 0)
  WHERE slot = old.slot AND endpoint = old.endpoint
    AND table_schema = old.table_schema AND table_name = old.table_name;
END;
