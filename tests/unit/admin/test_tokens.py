"""Risk: a text that is not a token is one, or a token has the rights of another."""

from __future__ import annotations

from modelmux.accounts.directory import Directory
from modelmux.accounts.roles import Principal
from modelmux.admin.tokens import authenticator
from modelmux.config import Config
from support.directories import directory_of, team

TOKENS = [
    {"name": "grafana", "token": "token-of-grafana", "role": "viewer"},
    {"name": "lead", "token": "token-of-the-lead", "role": "team_admin", "team": "data"},
    {"name": "other", "token": "token-of-another", "role": "team_admin", "team": "nowhere"},
]


def test_each_token_has_its_own_rights() -> None:
    admin = Config.from_dict({"admin": {"token": "token-of-the-owner", "tokens": TOKENS}}).admin
    directory = directory_of(team())
    authenticate = authenticator(admin, lambda: directory)
    assert authenticate("token-of-the-owner") == Principal(name="owner", role="owner")
    assert authenticate("token-of-grafana") == Principal(name="grafana", role="viewer")
    assert authenticate("token-of-the-lead") == Principal(name="lead", role="team_admin", teams=("team_a",))
    assert authenticate("token-of-another") == Principal(name="other", role="team_admin"), (
        "a team that there is not yet"
    )
    for text in ("", "token-of-the-owne", "token-of-the-owner ", "TOKEN-OF-THE-OWNER", "é\udcff"):
        assert authenticate(text) is None


def test_a_team_that_was_made_later_counts() -> None:
    admin = Config.from_dict({"admin": {"tokens": TOKENS}}).admin
    directory = Directory()
    authenticate = authenticator(admin, lambda: directory)
    assert authenticate("token-of-the-lead") == Principal(name="lead", role="team_admin")
    directory = directory_of(team())
    assert authenticate("token-of-the-lead") == Principal(name="lead", role="team_admin", teams=("team_a",))


def test_without_tokens_no_text_is_one() -> None:
    authenticate = authenticator(Config().admin, Directory)
    assert authenticate("") is None
    assert authenticate("owner") is None
