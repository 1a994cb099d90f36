-- The memory of one run. Version 1 (PRAGMA user_version).
-- Times are seconds since the epoch by the wall clock; money is USD.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    seq        INTEGER PRIMARY KEY,          -- the manifest's order when first seen
    id         TEXT NOT NULL UNIQUE,
    model      TEXT NOT NULL,
    body       TEXT NOT NULL,                -- the input, as JSON, as it is sent
    name       TEXT NOT NULL,                -- of its files: safe, without extension
    name_key   TEXT NOT NULL UNIQUE,         -- two names with one key would be one file
    tags       TEXT NOT NULL,                -- a JSON array of strings
    state      TEXT NOT NULL DEFAULT 'pending' CHECK (state IN (
                   'pending', 'submitting', 'queued', 'running', 'fetching', 'done',
                   'failed', 'cancelled', 'unknown', 'lost', 'blocked')),
    attempts   INTEGER NOT NULL DEFAULT 0,   -- the number of the latest one
    failures   INTEGER NOT NULL DEFAULT 0,   -- attempts the vendor failed since a person asked
    cancel_asked INTEGER NOT NULL DEFAULT 0 CHECK (cancel_asked IN (0, 1)),  -- by a person
    listed     INTEGER NOT NULL DEFAULT 1 CHECK (listed IN (0, 1)),  -- 0: no longer in the manifest
    error_code TEXT,
    error      TEXT
) STRICT;

CREATE INDEX job_by_state ON job (state, model, listed, seq);

-- Attempts are only ever appended: a row is never deleted, and its number never used again.
CREATE TABLE attempt (
    job          INTEGER NOT NULL REFERENCES job (seq),
    number       INTEGER NOT NULL CHECK (number >= 1),
    body_sha256  TEXT NOT NULL,
    model        TEXT,                       -- these two only where the job has changed since
    body         TEXT,
    price        REAL,                       -- reserved before the submit; NULL: not known
    submitted_at REAL NOT NULL,              -- when the intent was recorded, before the POST
    request_id   TEXT UNIQUE,
    accepted_at  REAL,
    answer       TEXT,                       -- the raw answer to the submit, bounded
    result       TEXT,                       -- the raw final result, bounded
    cost         REAL,                       -- as the vendor's result says
    ended_at     REAL,
    outcome      TEXT CHECK (outcome IN (
                     'not_sent', 'throttled', 'halted', 'refused',           -- nothing was charged
                     'succeeded', 'failed', 'cancelled', 'lost',
                     'written_off', 'resubmitted')),                         -- was unknown
    error_code   TEXT,
    error        TEXT,
    PRIMARY KEY (job, number),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK ((request_id IS NULL) = (accepted_at IS NULL))
) STRICT, WITHOUT ROWID;

-- Promise 1 stands here too: while one attempt is open, no second one can begin.
CREATE UNIQUE INDEX one_open_attempt ON attempt (job) WHERE outcome IS NULL;

CREATE TABLE file (
    id          INTEGER PRIMARY KEY,
    job         INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    position    INTEGER NOT NULL,            -- in the vendor's order, from 1
    url         TEXT NOT NULL,
    name        TEXT NOT NULL,               -- claimed before the download: safe, no extension
    name_key    TEXT NOT NULL UNIQUE,
    path        TEXT,                        -- below the run's folder, once verified
    bytes       INTEGER,
    sha256      TEXT,
    media_type  TEXT,
    width       INTEGER,
    height      INTEGER,
    seconds     REAL,
    frames      INTEGER,
    verified_at REAL,
    UNIQUE (job, attempt, position),
    FOREIGN KEY (job, attempt) REFERENCES attempt (job, number),
    CHECK ((verified_at IS NULL) = (path IS NULL)),
    CHECK ((verified_at IS NULL) = (sha256 IS NULL))
) STRICT;
