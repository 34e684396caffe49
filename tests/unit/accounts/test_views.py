"""What is shown of records: the field names are those of the admin API and of ``--json``."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.edits import Edit
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Membership
from modelmux.accounts.views import (
    adjustment_view,
    budget_view,
    key_view,
    limit_view,
    person_view,
    plain,
    secret_views,
    team_view,
    team_views,
    window_form,
    window_view,
)
from modelmux.accounts.windows import Window, WindowRule
from support.directories import NOW, adjustment, applied, budget, directory_of, key, person, secret, team


def test_a_key() -> None:
    record = key(models=("fast",), tags=(("app", "chat"),), limits=Rates(rpm=5), expires=NOW)
    assert plain(key_view(record)) == {
        "id": "key_a", "name": "laptop", "status": "active", "team": None, "person": None, "models": ["fast"],
        "apis": [], "addresses": [], "tags": {"app": "chat"}, "limits": {"rpm": 5},
        "created_at": "2026-11-29T12:00:00Z", "created_by": "", "expires_at": "2026-11-29T12:00:00Z",
        "revoked_at": None, "capture": False, "managed": False,
    }  # fmt: skip
    (shown,) = secret_views([secret()])
    assert plain(shown) == {"hint": "one", "created_at": "2026-11-29T12:00:00Z", "valid_until": None}


def test_a_team_and_a_person() -> None:
    directory = directory_of(team(), person(), person("usr_b", "b@example.com"))
    members = (Membership(person="usr_a", team="team_a"), Membership(person="usr_b", team="team_a", role=None))
    directory = applied(directory, Edit(action="", subject="", memberships=members))
    assert plain(team_view(directory, team())) == {
        "id": "team_a", "name": "Data", "parent": None, "zone": None, "contact": None, "status": "active",
        "members": [{"person": "usr_a", "role": "member"}], "limits": {}, "managed": False,
    }  # fmt: skip
    others = [team("team_b", "Web"), team("team_c", "Ops")]
    assert team_views(directory, [team(), *others]) == [team_view(directory, one) for one in (team(), *others)]
    assert plain(person_view(person(limits=Rates(tpm=1)))) == {
        "id": "usr_a", "email": "ann@example.com", "name": "", "status": "active", "limits": {"tpm": 1},
        "managed": False,
    }  # fmt: skip


def test_a_budget_and_its_window() -> None:
    record = budget(limit=1_500_000_000, team="team_a", alerts=(50, 100))
    assert plain(budget_view(record)) == {
        "id": "bud_a", "name": "Data", "status": "active", "applies_to": {"team": "team_a"}, "limit": "1.5",
        "unit": "usd", "window": "month", "mode": "hard", "alerts": [0.5, 1.0], "on_short": "refuse",
        "reserve": "worst", "metric": False, "managed": False,
    }  # fmt: skip
    state = WindowState(subject="", window=Window(NOW, None), limit=10, spent=3, held=1)
    assert plain(window_view(record, state)) == {
        "subject": None, "start": "2026-11-29T12:00:00Z", "resets_at": None, "limit": "0.00000001",
        "spent": "0.000000003", "held": "0.000000001",
    }  # fmt: skip
    assert plain(adjustment_view(budget(unit="tokens"), adjustment(amount=-5, subject="x", until=NOW))) == {
        "id": "adj_a", "budget": "bud_a", "kind": "top_up", "subject": "x", "amount": "-5", "reason": "", "author": "",
        "created_at": "2026-11-29T12:00:00Z", "until": "2026-11-29T12:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (WindowRule(every="lifetime"), "lifetime"),
        (WindowRule(every="week", starts="sunday"), {"every": "week", "starts": "sunday"}),
        (WindowRule(every="day", zone="UTC", hour=6), {"every": "day", "zone": "UTC", "hour": 6}),
    ],
)
def test_a_window_is_a_word_where_that_says_it_all(rule: WindowRule, shown: Any) -> None:
    form = window_form(rule)
    assert (form if isinstance(form, str) else plain(form)) == shown


def test_a_limit() -> None:
    record = Limit(id="lim_a", name="slow", limits=Rates(rpm=1))
    assert plain(limit_view(record)) == {
        "id": "lim_a", "name": "slow", "status": "active", "applies_to": {}, "limits": {"rpm": 1}, "managed": False,
    }  # fmt: skip
