"""Risk: a wrongly computed figure looks like any other."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench import payloads, report, stats

from modelmux.wire import anthropic, sse
from modelmux.wire.openai import chat_request


def test_percentiles() -> None:
    values = list(range(1, 101))
    assert [stats.percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 51, 100, 100]
    assert math.isnan(stats.percentile([], 0.5))


def test_median_and_spread() -> None:
    assert stats.median([3, 1, 2]) == 2
    assert stats.spread([90, 100, 120]) == pytest.approx(0.15)
    assert stats.spread([7]) == 0


@pytest.mark.parametrize("power", [0, 1, 2])
def test_exponent_of_growth(power: int) -> None:
    xs = [1, 10, 100, 1000]
    assert stats.exponent(xs, [5 * x**power for x in xs]) == pytest.approx(power)


def test_arrivals_do_not_wait_for_responses() -> None:
    due = stats.arrivals(500, 2)
    assert len(due) == 1000
    assert due[0] == 0
    assert due[-1] == pytest.approx(1.998)


def result(modelmux: list[float], nginx: list[float] = [10.0, 10.0, 10.0]) -> report.Result:  # noqa: B006 - read only
    row = report.Row("unary <1 kB>", "us", {"nginx": nginx, "ModelMux": modelmux}, {"ModelMux": 0.001})
    latency = report.Row("added", "ms", {"ModelMux": [0.4]})
    return report.Result({"python": "3"}, [row, latency])


def test_only_a_change_beyond_noise_is_a_regression() -> None:
    stored = result([100, 100, 100])
    assert report.regressions(result([110, 110, 110]), stored) == {}
    (message,) = report.regressions(result([130, 130, 130]), stored).values()
    assert "13.0 times nginx, was 10.0" in message
    assert report.regressions(result([130, 150, 110]), stored) == {}, "too noisy to be a regression"
    assert report.regressions(result([50, 50, 50]), stored) == {}


def test_the_table_has_all_figures_and_failures() -> None:
    text = report.table(result([98, 100, 102]))
    assert "| unary <1 kB> | us | 10.00 | 100 | 10.0 ± 0.2 |" in text
    assert "ModelMux 0.10 %" in text
    assert "| added | ms |  | 0.40 |  |" in text


def test_the_page_has_the_figures_and_the_environment_as_a_list() -> None:
    measured = result([98, 100, 102])
    text = report.page(measured)
    assert text.startswith(report.figures(measured))
    for key, value in measured.about.items():
        assert f"\n- *{key}*: {value.strip()}\n" in text
    assert "- *failed requests*: " in text
    assert "<sub>" not in text


def test_a_failed_row_has_no_figure() -> None:
    row = report.Row("stream", "us", {"Other": [5.0]}, {"Other": 1.0})
    assert "| stream | us | failed |" in report.table(report.Result({}, [row]))


def test_the_chart_is_well_formed() -> None:
    root = ET.fromstring(report.chart(result([98, 100, 102])))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "unary <1 kB>" in texts
    assert "ModelMux 100" in texts


def test_a_page_changes_only_between_its_markers() -> None:
    page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    assert report.replace_block(page, "new \\1\n") == "before\n<!-- bench -->\nnew \\1\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="markers"):
        report.replace_block("nothing", "x")


@pytest.mark.parametrize("size", [1_000, 40_000])
@pytest.mark.parametrize("messages", [1, 10, 101])
def test_requests_are_valid_chat_completions(size: int, messages: int) -> None:
    request, unknown = chat_request.decode_request_with_unknown(payloads.request(size, stream=True, messages=messages))
    assert unknown == []
    assert request.stream
    assert size * 0.9 < len(payloads.request(size, stream=False, messages=messages)) < size * 1.2 + 120 * messages


def test_replies_are_valid_messages() -> None:
    assert anthropic.decode_message(payloads.message()).stop_reason == "end_turn"
    events = [anthropic.decode_event(data) for data in sse.SSEDecoder().feed_data(payloads.stream(100))]
    assert [event.type for event in events[:3]] == ["message_start", "content_block_start", "ping"]
    assert sum(event.type == "content_block_delta" for event in events) == 100
    assert events[-1].type == "message_stop"
    json.loads(payloads.request(10, stream=False))
