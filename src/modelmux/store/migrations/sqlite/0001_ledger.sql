-- The ledger: one row a request, rows that correct others, and sums of both by a quarter of an hour, day and month.
-- Older SQLite libraries have to understand all of it: 3.34.

-- Texts that repeat are stored once, and rows refer to their numbers. Nothing is ever deleted from these tables.
CREATE TABLE ledger_key (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- What usage is reported by. No text is NULL: an empty one stands for none. "tags" has those that are reported by,
-- as JSON, [["app","chat"],["env","prod"]], or "other" (with its quotes) where a day has too many different ones.
CREATE TABLE ledger_series (
    number INTEGER PRIMARY KEY,
    key INTEGER NOT NULL REFERENCES ledger_key, person TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (key, person, team, model, tags)
);

-- How a request was served, and how it ended. "data" is MessagePack.
CREATE TABLE ledger_context (number INTEGER PRIMARY KEY, outcome TEXT NOT NULL, data BLOB NOT NULL UNIQUE);

-- "kind": 0 usage, 1 rerate, 2 void, 3 in_doubt, 4 resolve. "failed": counts as an error. "displaced": "at" and the time
-- in "id" are far apart. "tags": all of the request, unless they are those of its series. All costs are NULL if the price
-- is unknown. "rest" is MessagePack.
CREATE TABLE ledger (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    key INTEGER NOT NULL REFERENCES ledger_key,
    series INTEGER NOT NULL REFERENCES ledger_series,
    context INTEGER NOT NULL REFERENCES ledger_context,
    kind INTEGER NOT NULL, failed INTEGER NOT NULL, displaced INTEGER NOT NULL,
    corrects BLOB, end_user TEXT, tags TEXT,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER, cost_cache_write INTEGER, cost_cache_write_1h INTEGER, cost_cache_read INTEGER,
    cost_output INTEGER, cost_web_search INTEGER,
    rest BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX ledger_by_key ON ledger (key, id);
CREATE INDEX ledger_by_corrected ON ledger (corrects, id) WHERE corrects IS NOT NULL;
CREATE INDEX ledger_displaced ON ledger (id) WHERE displaced = 1;
CREATE INDEX ledger_displaced_by_time ON ledger (at, id) WHERE displaced = 1;

-- "slot": quarters of an hour since 1970 in UTC. All offsets of time zones are multiples of one.
CREATE TABLE usage_quarter (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_series,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;

-- "slot": days since 1970 in UTC.
CREATE TABLE usage_day (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_series,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;

-- "slot": months since January 1970 in UTC.
CREATE TABLE usage_month (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_series,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;

-- The sets of tags that a day (in UTC) has in its sums.
CREATE TABLE ledger_tag_set (day INTEGER NOT NULL, tags TEXT NOT NULL, PRIMARY KEY (day, tags)) WITHOUT ROWID;

-- One row. "dropped_before": microseconds; rows of before may have been dropped, their sums have not.
CREATE TABLE ledger_state (dropped_before INTEGER NOT NULL);
INSERT INTO ledger_state VALUES (-9223372036854775808);
