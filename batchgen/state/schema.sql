-- The memory of one run. Times are seconds since the epoch by the wall clock; money is USD.

-- Goes up with every change of this file: a state of any other version is refused.
PRAGMA user_version = 9;

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
    error      TEXT,
    priority   INTEGER NOT NULL DEFAULT 0,   -- higher goes first
    sweep      TEXT NOT NULL DEFAULT '',     -- the item that the job is one of many of
    gate       INTEGER NOT NULL DEFAULT 0 CHECK (gate IN (0, 1)),      -- dependants wait for approval
    approved   INTEGER NOT NULL DEFAULT 0 CHECK (approved IN (0, 1)),  -- by a person, for this result
    waiting    INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),        -- needs not satisfied yet
    needed     INTEGER NOT NULL DEFAULT 0 CHECK (needed IN (0, 1)),    -- by another job: goes first
    axes       TEXT NOT NULL DEFAULT '{}',   -- its place in the sweep: a JSON object, axis to value
    again_asked INTEGER NOT NULL DEFAULT 0 CHECK (again_asked IN (0, 1)), -- by a person: pay again
                                             -- if the open request has ended without files
    cause      TEXT                          -- why it is not done: equal where only names and figures
                                             -- differ; see causes.py and the trigger
) STRICT;

-- Counting and finding by state; `sweep` lets a canary see which sweeps are proven. The last two
-- let a live page see what changed without reading a single job.
CREATE INDEX job_by_state ON job (state, listed, model, sweep, attempts, approved);

-- What may be submitted, in the order of the submits; `sweep`, since some are held back.
CREATE INDEX job_due ON job (model, priority DESC, needed DESC, seq, sweep)
    WHERE state = 'pending' AND listed = 1 AND waiting = 0;

-- Causes are counted, and the jobs of one are found, without reading a message.
CREATE INDEX job_in_trouble ON job (cause, state, error_code, listed) WHERE cause IS NOT NULL;

-- `job` goes only after `needs` is done and, behind a gate, approved.
CREATE TABLE need (
    job   INTEGER NOT NULL REFERENCES job (seq),
    needs INTEGER NOT NULL REFERENCES job (seq),
    PRIMARY KEY (job, needs)
) STRICT, WITHOUT ROWID;

CREATE INDEX need_by_needs ON need (needs);

-- Attempts are only ever appended: a row is never deleted, and its number never used again.
CREATE TABLE attempt (
    job          INTEGER NOT NULL REFERENCES job (seq),
    number       INTEGER NOT NULL CHECK (number >= 1),
    body_sha256  TEXT NOT NULL,
    model        TEXT,                       -- these two only where the job has changed since
    body         TEXT,
    price        REAL,                       -- reserved before the submit; NULL: not known
    submitted_at REAL NOT NULL,              -- when the intent was recorded, before the POST
    -- 1 until the last chunk of a large body may go out: the vendor cannot have the request. A row
    -- that says nothing counts as sent, so whoever forgets this never pays twice.
    uploading    INTEGER NOT NULL DEFAULT 0 CHECK (uploading IN (0, 1)),
    request_id   TEXT UNIQUE,
    accepted_at  REAL,
    answer       TEXT,                       -- the raw answer to the submit, bounded
    result       TEXT,                       -- the raw final result, bounded
    cost         REAL,                       -- as the vendor's result says
    ended_at     REAL,
    outcome      TEXT CHECK (outcome IN (
                     'not_sent', 'throttled', 'halted', 'refused',           -- nothing was charged
                     'succeeded', 'failed', 'cancelled', 'lost',
                     'reused',                                               -- nothing was sent
                     'written_off', 'resubmitted')),                         -- was unknown
    error_code   TEXT,
    error        TEXT,
    reused_from  TEXT,                       -- JSON: which result of which run, see reuse.py
    reused_key   TEXT UNIQUE,                -- that result's own name: it serves one job of a run
    PRIMARY KEY (job, number),
    CHECK ((reused_from IS NULL) = (outcome IS NOT 'reused')),
    CHECK ((reused_from IS NULL) = (reused_key IS NULL)),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK ((request_id IS NULL) = (accepted_at IS NULL))
) STRICT, WITHOUT ROWID;

-- Promise 1, here too: while one attempt is open, no second one can begin.
CREATE UNIQUE INDEX one_open_attempt ON attempt (job) WHERE outcome IS NULL;

-- Covers every question about money: a million attempts are summed up without reading a row.
CREATE INDEX attempt_money ON attempt (outcome, cost, price);

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
    pick        TEXT CHECK (pick IN ('keep', 'reject')),   -- a person's, of exactly this file
    UNIQUE (job, attempt, position),
    FOREIGN KEY (job, attempt) REFERENCES attempt (job, number),
    CHECK ((verified_at IS NULL) = (path IS NULL)),
    CHECK ((verified_at IS NULL) = (sha256 IS NULL))
) STRICT;

