-- Stored responses. Nothing in them can be read without server.seal_keys: "head", "data" are sealed, and each "key" is a
-- digest of an owner and an id. "used_at" is in Unix seconds.

-- "previous": the key of the response that it continues. "head": its body and ids. "item_bytes": before sealing.
CREATE TABLE stored_response (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE, previous bytea, head bytea NOT NULL,
    item_count bigint NOT NULL, item_bytes bigint NOT NULL, used_at double precision NOT NULL
);
CREATE INDEX stored_response_by_use ON stored_response (used_at, number);
-- What is sealed cannot be compressed.
ALTER TABLE stored_response ALTER COLUMN head SET STORAGE EXTERNAL;

-- The bytes of an item, once for each owner. "holders": rows of "stored_item" that have them.
CREATE TABLE stored_content (key bytea PRIMARY KEY, data bytea NOT NULL, holders bigint NOT NULL);
ALTER TABLE stored_content ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE stored_item (
    response bigint NOT NULL, position bigint NOT NULL, is_output boolean NOT NULL,
    key bytea NOT NULL, content bytea NOT NULL,
    PRIMARY KEY (response, position)
);
CREATE INDEX stored_item_by_key ON stored_item (key, is_output, response);

-- The sums of all rows are the size of the store. Each transaction changes one of them: few wait for each other.
CREATE TABLE stored_total (slot bigint PRIMARY KEY, bytes bigint NOT NULL, items bigint NOT NULL);
INSERT INTO stored_total SELECT slot, 0, 0 FROM generate_series(0, 15) AS slot;
