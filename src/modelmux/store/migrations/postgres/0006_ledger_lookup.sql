-- usable from 4
-- What partitions by day need before they are made: see the next migration.

-- Until the end of the transaction. Whoever comes waits behind one that waits for this lock, so each try is short, however
-- long a backup reads. These two functions are for the migrations alone, and the next one drops them.
CREATE FUNCTION ledger_lock_alone() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    usual text := current_setting('lock_timeout');
BEGIN
    LOCK TABLE ledger IN SHARE UPDATE EXCLUSIVE MODE; -- no one waits for this one, and an autovacuum ends for it after 1 s
    FOR try IN 1..200 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '500', true);
            LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', usual, true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(2);
        END;
    END LOOP;
    LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE NOWAIT;
END $$;
-- Give a new table the rights that roles have on another.
CREATE FUNCTION ledger_copy_rights(source regclass, target regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT a.* FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = source AND a.grantee <> c.relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON %s TO %s%s', one.privilege_type, target,
            CASE one.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(one.grantee)) END,
            CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
END $$;
SELECT ledger_lock_alone();

-- Rows of the ledger that are asked for otherwise than by their day: corrections, displaced rows, and requests without a
-- price. A trigger writes it, because nodes of an older version add rows, too. "priced": the cost is known.
CREATE TABLE ledger_lookup (
    day integer NOT NULL, id bytea NOT NULL, at bigint NOT NULL, series bigint NOT NULL,
    corrects bytea, displaced boolean NOT NULL, priced boolean NOT NULL,
    PRIMARY KEY (day, id)
);
CREATE INDEX ledger_lookup_by_corrected ON ledger_lookup (corrects, day, id) WHERE corrects IS NOT NULL;
CREATE INDEX ledger_lookup_displaced ON ledger_lookup (day, id) WHERE displaced;
CREATE INDEX ledger_lookup_by_time ON ledger_lookup (at, id) WHERE displaced;

SELECT ledger_copy_rights('ledger', 'ledger_lookup');

CREATE FUNCTION ledger_lookup_add() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO ledger_lookup (day, id, at, series, corrects, displaced, priced) VALUES
        (NEW.day, NEW.id, NEW.at, NEW.series, NEW.corrects, NEW.displaced, NEW.cost_input IS NOT NULL)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION ledger_lookup_delete() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM ledger_lookup WHERE day = OLD.day AND id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_lookup_add AFTER INSERT ON ledger FOR EACH ROW
    WHEN (NEW.corrects IS NOT NULL OR NEW.displaced OR NEW.cost_input IS NULL) EXECUTE FUNCTION ledger_lookup_add();
CREATE TRIGGER ledger_lookup_delete AFTER DELETE ON ledger FOR EACH ROW
    WHEN (OLD.corrects IS NOT NULL OR OLD.displaced OR OLD.cost_input IS NULL) EXECUTE FUNCTION ledger_lookup_delete();

-- The rows that there are become one partition, of all days before one in a month. That they are of those days is checked
-- by the next migration while others write, so the constraint has to be committed first. Its name has the day. From that
-- day on no row could be added, so the next migration has a month to succeed.
DO $$
DECLARE
    first_day integer := extract(epoch FROM now())::bigint / 86400 + 31;
BEGIN
    EXECUTE format('ALTER TABLE ledger ADD CONSTRAINT ledger_before_%1$s CHECK (day < %1$s) NOT VALID', first_day);
END $$;
