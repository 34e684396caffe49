"""Risk: teams make label sets without limit, or worker processes name one team by two labels."""

from __future__ import annotations

from modelmux.accounts.directory import Changes, Directory
from modelmux.telemetry.team_labels import TeamLabels, team_labels
from support.directories import key, team


def directory(count: int) -> Directory:
    teams = [team(f"team_{number:03}", f"Team {number}") for number in range(count)]
    keys = [key("key_a", "a", team="team_000"), key("key_b", "b")]
    return Directory().updated(Changes(version=1, teams=teams, keys=keys))


def test_a_team_has_its_name_and_those_beyond_the_limit_share_a_label() -> None:
    labels = TeamLabels(lambda: directory(5), 3)
    paths = ["", *(f"team_{number:03}" for number in range(5)), "team_004/team_001", "team_000/team_004", "team_gone"]
    shown = [labels.of_path(path) for path in paths]
    assert shown == ["none", "Team 0", "Team 1", "Team 2", "_other", "_other", "Team 1", "_other", "_other"]


def test_a_key_has_the_label_of_its_team() -> None:
    labels = TeamLabels(lambda: directory(1), 3)
    assert [labels.of_key(id) for id in ("key_a", "key_b", "key_gone", None)] == ["Team 0", "none", "none", "none"]


def test_a_team_that_is_renamed_has_its_new_name() -> None:
    class Feed:
        current = directory(1)

    labels = team_labels(Feed, 3)  # type: ignore[arg-type]
    assert labels is not None
    assert labels.of_path("team_000") == "Team 0"
    Feed.current = Feed.current.updated(Changes(version=2, teams=[team("team_000", "New")]))
    assert labels.of_path("team_000") == "New"
    assert team_labels(None, 3) is None
