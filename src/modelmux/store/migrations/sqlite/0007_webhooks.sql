-- Alerts of all types, and what each webhook gets of them.

-- A row is the memory that something was told, so it is never deleted. "type": as in modelmux.accounts.alert_types, whose
-- JSON "data" is. "due": microseconds; from then on it is logged and given to the webhooks; NULL once it was.
CREATE TABLE alert (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, data TEXT NOT NULL, due INTEGER);
CREATE INDEX alert_by_due ON alert (due) WHERE due IS NOT NULL;
INSERT INTO alert (id, type, data, due)
SELECT id, 'budget.threshold', data, due FROM budget_alert ORDER BY due, percent, id;
DROP TABLE budget_alert;

-- One row for each alert and webhook. "due": microseconds, when it is sent next; NULL once it was, or was given up.
-- "tries": attempts that have begun. "tried", "status" and "problem": of the last one; no problem means delivered.
CREATE TABLE webhook_delivery (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, webhook TEXT NOT NULL, alert TEXT NOT NULL REFERENCES alert (id),
    created INTEGER NOT NULL, due INTEGER, tries INTEGER NOT NULL DEFAULT 0, tried INTEGER, status INTEGER, problem TEXT
);
CREATE INDEX webhook_delivery_by_due ON webhook_delivery (due) WHERE due IS NOT NULL;
CREATE INDEX webhook_delivery_by_webhook ON webhook_delivery (webhook, number);
CREATE INDEX webhook_delivery_by_time ON webhook_delivery (created);
