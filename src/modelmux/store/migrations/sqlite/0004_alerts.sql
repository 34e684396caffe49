-- Thresholds that windows of budgets have reached. A row is the memory that one was told, so it is never deleted.

-- "data": JSON, what a webhook gets. "due": microseconds, when it is delivered next; NULL once it was. "tries": so many
-- deliveries have begun.
CREATE TABLE budget_alert (
    id TEXT PRIMARY KEY, budget TEXT NOT NULL, subject TEXT NOT NULL, start INTEGER NOT NULL, percent INTEGER NOT NULL,
    data TEXT NOT NULL, due INTEGER, tries INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX budget_alert_by_due ON budget_alert (due) WHERE due IS NOT NULL;
