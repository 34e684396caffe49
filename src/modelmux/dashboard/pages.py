"""The tables of pages and actions: what is not here is not served. Signing in and out is in ``sign_in.py``."""

from __future__ import annotations

from typing import Final

from modelmux.dashboard import budgets, keys
from modelmux.dashboard.overview import OVERVIEW
from modelmux.dashboard.page import Action, Page
from modelmux.dashboard.requests import REQUEST, REQUESTS
from modelmux.dashboard.session import SESSION

PAGES: Final[tuple[Page, ...]] = (
    OVERVIEW, REQUESTS, REQUEST, keys.KEYS, keys.KEY, budgets.BUDGETS, budgets.BUDGET, SESSION,
)  # fmt: skip
ACTIONS: Final[tuple[Action, ...]] = (*keys.ACTIONS, *budgets.ACTIONS)
