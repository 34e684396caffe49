-- Keys, secrets, teams, people and memberships, and who changed them.

-- "data" is JSON: the record as in modelmux.accounts.records. "version" is that of the change that wrote it last, and
-- rises over all records, so that a process reads what has changed since it looked last. Nothing is ever deleted.
CREATE TABLE directory (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX directory_by_version ON directory (version);

-- One row a change. "before" and "after" are JSON objects of records by id, without digests of secrets.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, author TEXT NOT NULL, origin TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, number);
