-- From version 3: a person's wish for another submit, once the open request is known to have ended.

ALTER TABLE job ADD COLUMN again_asked INTEGER NOT NULL DEFAULT 0 CHECK (again_asked IN (0, 1));
