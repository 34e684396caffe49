-- Windows of budgets, and the leases of processes on them. All amounts are in the unit of the budget.

-- "leased": the sum of all leases on the window. "spent" + "leased" is never above the limit, but for costs above their
-- holds. "recalled": microseconds; until then, who has a lease is asked to give back what it does not hold.
CREATE TABLE budget_window (
    budget TEXT NOT NULL, subject TEXT NOT NULL, start INTEGER NOT NULL,
    spent INTEGER NOT NULL, leased INTEGER NOT NULL, recalled INTEGER NOT NULL,
    PRIMARY KEY (budget, subject, start)
) WITHOUT ROWID;

-- "amount" may be below 0, after costs above their holds. "holder": a process, see "budget_holder".
CREATE TABLE budget_lease (
    holder TEXT NOT NULL, budget TEXT NOT NULL, subject TEXT NOT NULL, start INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (holder, budget, subject, start)
) WITHOUT ROWID;

-- "seen": microseconds, the last exchange of the process.
CREATE TABLE budget_holder (holder TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
