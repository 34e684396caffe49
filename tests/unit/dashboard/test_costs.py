"""Risk: a report adds up what is not in it, says another period than it has, shows others' costs, or its file of cells
runs in a spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.edits import save_key, save_team
from modelmux.accounts.records import Key, Team
from modelmux.admin import usage
from modelmux.dashboard import costs, costs_file
from modelmux.store.base import StoreFailed
from support.admin import organisation
from support.asgi import Response
from support.dashboard import HOST, Browser, text_of
from support.directories import NOW
from support.entries import at, entry
from support.log_lines import Lines

DAY = 86_400_000_000
USD = 10**9


def spent(when: int | str, usd: float, **fields: Any) -> Any:
    cost = Cost(input=round(usd * USD))
    return entry(when, **({"key": "key_own", "counts": TokenCounts(input=1000, output=10), "cost": cost} | fields))


def file_rows(response: Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.body.decode(), newline="")))


async def some_costs(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        spent("2026-11-02T10:00", 2, team="team_top/team_own", person="usr_own", tags=(("app", "chat"),)),
        spent("2026-11-08T10:00", 1, team="team_top/team_own", person="usr_own", model="claude-haiku-4-5"),
        spent("2026-11-09T23:30", 4, team="team_top/team_other", person="usr_other", key="key_other"),
        spent("2026-11-20T10:00", 1, key="key_free", tags=(("app", "a,b"),)),
        spent("2026-12-01T00:00", 9, key="key_free"),
    ])  # fmt: skip


NOVEMBER = "start=2026-11-01&end=2026-12-01"


async def test_the_groups_and_the_days_add_up_to_the_total(browser: Browser) -> None:
    await some_costs(browser)
    await browser.sign_in()
    for by, names in {
        "team": ["other", "own", None], "key": ["other", "own", "free"],
        "model": ["claude-opus-5-5", "claude-haiku-4-5"],
        "person": ["other@example.com", "own@example.com", None], "tag:app": [None, "chat", "a,b"],
    }.items():  # fmt: skip
        data = await browser.data(f"/dashboard/costs?by={by}&{NOVEMBER}")
        assert [one["name"] for one in data["groups"]] == names, by
        assert (data["total"]["requests"], data["total"]["cost"]["amount"]) == (4, "8")
        for rows in (data["groups"], data["buckets"]):
            assert sum(float(one["cost"]["amount"]) for one in rows) == 8
            assert sum(one["requests"] for one in rows) == 4
        assert data["rest"] is None


@pytest.mark.parametrize(
    ("bucket", "zone", "labels"),
    [
        ("1d", "UTC", {"2026-11-02": "2", "2026-11-08": "1", "2026-11-09": "4", "2026-11-20": "1"}),
        ("1d", "Europe/Berlin", {"2026-11-02": "2", "2026-11-08": "1", "2026-11-10": "4", "2026-11-20": "1"}),
        ("1w", "UTC", {"2026-11-02": "3", "2026-11-09": "4", "2026-11-16": "1"}),
        ("1mo", "UTC", {"2026-11": "8"}),
    ],
)
async def test_days_weeks_and_months_are_those_of_the_zone(
    browser: Browser, bucket: str, zone: str, labels: dict[str, str]
) -> None:
    await some_costs(browser)
    await browser.sign_in()
    path = f"/dashboard/costs?bucket={bucket}&zone={zone}&{NOVEMBER}"
    data = await browser.data(path)
    assert {one["label"]: one["cost"]["amount"] for one in data["buckets"] if one["requests"]} == labels
    assert (data["zone"], data["first_day"], data["last_day"]) == (zone, "2026-11-01", "2026-11-30")
    text = text_of(await browser.page(path))
    assert f"2026-11-01 to 2026-11-30, by the clock of {zone}" in text
    assert f"Highest: {max(labels, key=lambda one: float(labels[one]))}" in text


async def test_an_hour_and_a_period_without_usage(browser: Browser) -> None:
    await browser.sign_in()
    for query in ("", "?bucket=1h", "?bucket=1w", "?bucket=1mo", "?by=tag:app"):
        data = await browser.data(f"/dashboard/costs{query}")
        assert (data["groups"], data["total"]["requests"]) == ([], 0)
        assert "Nothing was used in this time." in text_of(await browser.page(f"/dashboard/costs{query}"))


async def test_a_group_leads_to_its_requests_and_to_its_parts(browser: Browser) -> None:
    await some_costs(browser)
    await browser.sign_in()
    for by in ("team", "key", "model", "person", "tag:app"):
        html = await browser.page(f"/dashboard/costs?by={by}&zone=Europe/Berlin&{NOVEMBER}")
        links = [unescape(one) for one in re.findall(r'href="(/dashboard/requests\?[^"]*)"', html)]
        data = await browser.data(f"/dashboard/costs?by={by}&zone=Europe/Berlin&{NOVEMBER}")
        linked = [one for one in data["groups"] if one["name"] not in (None, "a,b")]
        assert len(links) == len(linked) > 0
        for link, group in zip(links, linked, strict=True):
            assert len((await browser.data(link))["data"]) == group["requests"], link
        parts = [unescape(one) for one in re.findall(r'<th scope="row"><a href="(/dashboard/costs\?[^"]*)"', html)]
        assert len(parts) == len(linked)
        for link, group in zip(parts, linked, strict=True):
            data = await browser.data(link)
            assert (data["by"], data["total"]["cost"]) == ("team" if by == "model" else "model", group["cost"])


async def test_filters_are_in_the_address_and_problems_are_said(browser: Browser) -> None:
    await some_costs(browser)
    await browser.sign_in()
    data = await browser.data(f"/dashboard/costs?by=model&team=own&{NOVEMBER}&person=")
    assert data["filters"] == {"team": "own", "start": "2026-11-01", "end": "2026-12-01"}
    assert [one["name"] for one in data["groups"]] == ["claude-opus-5-5", "claude-haiku-4-5"]
    for query in ("by=outcome", "bucket=2h", "zone=Mars", "start=soon", "end=1990-01-01", "team=nobody", "tag=x",
                  "start=1971-01-01&bucket=1d"):  # fmt: skip
        html = await browser.page(f"/dashboard/costs?{query}")
        assert 'role="alert"' in html, query
        assert "Nothing was used" not in html
        response = await browser.get(f"/dashboard/costs.csv?{query}")
        assert response.status == 400, query


async def test_a_tag_that_is_not_added_up_is_said_so(browser: Browser) -> None:
    await browser.sign_in()
    assert "not added up by tag odd" in text_of(await browser.page("/dashboard/costs?by=tag:odd"))


async def test_the_periods_of_the_page_are_those_of_its_zone(browser: Browser) -> None:
    browser.admin.time = at("2026-11-30T23:30")
    await browser.sign_in()
    html = await browser.page("/dashboard/costs?zone=Europe/Berlin&by=key&team=")
    (link,) = re.findall(r'href="([^"]*)"[^>]*>this month<', html)
    data = await browser.data(unescape(link))
    assert (data["first_day"], data["last_day"], data["by"]) == ("2026-12-01", "2026-12-31", "key")
    assert ">this month</a>" in (await browser.page(unescape(link)))
    assert re.search(r'aria-current="true">this month<', await browser.page(unescape(link)))


async def test_many_groups_are_a_rest(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_MOST", 2)
    await some_costs(browser)
    await browser.sign_in()
    data = await browser.data(f"/dashboard/costs?by=key&{NOVEMBER}")
    assert [one["name"] for one in data["groups"]] == ["other", "own"]
    rest = {"groups": 1, "requests": 1, "cost": {"amount": "1", "currency": "USD"}}
    assert rest.items() <= data["rest"].items()
    assert "1 more" in text_of(await browser.page(f"/dashboard/costs?by=key&{NOVEMBER}"))


async def test_a_member_sees_its_own_costs_in_every_form(browser: Browser) -> None:
    await some_costs(browser)
    await browser.sign_in_person("usr_own", "member")
    for by in ("", "&by=team", "&by=key", "&by=person", "&by=model"):
        data = await browser.data(f"/dashboard/costs?{NOVEMBER}{by}")
        assert data["total"]["cost"]["amount"] == "3"
        text = text_of(await browser.page(f"/dashboard/costs?{NOVEMBER}{by}"))
        assert "other" not in text.replace("each other", ""), by
        rows = file_rows(await browser.get(f"/dashboard/costs.csv?{NOVEMBER}{by}"))
        assert sum(float(row["cost_usd"]) for row in rows) == 3
    assert (await browser.data(f"/dashboard/costs?{NOVEMBER}"))["by"] == "key"
    for foreign in ("person=usr_other", "key=other", "team=top"):
        assert (await browser.data(f"/dashboard/costs?{NOVEMBER}&{foreign}"))["total"] is None


async def test_a_viewer_is_offered_no_people(browser: Browser) -> None:
    await some_costs(browser)
    html = (await browser.get(f"/dashboard/costs?{NOVEMBER}", authorization="Bearer token-viewer")).body.decode()
    assert 'name="key"' not in html
    assert 'name="person"' not in html
    assert "/dashboard/requests" not in html
    assert "own" in text_of(html)


async def test_the_file_has_a_row_for_each_group_of_each_day(browser: Browser) -> None:
    await some_costs(browser)
    await browser.sign_in()
    response = await browser.get(f"/dashboard/costs.csv?by=team&zone=Europe/Berlin&{NOVEMBER}")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="modelmux-costs.csv"'
    rows = file_rows(response)
    assert [(row["start"], row["team"], row["team_name"], row["cost_usd"]) for row in rows] == [
        ("2026-11-02T00:00:00+01:00", "team_own", "own", "2"), ("2026-11-08T00:00:00+01:00", "team_own", "own", "1"),
        ("2026-11-10T00:00:00+01:00", "team_other", "other", "4"), ("2026-11-20T00:00:00+01:00", "", "", "1"),
    ]  # fmt: skip
    figures = [rows[0][name] for name in ("requests", "input", "output", "zone")]
    assert figures == ["1", "1000", "10", "Europe/Berlin"]
    html = await browser.page(f"/dashboard/costs?by=team&zone=Europe/Berlin&{NOVEMBER}")
    (link,) = re.findall(r'href="(/dashboard/costs\.csv\?[^"]*)"', html)
    assert (await browser.get(unescape(link))).body == response.body
    assert (await browser.post("/dashboard/costs.csv")).status == 405
    assert (await browser.get("/dashboard/costs.csv", "HEAD")).body == b""


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "@x", "+1", "-1"])
async def test_a_spreadsheet_runs_no_name(browser: Browser, text: str) -> None:
    admin = browser.admin
    await admin.edit(lambda d: save_team(d, Team(id="team_x", name=text)))
    await admin.edit(lambda d: save_key(d, Key(id="key_x", name=text, team="team_x", created=NOW)))
    await admin.ledger.append([spent(NOW, 1, key="key_x", team="team_x", tags=(("app", text),))])  # type: ignore[attr-defined]
    await browser.sign_in()
    for by, name in (("team", "team_name"), ("key", "key_name"), ("tag:app", "tag:app")):
        rows = file_rows(await browser.get(f"/dashboard/costs.csv?{urlencode({'by': by})}"))
        assert [row[name] for row in rows] == ["'" + text]


async def test_prices_that_are_unknown_and_costs_below_zero_are_shown(browser: Browser) -> None:
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        spent(NOW, -1), spent(NOW + DAY, 0, price="", model="claude-new", outcome="ok"),
    ])  # fmt: skip
    await browser.sign_in()
    html = await browser.page("/dashboard/costs?by=model")
    assert "-$1.00" in text_of(html)
    assert not re.search(r'(?:width|height)="-', html)


@pytest.mark.parametrize("by", ["team,model", "team,", "key,key"])
async def test_more_than_one_dimension_is_refused(browser: Browser, by: str) -> None:
    await some_costs(browser)
    await browser.sign_in()
    for path in ("/dashboard/costs", "/dashboard/costs.csv"):
        assert (await browser.get(f"{path}?by={by}&{NOVEMBER}")).status == 400


async def many_costs(browser: Browser, days: int, keys: int) -> None:
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        spent(f"2026-11-{day:02d}T10:00", day, key=f"key_{number:02d}")
        for day in range(1, days + 1)
        for number in range(keys if day > 3 else 1)
    ])  # fmt: skip


def counted(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each report by group that is read from now on."""
    read, counts = browser.admin.ledger.usage, []

    async def counting(query: Any, most: int) -> Any:
        rows = await read(query, most)
        if query.group_by:
            counts.append(len(rows))
        return rows

    monkeypatch.setattr(browser.admin.ledger, "usage", counting)
    return counts