CREATE INDEX file_by_pick ON file (job, attempt, position, pick) WHERE pick IS NOT NULL;

-- What a check found wrong with a file; `words` are for people.
CREATE TABLE flaw (
    file  INTEGER NOT NULL REFERENCES file (id),
    kind  TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (file, kind)
) STRICT, WITHOUT ROWID;

-- Jobs whose latest result a person has judged: one file that is kept keeps the job, and all have to
-- be rejected for it to be made again.
CREATE VIEW judged (seq, id, judgement) AS
SELECT seq, id, judgement FROM (
    SELECT job.seq, job.id, CASE
        WHEN max(file.pick = 'keep') THEN 'kept'
        WHEN count(*) = (SELECT count(*) FROM file AS any_file
                         WHERE any_file.job = job.seq AND any_file.attempt = job.attempts)
        THEN 'rejected' END AS judgement
    FROM file CROSS JOIN job ON job.seq = file.job AND job.attempts = file.attempt
    WHERE file.pick IS NOT NULL GROUP BY file.job
) WHERE judgement IS NOT NULL;

-- The result of checking an input image; `trouble` says why it cannot be used.
CREATE TABLE image (
    url        TEXT PRIMARY KEY,
    looked_at  REAL NOT NULL,
    media_type TEXT,
    width      INTEGER,
    height     INTEGER,
    bytes      INTEGER,
    trouble    TEXT
) STRICT, WITHOUT ROWID;

-- The triggers keep `waiting`, `needed` and `blocked` true, whatever changes a job. They rely on
-- PRAGMA recursive_triggers = OFF: each walks a whole chain in one statement, as deep as it is,
-- and must not fire again for the jobs that it changes half-way. CROSS JOIN keeps to the order in
-- which it is written: from a job to those that need it, never from all the jobs of a state.

-- As conditions.py::TROUBLED has it. A message is read once, when it is written. From the row as it
-- is, not from NEW: another trigger may have blocked the job in between.
CREATE TRIGGER trouble_has_a_cause AFTER UPDATE OF id, state, error_code, error ON job
WHEN NEW.cause IS NOT NULL OR NEW.state IN ('failed', 'cancelled', 'unknown', 'lost', 'blocked')
    OR (NEW.error_code IS NOT NULL AND NEW.state != 'done')
BEGIN
    UPDATE job SET cause = iif(
        state IN ('failed', 'cancelled', 'unknown', 'lost', 'blocked')
            OR (error_code IS NOT NULL AND state != 'done'),
        cause_key(id, state, error_code, error), NULL)
    WHERE seq = NEW.seq;
END;

CREATE TRIGGER approval_is_for_one_result AFTER UPDATE OF state ON job
WHEN NEW.state = 'submitting' AND NEW.approved
BEGIN
    UPDATE job SET approved = 0 WHERE seq = NEW.seq;
END;

CREATE TRIGGER need_is_satisfied_or_not AFTER UPDATE OF state, approved, gate ON job
WHEN (OLD.state = 'done' AND OLD.approved >= OLD.gate)
  != (NEW.state = 'done' AND NEW.approved >= NEW.gate)
BEGIN
    UPDATE job SET waiting = waiting + iif(NEW.state = 'done' AND NEW.approved >= NEW.gate, -1, 1)
    WHERE seq IN (SELECT job FROM need WHERE needs = NEW.seq);
END;

-- A job that ended without being done blocks the jobs that need it, and those that need them.
CREATE TRIGGER need_failed AFTER UPDATE OF state ON job
WHEN NEW.state IN ('failed', 'cancelled', 'lost', 'blocked')
 AND OLD.state NOT IN ('failed', 'cancelled', 'lost', 'blocked')
 AND EXISTS (SELECT 1 FROM need WHERE needs = NEW.seq)
BEGIN
    UPDATE job SET state = 'blocked', error_code = 'need_failed',
        error = 'it needs ' || cause.id || ', which is ' || cause.state
    FROM (
        WITH RECURSIVE reach (seq, via) AS (
            SELECT NEW.seq, NULL
            UNION
            SELECT need.job, need.needs FROM reach
            CROSS JOIN need ON need.needs = reach.seq
            CROSS JOIN job AS dependant ON dependant.seq = need.job AND dependant.state = 'pending'
        )
        SELECT reach.seq AS seq, min(via.id) AS id,
            iif(via.seq = NEW.seq, NEW.state, 'blocked') AS state
        FROM reach CROSS JOIN job AS via ON via.seq = reach.via GROUP BY reach.seq
    ) AS cause
    WHERE job.seq = cause.seq;
