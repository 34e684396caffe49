"""Risk: the emulator's bill is not what Google's price list says, or lacks replies that broke off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from support.asgi import request

BASE = "/v1/projects/p/locations/{}/publishers/anthropic/models/{}:{}"
TOKEN = {"authorization": "Bearer t"}


async def ask(app: Any, text: str, model: str = "claude-sonnet-4-6", location: str = "global", **fields: Any) -> Any:
    verb = "streamRawPredict" if fields.get("stream") else "rawPredict"
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
    }
    return await request(app, "POST", BASE.format(location, model, verb), {**body, **fields}, TOKEN)


async def bill_of(app: Any) -> Any:
    return (await request(app, "GET", "/_emulator/bill")).json()


@pytest.mark.parametrize(("location", "input", "output"), [("global", 3_000, 15_000), ("europe-west1", 3_300, 16_500)])
async def test_each_reply_is_billed_by_the_price_list(location: str, input: int, output: int) -> None:
    app = create_emulator(EmulatorSettings())
    message = (await ask(app, "say: hello", location=location)).json()
    usage = message["usage"]
    bill = await bill_of(app)
    (entry,) = bill["entries"]
    assert (entry["id"], entry["complete"], entry["location"]) == (message["id"], True, location)
    expected = usage["input_tokens"] * input + usage["output_tokens"] * output
    assert round(float(entry["cost"]) * 1e9) == expected
    assert bill["total"] == bill["complete"] == entry["cost"]


async def test_a_stream_that_breaks_off_is_billed_and_not_complete() -> None:
    app = create_emulator(EmulatorSettings())
    await ask(app, "say: hello", stream=True)
    response = await ask(app, "hello [[emulator: error_after_event=3]]", stream=True)
    assert b"overloaded_error" in response.body, response.body
    bill = await bill_of(app)
    assert [entry["complete"] for entry in bill["entries"]] == [True, False]
    assert float(bill["total"]) > float(bill["complete"]) > 0


async def test_refused_requests_and_counts_are_not_billed() -> None:
    app = create_emulator(EmulatorSettings())
    assert (await ask(app, "")).status == 400
    assert (await bill_of(app)) == {"entries": [], "total": "0", "complete": "0"}
    await ask(app, "hi")
    await request(app, "POST", "/_emulator/reset")
    assert json.loads(json.dumps(await bill_of(app)))["entries"] == []
