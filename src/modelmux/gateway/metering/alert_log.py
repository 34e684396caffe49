"""The line of the log for what is told."""

from __future__ import annotations

from modelmux.accounts.alert_types import Alert, BudgetAlert, KeyAlert
from modelmux.telemetry import names
from modelmux.telemetry.log import Log


def log_alert(log: Log, alert: Alert) -> None:
    """Write it."""
    if isinstance(alert, BudgetAlert):
        log.warning(names.EVENT_BUDGET, message=alert.message, budget=alert.budget.id, percent=alert.percent)
    else:
        log.warning(names.EVENT_ALERT, message=alert.message, key=alert.key.id if isinstance(alert, KeyAlert) else None)
