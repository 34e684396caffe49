"""The label ``tag`` of metrics: values of one tag, as far as the configuration lists them."""

from __future__ import annotations

from modelmux.accounts.attribution import Tags, tags_of
from modelmux.config.metrics_check import check_metrics
from modelmux.config.metrics_schema import MetricsConfig
from modelmux.telemetry import names
from modelmux.telemetry.records import ExchangeRecord

_HEADER = b"x-modelmux-tags"


def tag_labels(settings: MetricsConfig) -> TagLabels | None:
    """None if no tag is to be shown. :raises ConfigError: the settings cannot be used."""
    check_metrics(settings)
    return None if settings.tag is None else TagLabels(settings.tag, frozenset(settings.tag_values))


class TagLabels:
    """
    :param name: of the tag. :param values: that have a label of their own.
    """

    def __init__(self, name: str, values: frozenset[str]) -> None:
        self._name = name
        self._values = values

    def of_tags(self, tags: Tags) -> str:
        """The label of a request with these tags."""
        value = dict(tags).get(self._name)
        if value is None:
            return names.NO_TAG
        return value if value in self._values else names.OTHER_TAGS

    def of_record(self, record: ExchangeRecord) -> str:
        """The label of a request: the tags of its key win, as in its row of the ledger."""
        forced = record.caller.tags
        if any(name == self._name for name, _ in forced):
            return self.of_tags(forced)
        sent = b",".join(value for name, value in record.headers if name == _HEADER).decode("latin-1")
        return self.of_tags(tags_of(sent or None, record.metadata)) if sent or record.metadata else names.NO_TAG
