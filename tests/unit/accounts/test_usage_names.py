"""Risk: a name of another record stands beside an id, or an id without a name breaks a report."""

from modelmux.accounts.usage_names import name_of, names_of
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from support.directories import directory_of, key, person, team

DIRECTORY = directory_of(team("team_a", "Org"), team("team_b", "Data", parent="team_a"), person(), key())


def test_names_of_what_the_directory_has() -> None:
    for dimension, value, name in (
        ("key", "key_a", "laptop"), ("key", "static_1", None), ("key", None, None), ("team", "team_a", "Org"),
        ("team", "team_a/team_b", "Data"), ("team", "team_a/team_c", None), ("person", "usr_a", "ann@example.com"),
        ("person", "usr_b", None), ("model", "key_a", None),
    ):  # fmt: skip
        assert name_of(DIRECTORY, dimension, value) == name, (dimension, value)


def test_names_of_a_report() -> None:
    query = UsageQuery(start=0, end=1, group_by=("model", "team"))
    rows = [UsageRow(start=0, group=("m", "team_a/team_b")), UsageRow(start=0, group=("m", None))]
    assert names_of(DIRECTORY, query, rows) == {("team", "team_a/team_b"): "Data"}
