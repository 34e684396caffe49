-- Sums over all keys and people: of teams, models and tags alone, of which there are few however many keys there are.

CREATE TABLE ledger_group (
    number INTEGER PRIMARY KEY, team TEXT NOT NULL, model TEXT NOT NULL, tags TEXT NOT NULL,
    UNIQUE (team, model, tags)
);
INSERT INTO ledger_group (team, model, tags) SELECT DISTINCT team, model, tags FROM ledger_series;

-- As "usage_quarter", "usage_day" and "usage_month", with the number of a group in place of a series.
CREATE TABLE group_quarter (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_group,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;
CREATE TABLE group_day (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_group,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;
CREATE TABLE group_month (
    slot INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_group,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL, thinking INTEGER NOT NULL, web_searches INTEGER NOT NULL,
    cost_input INTEGER NOT NULL, cost_cache_write INTEGER NOT NULL, cost_cache_write_1h INTEGER NOT NULL,
    cost_cache_read INTEGER NOT NULL, cost_output INTEGER NOT NULL, cost_web_search INTEGER NOT NULL,
    PRIMARY KEY (slot, series)
) WITHOUT ROWID;

CREATE TEMP TABLE group_of_series (series INTEGER PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO group_of_series SELECT s.number, g.number FROM ledger_series AS s
CROSS JOIN ledger_group AS g ON g.team = s.team AND g.model = s.model AND g.tags = s.tags;
INSERT INTO group_quarter
SELECT u.slot, g.number, sum(u.requests), sum(u.errors), sum(u.unpriced), sum(u.input), sum(u.cache_write),
    sum(u.cache_write_1h), sum(u.cache_read), sum(u.output), sum(u.thinking), sum(u.web_searches), sum(u.cost_input),
    sum(u.cost_cache_write), sum(u.cost_cache_write_1h), sum(u.cost_cache_read), sum(u.cost_output),
    sum(u.cost_web_search)
FROM usage_quarter AS u CROSS JOIN group_of_series AS g ON g.series = u.series GROUP BY 1, 2;
INSERT INTO group_day SELECT u.slot / 96, u.series, sum(u.requests), sum(u.errors), sum(u.unpriced), sum(u.input), sum(u.cache_write),
    sum(u.cache_write_1h), sum(u.cache_read), sum(u.output), sum(u.thinking), sum(u.web_searches), sum(u.cost_input),
    sum(u.cost_cache_write), sum(u.cost_cache_write_1h), sum(u.cost_cache_read), sum(u.cost_output),
    sum(u.cost_web_search)
FROM group_quarter AS u GROUP BY 1, 2;
INSERT INTO group_month
SELECT strftime('%Y', u.slot * 86400, 'unixepoch') * 12 + strftime('%m', u.slot * 86400, 'unixepoch') - 23641, u.series,
    sum(u.requests), sum(u.errors), sum(u.unpriced), sum(u.input), sum(u.cache_write),
    sum(u.cache_write_1h), sum(u.cache_read), sum(u.output), sum(u.thinking), sum(u.web_searches), sum(u.cost_input),
    sum(u.cost_cache_write), sum(u.cost_cache_write_1h), sum(u.cost_cache_read), sum(u.cost_output),
    sum(u.cost_web_search)
FROM group_day AS u GROUP BY 1, 2;
DROP TABLE group_of_series;

-- Usage of one person.
CREATE INDEX ledger_series_by_person ON ledger_series (person);
