-- usable from 4
-- Nodes that are alive, and what was booked of the leases of those that were lost. Times are microseconds of the clock of
-- this database, so those of the nodes do not matter.

-- "node": processes that count limits together. "lost_after": microseconds without a renewal after which another process
-- may end the leases. Both are NULL until the first renewal, and where the process has an older version, whose "seen" is
-- that of its own clock. "epoch": when the leases of the process began; it has another one after they were ended.
ALTER TABLE budget_holder ADD COLUMN node text, ADD COLUMN lost_after bigint, ADD COLUMN epoch bigint;

-- The rest of a lease that was booked as a row in doubt. It is a lease again when its process comes back, or its journal
-- is found: then a row that corrects this one takes the charge back, in the same transaction.
CREATE TABLE budget_lost_lease (
    holder text NOT NULL, budget text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, start bigint NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (holder, budget, subject, start)
);
