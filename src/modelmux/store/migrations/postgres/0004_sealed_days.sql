-- Sums that are made once of a day that is over, so that reports read fewer: by hour, and by one dimension alone.

-- "slot": hours since 1970 in UTC. All else is as in "usage_quarter" and "group_quarter".
CREATE TABLE usage_hour (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);
CREATE TABLE group_hour (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);

-- All requests of one team, of one model or with one set of tags, and all there are. "kind": team, model, tags or all.
-- "digest": SHA-256 of the other columns.
CREATE TABLE ledger_slice (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE,
    kind text NOT NULL, value text NOT NULL
);

-- "series": the number of a slice. A report reads some slices over a long time, so they come first.
CREATE TABLE slice_quarter (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (series, slot)
) WITH (fillfactor = 70);
CREATE TABLE slice_hour (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (series, slot)
) WITH (fillfactor = 70);
CREATE TABLE slice_day (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (series, slot)
) WITH (fillfactor = 70);

-- One row. "before": days since 1970; of all days before it, these tables have what "usage_quarter" has. The gateway makes
-- them a day at a time, and adds to them what comes later.
CREATE TABLE ledger_sealed (before bigint NOT NULL);
INSERT INTO ledger_sealed VALUES (0);
