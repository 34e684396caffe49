"""Risk: what a client wrote into a path, a header or a body carries a key or a project into any line of the log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import MODEL, ask, gateway
from support.log_lines import Lines

_TAIL = "Zq7Xw2Kp9Lm4Nv8R"
SECRETS = (
    f"x:sk-{_TAIL}", f"v@sk-{_TAIL}", f"sk-ant-api03-{_TAIL}", f"AIzaSyD{_TAIL}", f"k@AIza{_TAIL}", f"ya29.a0{_TAIL}",
    f"w:ya29.c.{_TAIL}", f"projects%2F{_TAIL}%2Fx", f"projects//{_TAIL}/x", f"projects/{_TAIL}/locations/eu",
)  # fmt: skip
HEADERS = ("user-agent", "x-request-id", "x-claude-code-session-id", "x-claude-code-agent-id", "referer")


@pytest.mark.parametrize("level", ["a served request", "a refused request"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.sampled_from(["/v1/chat/completions", "/v1/odd/{}", "/v1/responses/{}", "/v1/models/{}", "/{}"]),
    secrets=st.fixed_dictionaries({name: st.sampled_from(SECRETS) for name in (*HEADERS, "path", "model", "field")}),
    before=st.sampled_from(["", "tool/1 ", "a-", "(", "b:"]),
)
async def test_no_field_of_any_line_has_a_secret(level: str, path: str, secrets: dict[str, str], before: str) -> None:
    app, log = gateway(FakeUpstream([message_reply()])), Lines()
    app._log = app.refused._log = log
    app._current = app._build(app._current.config, None)
    log.lines.clear()
    headers = {name: before + secrets[name] for name in HEADERS} | {"content-type": "application/json"}
    body: Any = ask(model=MODEL)
    if level == "a refused request":
        path = path.format(secrets["path"])
        body |= {"model": secrets["model"], secrets["field"]: 1, "metadata": {secrets["field"]: secrets["model"]}}
    else:
        path, body["user"] = "/v1/chat/completions", secrets["field"]
    response = await request(app, "POST", path, body, headers)
    assert response.status == (200 if level == "a served request" else response.status)
    assert log.lines
    assert _TAIL not in repr(log.lines)
    await app.aclose()


async def test_a_request_id_that_holds_a_secret_is_replaced_for_client_and_log_alike() -> None:
    app = gateway(FakeUpstream([message_reply()] * 2))
    for sent, is_kept in (("trace-42", True), (SECRETS[0], False)):
        response = await request(app, "POST", "/v1/chat/completions", ask(), {"x-request-id": sent})
        assert (response.headers["x-request-id"] == sent) is is_kept
