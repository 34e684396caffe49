-- Sums that are made once of a day that is over, so that reports read fewer: by hour, and by one dimension alone.

-- "slot": hours since 1970 in UTC. All else is as in "usage_quarter" and "group_quarter".
CREATE TABLE usage_hour (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_series,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;
CREATE TABLE group_hour (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_group,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;

-- All requests of one team, of one model or with one set of tags, and all there are. "kind": team, model, tags or all.
CREATE TABLE ledger_slice (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, value));
-- "series": the number of a slice. A report reads some slices over a long time, so they come first.
CREATE TABLE slice_quarter (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_slice,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (series, slot)
) WITHOUT ROWID;
CREATE TABLE slice_hour (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_slice,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (series, slot)
) WITHOUT ROWID;
CREATE TABLE slice_day (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_slice,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (series, slot)
) WITHOUT ROWID;

-- One row. "before": days since 1970; of all days before it, these tables have what "usage_quarter" has. The gateway makes
-- them a day at a time, and adds to them what comes later.
CREATE TABLE ledger_sealed (before INTEGER NOT NULL);
INSERT INTO ledger_sealed VALUES (0);
