"""What is counted by the values of one tag; nothing where the configuration names none."""

from __future__ import annotations

from modelmux.accounts.attribution import Tags
from modelmux.telemetry import names
from modelmux.telemetry.counters import Counter
from modelmux.telemetry.records import ExchangeRecord
from modelmux.telemetry.tag_labels import TagLabels


class TagCounters:
    """:param labels: of the tag that is shown; None for none."""

    def __init__(self, labels: TagLabels | None) -> None:
        self._labels = labels
        self.requests, self.tokens, self.cost = self.all = tuple(
            Counter(name, names.METRICS[name].meaning, names.LABELS[name])
            for name in (names.METRIC_TAG_REQUESTS, names.METRIC_TAG_TOKENS, names.METRIC_TAG_COST)
        )

    def ended(self, record: ExchangeRecord) -> str | None:
        """Count a request. :returns: the label of its tokens; None if no tag is shown."""
        if self._labels is None:
            return None
        label = self._labels.of_record(record)
        self.requests.add(label, record.outcome)
        return label

    def charged(self, tags: Tags, usd: float) -> None:
        """Count what a request cost, by the tags of its row."""
        if self._labels is not None:
            self.cost.add_many(usd, self._labels.of_tags(tags))
