"""Risk: the next turn goes to another deployment and misses its prompt cache, or all go to one deployment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.routing.affinity import affinity_key, preferred_deployment, stable_prefix
from modelmux.routing.model import Deployment
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import decode_request

CARD = builtin().card("claude-opus-4-6")
DEPLOYMENTS = [Deployment(name, f"https://{name}", "p", name, CARD) for name in "abcd"]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def key(*messages: tuple[str, Any], headers: Any = (), **fields: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": role, "content": text} for role, text in messages], **fields}
    request = decode_request(msgspec.json.encode(body))
    claude_request, _ = to_claude_request(request)
    return affinity_key(stable_prefix(claude_request.body), request.prompt_cache_key, headers)


FIRST = (("system", "Be brief."), ("user", "Hi"))
MARKED = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}}


def test_later_turns_have_the_key_of_the_first() -> None:
    assert key(*FIRST) == key(*FIRST, ("assistant", "Hello."), ("user", "And now?"))
    later = (("user", [{"type": "text", "text": "Hi"}]), ("assistant", "Hello."), ("user", MARKED))
    assert key(("user", MARKED)) == key(*later), "cache markers move"


@pytest.mark.parametrize(
    "other",
    [
        key(("system", "Be long."), ("user", "Hi")), key(("system", "Be brief."), ("user", "Ho")), key(("user", "Hi")),
        key(*FIRST, tools=[TOOL]), key(*FIRST, prompt_cache_key="k"), key(("user", "")), key(("user", [IMAGE])),
    ],
)  # fmt: skip
def test_other_prefixes_have_other_keys(other: bytes) -> None:
    assert other != key(*FIRST)


def test_a_body_without_a_users_message_has_a_key() -> None:
    """The upstream rejects it; until then it is routed like any other."""
    body = anthropic.MessagesRequest(anthropic.VERTEX_VERSION, 1, [])
    reply = anthropic.InputMessage("assistant", [anthropic.TextBlock("Hi")])
    keys = {
        affinity_key(stable_prefix(replace(body, messages=messages)), None, ())
        for messages in ([], [reply], [reply, anthropic.InputMessage("user", [anthropic.TextBlock("Hi")])])
    }
    assert len(keys) == 3


def test_the_clients_identifier_precedes_the_text_and_the_body_precedes_headers() -> None:
    session = [(b"host", b"h"), (b"x-session-id", b"two"), (b"x-session-affinity", b"one")]
    assert key(("user", "a"), headers=session) == key(("user", "b"), headers=[(b"x-session-affinity", b"one")])
    assert key(("user", "a"), headers=session[:2]) == key(("user", "b"), headers=[(b"x-session-id", b"two")])
    assert key(("user", "a"), headers=[(b"x-session-id", b"")]) == key(("user", "a"))
    assert key(("user", "a"), prompt_cache_key="k", headers=session) == key(("user", "b"), prompt_cache_key="k")


def test_conversations_are_distributed_by_weight() -> None:
    weighted = [
        replace(deployment, weight=weight) for deployment, weight in zip(DEPLOYMENTS, (5, 3, 2, 0), strict=True)
    ]
    chosen = [preferred_deployment(key(("user", str(number))), weighted).id for number in range(4000)]
    assert [round(chosen.count(name) / 4000, 1) for name in "abcd"] == [0.5, 0.3, 0.2, 0.0]


def test_removing_a_deployment_moves_only_its_own_conversations() -> None:
    keys = [key(("user", str(number))) for number in range(300)]
    for conversation in keys:
        before = preferred_deployment(conversation, DEPLOYMENTS)
        after = preferred_deployment(conversation, [deployment for deployment in DEPLOYMENTS if deployment.id != "b"])
        assert after is before or before.id == "b"


def test_deployments_of_weight_zero_serve_if_there_are_no_others() -> None:
    idle = [replace(deployment, weight=0) for deployment in DEPLOYMENTS]
    chosen = {preferred_deployment(key(("user", str(number))), idle).id for number in range(100)}
    assert chosen == set("abcd")
