-- The emulator's state. One row is one accepted submit, in order of acceptance.
CREATE TABLE IF NOT EXISTS requests (
    seq         INTEGER PRIMARY KEY,
    request_id  TEXT NOT NULL UNIQUE,
    model_id    TEXT NOT NULL,
    input       TEXT NOT NULL,          -- JSON, ASCII only
    outputs     INTEGER NOT NULL,       -- files it makes
    status      TEXT NOT NULL,          -- in_queue, succeeded, failed, cancelled
    usd         REAL NOT NULL,
    created_at  REAL NOT NULL,          -- seconds since 1970
    finished_at REAL,
    sticky_fault TEXT,                  -- the fault that shapes its end, as JSON
    error       TEXT                    -- why it failed, if an input of it could not be used
) STRICT;

CREATE INDEX IF NOT EXISTS unfinished ON requests (seq) WHERE finished_at IS NULL;

-- How often the result of an ended request was requested, for faults that count it.
CREATE TABLE IF NOT EXISTS result_calls (
    request_id TEXT PRIMARY KEY,
    count      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The bucket that it plays; the bytes are in the folder beside this file.
CREATE TABLE IF NOT EXISTS objects (
    key        TEXT PRIMARY KEY,
    sha256     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests for files that carried a token.
CREATE TABLE IF NOT EXISTS token_leaks (
    path TEXT NOT NULL,
    at   REAL NOT NULL
) STRICT;

-- Signs result URLs; kept so that URLs survive a restart.
CREATE TABLE IF NOT EXISTS signing_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key      BLOB NOT NULL
) STRICT;
