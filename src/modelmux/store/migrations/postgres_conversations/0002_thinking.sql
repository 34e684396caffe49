-- Thinking that came before tool calls, sealed with server.seal_keys. "key": a digest of an owner and the id of a call.
-- "expires_at": Unix seconds.
CREATE TABLE remembered_thinking (key bytea PRIMARY KEY, sealed bytea NOT NULL, expires_at double precision NOT NULL);
CREATE INDEX remembered_thinking_by_age ON remembered_thinking (expires_at);
ALTER TABLE remembered_thinking ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- One row: the size of the table above.
CREATE TABLE thinking_total (bytes bigint NOT NULL, entries bigint NOT NULL);
INSERT INTO thinking_total VALUES (0, 0);
