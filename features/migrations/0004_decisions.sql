-- The decision that an event comes of.
ALTER TABLE events ADD COLUMN decision_id TEXT;
CREATE INDEX events_by_decision ON events (decision_id) WHERE decision_id IS NOT NULL;

-- What campaigns and experiments were defined as; the last row of a name is what holds, the others explain the past.
-- Without a definition it is withdrawn; `origin` is the file or the API.
CREATE TABLE definitions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    definition TEXT,
    origin TEXT NOT NULL,
    put_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX definitions_by_name ON definitions (kind, name, number);

-- What was decided, and with which probability. A decision never changes.
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    decision_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    decided_at_us INTEGER NOT NULL,
    zone TEXT NOT NULL,
    campaign TEXT,
    campaign_version TEXT,
    experience TEXT,
    propensity REAL NOT NULL,
    probabilities TEXT NOT NULL,
    context TEXT NOT NULL,
    variants TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_user ON decisions (user_id, campaign, decided_at_us);

-- How often each campaign was decided for on each day (UTC), for the caps over all people.
CREATE TABLE campaign_days (
    campaign TEXT NOT NULL,
    day INTEGER NOT NULL,
    decisions INTEGER NOT NULL,
    PRIMARY KEY (campaign, day)
) STRICT, WITHOUT ROWID;

-- From here on everything is a fold of the decisions and the events.
-- When a decision was first seen and clicked on, and what it has earned so far (null until that is worked out).
CREATE TABLE decision_outcomes (
    number INTEGER PRIMARY KEY REFERENCES decisions (number),
    exposed_at_us INTEGER NOT NULL,
    clicked_at_us INTEGER,
    reward REAL
) STRICT;

-- Events that may be what a decision has earned.
CREATE TABLE outcome_events (
    user_id TEXT NOT NULL,
    timestamp_us INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    value REAL,
    decision_id TEXT,
    PRIMARY KEY (user_id, timestamp_us, event_id)
) STRICT, WITHOUT ROWID;

-- What the policy of a campaign knows; one row for each set of contexts that it has been defined with.
CREATE TABLE policy_evidence (
    campaign TEXT NOT NULL,
    contexts TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (campaign, contexts)
) STRICT, WITHOUT ROWID;

-- Up to which event the fold has come.
CREATE TABLE decision_fold (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO decision_fold VALUES (0);
