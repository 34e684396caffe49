-- What each key and person cost, of blocks of days that are over, so that the most expensive of very many are found soon.

-- A key, person and team that series have. "series": one of them. "same_key", "same_person": the first owner with the same
-- key or person; NULL if it is this one.
CREATE TABLE ledger_owner (
    number INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES ledger_series, team TEXT NOT NULL,
    same_key INTEGER, same_person INTEGER
);
ALTER TABLE ledger_series ADD COLUMN owner INTEGER;

INSERT INTO ledger_owner (series, team) SELECT min(number), team FROM ledger_series GROUP BY key, person, team ORDER BY 1;
CREATE TEMP TABLE new_owner (
    key INTEGER NOT NULL, person TEXT NOT NULL, team TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (key, person, team)
) WITHOUT ROWID;
INSERT INTO new_owner
SELECT s.key, s.person, s.team, o.number FROM ledger_owner AS o CROSS JOIN ledger_series AS s ON s.number = o.series;
CREATE TEMP TABLE first_of_key (key INTEGER PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO first_of_key SELECT key, min(number) FROM new_owner GROUP BY key;
CREATE TEMP TABLE first_of_person (person TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO first_of_person SELECT person, min(number) FROM new_owner GROUP BY person;
UPDATE ledger_owner SET
    same_key = nullif((SELECT f.number FROM ledger_series AS s CROSS JOIN first_of_key AS f ON f.key = s.key
        WHERE s.number = ledger_owner.series), number),
    same_person = nullif((SELECT f.number FROM ledger_series AS s CROSS JOIN first_of_person AS f ON f.person = s.person
        WHERE s.number = ledger_owner.series), number);
UPDATE ledger_series SET owner = (SELECT n.number FROM new_owner AS n
    WHERE n.key = ledger_series.key AND n.person = ledger_series.person AND n.team = ledger_series.team);
DROP TABLE new_owner;
DROP TABLE first_of_key;
DROP TABLE first_of_person;
-- Of an older version of the program, which still runs while a newer one has migrated the file.
CREATE INDEX ledger_series_without_owner ON ledger_series (number) WHERE owner IS NULL;
CREATE INDEX ledger_owner_same_key ON ledger_owner (same_key) WHERE same_key IS NOT NULL;
CREATE INDEX ledger_owner_same_person ON ledger_owner (same_person) WHERE same_person IS NOT NULL;

-- "first": days since 1970; "days": how many. "owners": their numbers, 4 bytes each; "costs": nano-USD of each, 8 bytes;
-- all little-endian. "present": bit N is set if owner N has usage in these days.
CREATE TABLE cost_block (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL, days INTEGER NOT NULL,
    owners BLOB NOT NULL, costs BLOB NOT NULL, present BLOB NOT NULL,
    UNIQUE (first, days)
);
-- What came to a day after its blocks were made, and is not in them yet.
CREATE TABLE cost_late (
    day INTEGER NOT NULL, owner INTEGER NOT NULL REFERENCES ledger_owner, cost INTEGER NOT NULL,
    PRIMARY KEY (day, owner)
) WITHOUT ROWID;
-- Days since 1970: all days before it that have usage are in blocks, or in "cost_late".
ALTER TABLE ledger_sealed ADD COLUMN blocks_before INTEGER NOT NULL DEFAULT 0;