def counted_pages(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Groups of each page at most, of those that are read from now on."""
    read, limits = browser.admin.ledger.usage_page, []

    async def counting(query: Any, after: Any, limit: int) -> Any:
        limits.append(limit)
        return await read(query, after, limit)

    monkeypatch.setattr(browser.admin.ledger, "usage_page", counting)
    return limits


@pytest.mark.parametrize("bucket", ["1h", "1d", "1w", "1mo"])
async def test_a_file_that_is_longer_than_a_piece_has_all_rows_once(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    await many_costs(browser, 28, 20)
    await browser.sign_in()
    path = f"/dashboard/costs.csv?by=key&bucket={bucket}&zone=Asia/Kolkata&{NOVEMBER}"
    whole = await browser.get(path)
    for name, most in (("_OF_PIECE", 30), ("_OF_CHUNK", 7)):
        monkeypatch.setattr(costs_file, name, most)
    counts = counted(browser, monkeypatch)
    response = await browser.get(path)
    assert response.complete
    assert response.body == whole.body
    assert sum(counts) == len(file_rows(response)) > 60 or bucket == "1mo"
    assert max(part.count(b"\r\n") for part in response.parts) <= 8
    assert sum(count > 2 * 30 for count in counts) <= 1, counts  # that after the days with one key


async def test_a_file_is_read_no_faster_than_it_is_taken(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await many_costs(browser, 28, 20)
    await browser.sign_in()
    monkeypatch.setattr(costs_file, "_OF_PIECE", 20)
    counts = counted(browser, monkeypatch)
    taken, released, parts = asyncio.Event(), asyncio.Event(), []

    async def send(message: dict[str, Any]) -> None:
        parts.append(message)
        if len(parts) == 4:
            taken.set()
            await released.wait()

    request = {
        "type": "http", "method": "GET", "path": "/dashboard/costs.csv", "query_string": f"by=key&{NOVEMBER}".encode(),
        "headers": [(b"host", HOST.encode()), (b"cookie", f"modelmux_session={browser.session}".encode())],
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    task = asyncio.create_task(browser.listener(request, asyncio.Event().wait, send))
    await taken.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    read_before = len(counts)
    released.set()
    await task
    assert read_before <= 4 < len(counts)
    assert parts[-1] == {"type": "http.response.body", "body": b""}


async def test_a_file_that_fails_has_no_end(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await many_costs(browser, 28, 20)
    await browser.sign_in()
    monkeypatch.setattr(costs_file, "_OF_PIECE", 20)
    browser.admin.app.dispatcher.log = log = Lines()  # type: ignore[assignment]
    counts = counted(browser, monkeypatch)
    read = browser.admin.ledger.usage

    async def failing(query: Any, most: int) -> Any:
        if len(counts) == 5:
            raise StoreFailed("the disk is full")
        return await read(query, most)

    monkeypatch.setattr(browser.admin.ledger, "usage", failing)
    response = await browser.get(f"/dashboard/costs.csv?by=key&{NOVEMBER}")
    assert (response.status, response.complete) == (200, False)
    assert "the disk is full" in str(log.lines)


async def test_a_bucket_with_too_many_groups_is_read_in_pages(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many_costs(browser, 8, 20)
    await browser.sign_in()
    path = f"/dashboard/costs.csv?by=key&{NOVEMBER}"
    whole = await browser.get(path)
    assert len(file_rows(whole)) == 103
    monkeypatch.setattr(costs_file, "_OF_PAGE", 3)
    for most, pages in ((19, 5 * 7 + 1), (20, 0)):  # also the day after those five
        for module in (usage, costs_file):
            monkeypatch.setattr(module, "MOST_RESULTS", most)
        limits = counted_pages(browser, monkeypatch)
        response = await browser.get(path)
        assert response.complete
        assert response.body == whole.body
        assert limits == [3] * pages


@pytest.mark.parametrize(
    ("size", "rows", "following"), [(1, 0, 2), (4, 0, 8), (4, 100, 8), (4, 20_000, 1), (1, 9_999, 1)]
)
def test_the_size_of_a_piece_follows_its_rows(size: int, rows: int, following: int) -> None:
    assert costs_file.next_size(size, rows) == following
