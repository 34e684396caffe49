"""What is told beside budgets. Risk: a key that expires is told every day or never, or a lag flickers."""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.accounts.alert_times import expiring, lag_id, lags
from modelmux.accounts.alert_types import LagAlert, WebhookTest, decode_alert, delivery_id, encode_alert, type_of
from modelmux.accounts.alerts import in_doubt_alert, is_in_doubt
from modelmux.accounts.cost import Cost
from modelmux.accounts.records import Key
from support.ledgers import entry

DAY = 86_400_000_000
KEY = Key(id="key_a", name="ci", team="team_a", created=0, expires=30 * DAY)


def test_a_key_is_told_seven_days_and_one_day_before_it_expires() -> None:
    told, at, ids = [], 0, []
    while True:
        alerts, following = expiring([KEY], at)
        told += [(at / DAY, one.days) for one in alerts]
        ids += [one.id for one in alerts]
        if following is None:
            break
        at = following
    assert told == [(23, 7), (29, 1)]
    assert len(set(ids)) == 2
    again, _ = expiring([KEY], 24 * DAY)
    assert [one.id for one in again] == ids[:1], "a restart tells nothing anew"
    assert expiring([KEY], 30 * DAY) == ([], None)


def test_another_end_is_told_anew() -> None:
    (first,), _ = expiring([KEY], 24 * DAY)
    (second,), _ = expiring([replace(KEY, expires=31 * DAY)], 24 * DAY)
    assert first.id != second.id


def test_keys_that_had_less_time_from_the_start_are_told_when_a_day_is_left() -> None:
    short = replace(KEY, created=27 * DAY)
    assert expiring([short], 28 * DAY) == ([], 29 * DAY)
    assert [one.days for one in expiring([short], 29 * DAY)[0]] == [1]
    assert expiring([replace(KEY, created=30 * DAY - 5)], 30 * DAY - 3) == ([], None)


def test_keys_that_work_no_more_or_for_ever_are_not_told() -> None:
    keys = [replace(KEY, status="disabled"), replace(KEY, status="revoked"), replace(KEY, expires=None)]
    assert expiring(keys, 29 * DAY) == ([], None)


def test_the_message_has_name_and_end() -> None:
    (alert,), _ = expiring([KEY], 29 * DAY)
    assert alert.message == "the key 'ci' expires within 1 day, at 1970-01-31T00:00:00Z"
    (alert,), _ = expiring([KEY], 24 * DAY)
    assert "within 7 days" in alert.message


def test_a_lag_ends_well_below_where_it_begins() -> None:
    assert not lags(59, 9_999, is_lagging=False)
    assert lags(60, 0, is_lagging=False)
    assert lags(0, 10_000, is_lagging=False)
    assert lags(30, 0, is_lagging=True)
    assert lags(0, 5_000, is_lagging=True)
    assert not lags(29, 4_999, is_lagging=True)


def test_workers_of_a_host_tell_one_lag() -> None:
    hour = 3_600_000_000
    assert lag_id("a", 5) == lag_id("a", hour - 1)
    assert len({lag_id("a", 5), lag_id("b", 5), lag_id("a", hour)}) == 3


def test_what_is_in_doubt_is_told_with_its_cost() -> None:
    rows = [entry(1, cost=Cost(output=1_500_000_000)), entry(2, cost=None)]
    alert = in_doubt_alert("host:1:x", rows, 3, DAY)
    assert alert is not None
    assert [is_in_doubt(one) for one in (entry(1), entry(2, kind="in_doubt"))] == [False, True]
    assert (alert.requests, alert.cost, alert.windows, alert.at) == (2, "1.5", 3, "1970-01-02T00:00:00Z")
    assert "2 requests are in doubt and charged 1.5 USD" in alert.message
    assert in_doubt_alert("host:1:x", [], 0, DAY) is None
    again = in_doubt_alert("host:1:x", [], 1, 2 * DAY)
    assert again is not None
    assert again.id == alert.id


def test_what_is_stored_is_what_it_was() -> None:
    lag = LagAlert(id="alert_a", at="…", host="h", waiting=5, seconds=61, failing=False)
    test = WebhookTest(id="alert_b", at="…", webhook="whk_a")
    assert [decode_alert(encode_alert(one)) for one in (lag, test)] == [lag, test]
    assert lag.message == "the ledger is slow on h: 5 rows wait, the oldest for 61 s"
    assert "cannot be written" in replace(lag, failing=True).message
    assert [type_of(one) for one in (lag, test)] == ["ledger.lag", "webhook.test"]
    ids = {delivery_id(webhook, alert) for webhook in ("whk_a", "whk_b") for alert in ("alert_a", "alert_b")}
    assert len(ids) == 4, "each webhook has a delivery of its own"
    assert test.message == "a test of a webhook"