END;

-- It goes again, and so do those it blocked, except those that another need still blocks.
CREATE TRIGGER need_goes_again AFTER UPDATE OF state ON job
WHEN OLD.state IN ('failed', 'cancelled', 'lost', 'blocked')
 AND NEW.state NOT IN ('failed', 'cancelled', 'lost', 'blocked')
 AND EXISTS (SELECT 1 FROM need WHERE needs = NEW.seq)
BEGIN
    UPDATE job SET state = 'pending', error_code = NULL, error = NULL
    WHERE seq IN (
        WITH RECURSIVE reach (seq) AS (
            SELECT NEW.seq
            UNION
            SELECT need.job FROM reach
            CROSS JOIN need ON need.needs = reach.seq
            CROSS JOIN job AS dependant ON dependant.seq = need.job
                AND dependant.state = 'blocked' AND dependant.error_code = 'need_failed'
        ),
        stay (seq) AS (
            SELECT reach.seq FROM reach WHERE reach.seq != NEW.seq AND (
                SELECT 1 FROM need
                CROSS JOIN job AS needed ON needed.seq = need.needs
                    AND needed.state IN ('failed', 'cancelled', 'lost', 'blocked')
                WHERE need.job = reach.seq
                    AND (needed.seq = NEW.seq OR needed.seq NOT IN (SELECT seq FROM reach))
                -- One is enough, and found at once: those that go again do so from the first on.
                ORDER BY need.needs DESC LIMIT 1
            )
            UNION
            SELECT need.job FROM stay
            CROSS JOIN need ON need.needs = stay.seq
            WHERE need.job IN (SELECT seq FROM reach) AND need.job != NEW.seq
        )
        SELECT seq FROM reach WHERE seq != NEW.seq AND seq NOT IN (SELECT seq FROM stay)
    );
END;

-- A retry of a job whose need failed meanwhile. Not from `blocked`: need_goes_again sets a whole
-- chain going, and half-way through it a need may still look blocked.
CREATE TRIGGER pending_with_a_failed_need AFTER UPDATE OF state ON job
WHEN NEW.state = 'pending' AND OLD.state NOT IN ('pending', 'blocked')
 AND EXISTS (SELECT 1 FROM need WHERE job = NEW.seq)
BEGIN
    UPDATE job SET state = 'blocked', error_code = 'need_failed',
        error = 'it needs ' || cause.id || ', which is ' || cause.state
    FROM (
        SELECT min(needed.id) AS id, needed.state AS state
        FROM need CROSS JOIN job AS needed ON needed.seq = need.needs
        WHERE need.job = NEW.seq AND needed.state IN ('failed', 'cancelled', 'lost', 'blocked')
    ) AS cause
    WHERE seq = NEW.seq AND cause.id IS NOT NULL;
END;

CREATE TRIGGER need_comes AFTER INSERT ON need
WHEN EXISTS (SELECT 1 FROM job WHERE seq = NEW.needs
             AND NOT (state = 'done' AND approved >= gate))
BEGIN
    UPDATE job SET waiting = waiting + 1 WHERE seq = NEW.job;
    UPDATE job SET state = 'blocked', error_code = 'need_failed',
        error = 'it needs ' || needed.id || ', which is ' || needed.state
    FROM job AS needed
    WHERE job.seq = NEW.job AND job.state = 'pending' AND needed.seq = NEW.needs
        AND needed.state IN ('failed', 'cancelled', 'lost', 'blocked');
END;

CREATE TRIGGER need_makes_needed AFTER INSERT ON need
BEGIN
    UPDATE job SET needed = 1 WHERE seq = NEW.needs AND needed = 0;
END;

CREATE TRIGGER needed_by_none AFTER DELETE ON need
WHEN NOT EXISTS (SELECT 1 FROM need WHERE needs = OLD.needs)
BEGIN
    UPDATE job SET needed = 0 WHERE seq = OLD.needs;
END;

CREATE TRIGGER need_goes AFTER DELETE ON need
WHEN EXISTS (SELECT 1 FROM job WHERE seq = OLD.needs
             AND NOT (state = 'done' AND approved >= gate))
BEGIN
    UPDATE job SET waiting = waiting - 1 WHERE seq = OLD.job;
    UPDATE job SET state = 'pending', error_code = NULL, error = NULL
    WHERE seq = OLD.job AND state = 'blocked' AND error_code = 'need_failed'
        AND NOT EXISTS (
            SELECT 1 FROM need CROSS JOIN job AS needed ON needed.seq = need.needs
            WHERE need.job = OLD.job
                AND needed.state IN ('failed', 'cancelled', 'lost', 'blocked')
        );
END;
