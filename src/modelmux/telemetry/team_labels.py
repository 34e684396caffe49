"""The label ``team`` of metrics: names of teams, a limited number of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Protocol

from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Team
from modelmux.telemetry import names


class HasDirectory(Protocol):
    """Where the directory of now is; the feed of a gateway is one."""

    current: Directory


def team_labels(feed: HasDirectory | None, most: int) -> TeamLabels | None:
    """Those of a gateway. :param feed: None without accounts."""
    return None if feed is None else TeamLabels(lambda: feed.current, most)


class TeamLabels:
    """
    :param directory: returns that of now.
    :param most: how many teams have a label of their own: the first ones by their ids, in every process the same. The
        others share ``_other``.
    """

    def __init__(self, directory: Callable[[], Directory], most: int) -> None:
        self._directory = directory
        self._most = most
        self._teams: Mapping[str, Team] | None = None  # those that the labels are of
        self._labels: Mapping[str, str] = {}

    def of_path(self, path: str) -> str:
        """:param path: ids from the topmost team down, joined by ``/``; empty without a team."""
        if not path:
            return names.NO_TEAM
        teams = self._directory().teams
        if teams is not self._teams:
            self._teams = teams
            self._labels = {id: teams[id].name for id in heapq.nsmallest(self._most, teams)}
        return self._labels.get(path.rpartition("/")[2], names.OTHER_TEAMS)

    def of_key(self, key: str | None) -> str:
        """:param key: id of a virtual key, or of none."""
        record = None if key is None else self._directory().keys.get(key)
        return names.NO_TEAM if record is None else self.of_path(record.team or "")
