-- Changes that were asked for with an Idempotency-Key, so that a repetition makes none twice.

-- "name": of the principal and the key. "at": microseconds; rows are deleted a day later. "fingerprint": of the request.
-- "detail": what the change made beside its subject: the hash of a secret in hexadecimal digits, or the id of a top-up.
CREATE TABLE receipt (
    name TEXT PRIMARY KEY, at INTEGER NOT NULL, fingerprint BLOB NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX receipt_by_time ON receipt (at);
