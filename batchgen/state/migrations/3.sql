-- From version 2: the axes of sweeps, picks and flaws. Its texts are those of schema.sql as of version
-- 3, and stay as they are when that one goes on.

ALTER TABLE job ADD COLUMN axes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE file ADD COLUMN pick TEXT CHECK (pick IN ('keep', 'reject'));

DROP INDEX job_by_state;
CREATE INDEX job_by_state ON job (state, listed, model, sweep, attempts, approved);

CREATE INDEX file_by_pick ON file (job, attempt, position, pick) WHERE pick IS NOT NULL;

-- What a check found wrong with a file; `words` are for people.
CREATE TABLE flaw (
    file  INTEGER NOT NULL REFERENCES file (id),
    kind  TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (file, kind)
) STRICT, WITHOUT ROWID;

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

-- The next run reads the manifest again, though it is unchanged: the axes stand there alone.
DELETE FROM meta WHERE key = 'inputs';
