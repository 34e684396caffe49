-- usable from 4
-- after a commit
-- The ledger by days: a partition for each day, "ledger_day_N", that the gateway makes ahead; "ledger_default" for rows of
-- days that have none; and "ledger_before_N", the table of before, if it has rows. N: days since 1970 in UTC.

CREATE TABLE ledger_default (LIKE ledger INCLUDING ALL EXCLUDING CONSTRAINTS);

-- What reads or writes the ledger goes on during this block. Rows of days to come are from clocks that were wrong.
DO $$
DECLARE
    name text := (
        SELECT conname FROM pg_constraint WHERE conrelid = 'ledger'::regclass AND conname LIKE 'ledger\_before\_%'
    );
BEGIN
    WITH moved AS (DELETE FROM ledger WHERE day >= substr(name, length('ledger_before_') + 1)::integer RETURNING *)
    INSERT INTO ledger_default SELECT * FROM moved;
    EXECUTE format('ALTER TABLE ledger VALIDATE CONSTRAINT %I', name);
END $$;
INSERT INTO ledger_lookup (day, id, at, series, corrects, displaced, priced)
SELECT day, id, at, series, corrects, displaced, cost_input IS NOT NULL
FROM (SELECT * FROM ledger UNION ALL SELECT * FROM ledger_default) AS l
WHERE corrects IS NOT NULL OR displaced OR cost_input IS NULL
ON CONFLICT DO NOTHING;

-- From here on others wait; nothing reads rows any more.
SELECT ledger_lock_alone();
DROP TRIGGER ledger_lookup_add ON ledger;
DROP TRIGGER ledger_lookup_delete ON ledger;
ALTER TABLE ledger RENAME TO ledger_before;
ALTER INDEX ledger_pkey RENAME TO ledger_before_pkey;
ALTER INDEX ledger_by_key RENAME TO ledger_before_by_key;
ALTER INDEX ledger_by_corrected RENAME TO ledger_before_by_corrected;
ALTER INDEX ledger_displaced RENAME TO ledger_before_displaced;
ALTER INDEX ledger_displaced_by_time RENAME TO ledger_before_displaced_by_time;

CREATE TABLE ledger (LIKE ledger_default, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE INDEX ledger_by_key ON ledger (key, day, id);
CREATE INDEX ledger_by_corrected ON ledger (corrects, day, id) WHERE corrects IS NOT NULL;
CREATE INDEX ledger_displaced ON ledger (day, id) WHERE displaced;
CREATE INDEX ledger_displaced_by_time ON ledger (at, id) WHERE displaced;
SELECT ledger_copy_rights('ledger_before', 'ledger'), ledger_copy_rights('ledger_before', 'ledger_default');
ALTER TABLE ledger ATTACH PARTITION ledger_default DEFAULT;
DO $$
DECLARE
    name text := (
        SELECT conname FROM pg_constraint WHERE conrelid = 'ledger_before'::regclass AND conname LIKE 'ledger\_before\_%'
        AND contype = 'c'
    );
BEGIN
    IF EXISTS (SELECT FROM ledger_before)
        OR EXISTS (SELECT FROM pg_depend WHERE refobjid = 'ledger_before'::regclass AND classid = 'pg_rewrite'::regclass)
    THEN -- it has rows, or is in a view
        EXECUTE format('ALTER TABLE ledger_before RENAME TO %I', name);
        EXECUTE format(
            'ALTER TABLE ledger ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%s)',
            name, substr(name, length('ledger_before_') + 1)
        );
        EXECUTE format('ALTER TABLE %1$I DROP CONSTRAINT %1$I', name);
    ELSE
        DROP TABLE ledger_before;
    END IF;
END $$;
CREATE TRIGGER ledger_lookup_add AFTER INSERT ON ledger FOR EACH ROW
    WHEN (NEW.corrects IS NOT NULL OR NEW.displaced OR NEW.cost_input IS NULL) EXECUTE FUNCTION ledger_lookup_add();
CREATE TRIGGER ledger_lookup_delete AFTER DELETE ON ledger FOR EACH ROW
    WHEN (OLD.corrects IS NOT NULL OR OLD.displaced OR OLD.cost_input IS NULL) EXECUTE FUNCTION ledger_lookup_delete();
DROP FUNCTION ledger_lock_alone();
DROP FUNCTION ledger_copy_rights(regclass, regclass);
