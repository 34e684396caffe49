-- The ledger: one row a request, rows that correct others, and sums of both by a quarter of an hour, day and month.

-- Texts that repeat are stored once, and rows refer to their numbers. Nothing is ever deleted from these tables. "digest":
-- SHA-256 of the other columns, because an index has no room for long texts.
CREATE TABLE ledger_key (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);

-- What usage is reported by. No text is NULL: an empty one stands for none. "tags" has those that are reported by,
-- as JSON, [["app","chat"],["env","prod"]], or "other" (with its quotes) where a day has too many different ones.
CREATE TABLE ledger_series (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE,
    key bigint NOT NULL, person text NOT NULL, team text NOT NULL, model text NOT NULL, tags text NOT NULL,
    "group" bigint NOT NULL
);
CREATE INDEX ledger_series_by_key ON ledger_series (key);
CREATE INDEX ledger_series_by_person ON ledger_series (person);

-- Series over all keys and people.
CREATE TABLE ledger_group (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE,
    team text NOT NULL, model text NOT NULL, tags text NOT NULL
);

-- How a request was served, and how it ended. "data" is MessagePack.
CREATE TABLE ledger_context (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE,
    outcome text NOT NULL, data bytea NOT NULL
);

-- "day": since 1970 in UTC, of the time within "id", a UUID of version 7. So rows are in the order of their ids, and
-- partitions by day can follow: their key has to have the day. "kind": 0 usage, 1 rerate, 2 void, 3 in_doubt, 4 resolve.
-- "failed": counts as an error. "displaced": "at" and the time in "id" are far apart. "end_user": "t" and UTF-8, or "h" or
-- "u" and bytes of hexadecimal digits. "tags": all of the request, unless they are those of its series. All costs are NULL
-- if the price is unknown. "rest" is MessagePack.
CREATE TABLE ledger (
    day integer NOT NULL, id bytea NOT NULL,
    at bigint NOT NULL, key bigint NOT NULL, series bigint NOT NULL, context bigint NOT NULL,
    kind smallint NOT NULL, failed boolean NOT NULL, displaced boolean NOT NULL,
    corrects bytea, end_user bytea, tags text,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint, cost_cache_write bigint, cost_cache_write_1h bigint, cost_cache_read bigint,
    cost_output bigint, cost_web_search bigint,
    rest bytea NOT NULL,
    PRIMARY KEY (day, id)
);
CREATE INDEX ledger_by_key ON ledger (key, day, id);
CREATE INDEX ledger_by_corrected ON ledger (corrects, day, id) WHERE corrects IS NOT NULL;
CREATE INDEX ledger_displaced ON ledger (day, id) WHERE displaced;
CREATE INDEX ledger_displaced_by_time ON ledger (at, id) WHERE displaced;

-- "slot": quarters of an hour since 1970 in UTC. All offsets of time zones are multiples of one. Pages have room, so that
-- sums which rise are written in their page.
CREATE TABLE usage_quarter (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);

-- "slot": days since 1970 in UTC.
CREATE TABLE usage_day (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);

-- "slot": months since January 1970 in UTC.
CREATE TABLE usage_month (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);

-- The same, with the number of a group in place of a series.
CREATE TABLE group_quarter (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);
CREATE TABLE group_day (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);
CREATE TABLE group_month (
    slot bigint NOT NULL, series bigint NOT NULL,
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    input bigint NOT NULL, cache_write bigint NOT NULL, cache_write_1h bigint NOT NULL, cache_read bigint NOT NULL,
    output bigint NOT NULL, thinking bigint NOT NULL, web_searches bigint NOT NULL,
    cost_input bigint NOT NULL, cost_cache_write bigint NOT NULL, cost_cache_write_1h bigint NOT NULL,
    cost_cache_read bigint NOT NULL, cost_output bigint NOT NULL, cost_web_search bigint NOT NULL,
    PRIMARY KEY (slot, series)
) WITH (fillfactor = 70);

-- The sets of tags that a day (in UTC) has in its sums.
CREATE TABLE ledger_tag_set (day bigint NOT NULL, digest bytea NOT NULL, PRIMARY KEY (day, digest));

-- One row. "dropped_before": microseconds; rows of before may have been dropped, their sums have not.
CREATE TABLE ledger_state (dropped_before bigint NOT NULL);
INSERT INTO ledger_state VALUES (-9223372036854775808);

-- Windows of budgets, and the leases of processes on them. All amounts are in the unit of the budget. Transactions lock
-- rows in the order of the key, in which texts are compared by their bytes.
-- "leased": the sum of all leases on the window. "spent" + "leased" is never above the limit, but for costs above their
-- holds. "recalled": microseconds; until then, who has a lease is asked to give back what it does not hold.
CREATE TABLE budget_window (
    budget text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, start bigint NOT NULL,
    spent bigint NOT NULL, leased bigint NOT NULL, recalled bigint NOT NULL,
    PRIMARY KEY (budget, subject, start)
) WITH (fillfactor = 70);

-- "amount" may be below 0, after costs above their holds. "holder": a process, see "budget_holder".
CREATE TABLE budget_lease (
    holder text NOT NULL, budget text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, start bigint NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (holder, budget, subject, start)
) WITH (fillfactor = 70);

-- "seen": microseconds, the last exchange of the process.
CREATE TABLE budget_holder (holder text PRIMARY KEY, seen bigint NOT NULL) WITH (fillfactor = 70);

-- Thresholds that windows of budgets have reached. A row is the memory that one was told, so it is never deleted.
-- "data": JSON, what a webhook gets. "due": microseconds, when it is delivered next; NULL once it was. "tries": so many
-- deliveries have begun.
CREATE TABLE budget_alert (
    id text PRIMARY KEY, budget text NOT NULL, subject text NOT NULL, start bigint NOT NULL, percent bigint NOT NULL,
    data text NOT NULL, due bigint, tries bigint NOT NULL
);
CREATE INDEX budget_alert_by_due ON budget_alert (due) WHERE due IS NOT NULL;
