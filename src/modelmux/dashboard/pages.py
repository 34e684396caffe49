"""The tables of pages, actions and files: what is not here is not served. Signing in and out is in ``sign_in.py``."""

from __future__ import annotations

from typing import Final

from modelmux.dashboard import budgets, keys, live, records, settings
from modelmux.dashboard.costs import COSTS
from modelmux.dashboard.costs_file import COSTS_FILE
from modelmux.dashboard.models import MODELS
from modelmux.dashboard.overview import OVERVIEW
from modelmux.dashboard.page import Action, Download, Page, Tables
from modelmux.dashboard.playground import page as playground
from modelmux.dashboard.process_overview import PROCESS_OVERVIEW
from modelmux.dashboard.requests import BODIES, REQUEST, REQUESTS
from modelmux.dashboard.session import SESSION

PAGES: Final[tuple[Page, ...]] = (
    OVERVIEW, live.LIVE, live.LIVE_REQUEST, REQUESTS, REQUEST, BODIES, COSTS, keys.KEYS, keys.KEY,
    budgets.BUDGETS, budgets.BUDGET, MODELS, playground.PLAYGROUND, settings.SETTINGS, settings.PEOPLE,
    settings.AUDIT, SESSION,
)  # fmt: skip
ACTIONS: Final[tuple[Action, ...]] = (*live.ACTIONS, *keys.ACTIONS, *budgets.ACTIONS, *playground.ACTIONS)
DOWNLOADS: Final[tuple[Download, ...]] = (COSTS_FILE,)
#: What is served with accounts, and without. A page of both tables is the same; others show what the processes know.
WITH_ACCOUNTS: Final = Tables(PAGES, ACTIONS, DOWNLOADS)
WITHOUT_ACCOUNTS: Final = Tables(
    (
        PROCESS_OVERVIEW, live.LIVE_OF_PROCESS, live.LIVE_REQUEST, records.RECORDS, records.RECORD,
        records.RECORD_BODIES, MODELS, playground.PLAYGROUND, settings.SETTINGS, SESSION,
    ),
    (*live.ACTIONS, *playground.ACTIONS),
    (),
)  # fmt: skip
