-- What each series cost, of blocks of days that are over, in place of each key with its person and team: so the most expensive
-- groups by several dimensions, or of a model or a tag, are found soon, too. All blocks are made anew.

DROP TABLE cost_late;
DROP TABLE cost_block;
DROP TABLE ledger_owner;
DROP INDEX ledger_series_without_owner;
ALTER TABLE ledger_series DROP COLUMN owner;

-- "first": days since 1970; "days": how many. "series": their numbers, 4 bytes each; "costs": nano-USD of each, 8 bytes;
-- all little-endian. If "series" is empty, "costs" is one number with a sign, to which series N adds its cost times
-- 2 ** (64 * N). "present": bit N is set if series N has usage in these days.
CREATE TABLE cost_block (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL, days INTEGER NOT NULL,
    series BLOB NOT NULL, costs BLOB NOT NULL, present BLOB NOT NULL,
    UNIQUE (first, days)
);
-- What came to a day after its blocks were made, and is not in them yet.
CREATE TABLE cost_late (
    day INTEGER NOT NULL, series INTEGER NOT NULL REFERENCES ledger_series, cost INTEGER NOT NULL,
    PRIMARY KEY (day, series)
) WITHOUT ROWID;
UPDATE ledger_sealed SET blocks_before = 0;

-- What 4,096 series are of, from number "first" on: 4 bytes each, 0 for a number that no series has. "keys": numbers of
-- "ledger_key". "people": number of the first series with the same person. "groups": numbers of "ledger_group".
CREATE TABLE series_block (
    first INTEGER PRIMARY KEY, keys BLOB NOT NULL, people BLOB NOT NULL, groups BLOB NOT NULL
);
