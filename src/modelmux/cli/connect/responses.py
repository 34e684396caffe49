"""Whether a client could use a response of the gateway: shapes, ends of streams, and what a status means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelmux.cli.connect.table import Api

_GATEWAY: Final = "check the URL: is it that of a gateway, without /v1 at its end?"
_UPDATE: Final = "update the gateway, or check the path in --url"
_LOGS: Final = "`modelmux doctor --live` calls every model; `modelmux logs` shows what happened"
#: API -> events that end a complete stream.
_ENDS: Final[dict[Api, tuple[str, ...]]] = {
    "messages": ("message_stop",),
    "vertex": ("message_stop",),
    "responses": ("response.completed", "response.incomplete"),
}
#: Status -> what it means, and what to do.
_MEANINGS: Final = {
    401: ("the key is not accepted", "pass one of server.api_keys with --api-key"),
    403: (
        "the request is forbidden",
        "if a proxy or a web application firewall is in between, exempt the path from its rules for bodies",
    ),
    421: (
        "the gateway is not served under this host name",
        "pass --url with http://127.0.0.1, or add the name to server.allowed_hosts",
    ),
    404: ("there is nothing at this path, or the model is not served", "`modelmux models` lists the models"),
    405: ("this method is not allowed here", _UPDATE),
    408: ("the request took too long", "a proxy in between may have a short timeout"),
    413: ("the request is too large", "a proxy in between limits the size of bodies: allow 30 MB"),
    429: ("too many requests", "wait and try again; `modelmux doctor --live` shows whether a quota is 0"),
    501: ("this is not supported here", _UPDATE),
}


class Unusable(Exception):
    """Why a client could not use a response, and what to do.

    :param fatal: whether it shows that required requests will fail, too.
    """

    def __init__(self, problem: str, hint: str, *, fatal: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.fatal = fatal


def refusal(status: int, headers: Mapping[str, str], body: bytes, path: str, kind: str) -> Unusable:
    """What a response with another status than 200 means."""
    message = _message_of(body)
    if kind == "hello":
        return Unusable(f"status {status}", "clients work without it")
    if 300 <= status < 400:
        target = headers.get("location", "another URL")
        return Unusable(f"redirects to {target}", "use the final URL: clients do not follow redirects", fatal=True)
    if kind == "count" and status in (404, 405, 501):
        return Unusable(f"status {status}{message}", "the client estimates the number of tokens instead")
    if status == 404 and not message:
        return Unusable(f"status 404: {path} does not exist there", _GATEWAY)
    meaning, hint = _MEANINGS.get(status, ("the gateway or Vertex AI failed", _LOGS))
    if 400 <= status < 500 and status not in _MEANINGS:
        meaning, hint = "the gateway rejects the request", _LOGS
    return Unusable(f"status {status}, {meaning}{message}", hint, fatal=status == 401)


def _message_of(body: bytes) -> str:
    """The message of an error response in either shape, after a colon; empty if there is none."""
    try:
        return _message(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return ""


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return f": {message}" if message else ""


def read_models(api: Api, body: bytes, model: str, *, claude_only: bool) -> str:
    """What a list of models shows.

    :raises Unusable: it is not a list in the shape of the API, or lacks the model.
    """
    try:
        entries = json.loads(body)["data"]
        names = [str(entry["id"]) for entry in entries]
    except (ValueError, LookupError, TypeError):
        raise Unusable("not a list of models", _GATEWAY) from None
    if api == "messages" and not all("display_name" in entry for entry in entries):
        raise Unusable("the list has the shape of OpenAI's API", _UPDATE)
    shown = [name for name in names if "claude" in name.lower() or "anthropic" in name.lower()]
    if claude_only and not shown:
        raise Unusable(
            "no name contains `claude`, so the client lists none of them", "add an alias such as claude-fast"
        )
    if model.removesuffix("[1m]") not in names:
        raise Unusable(f"{model} is not listed", "`modelmux models` lists the models; pass one with --model")
    return f"{len(names)} models, {model} among them"


def read_unary(api: Api, headers: Mapping[str, str], body: bytes) -> str:
    """What a response in one piece shows.

    :raises Unusable: it is not a response of the API.
    """
    try:
        response = json.loads(body)
        if api == "chat":
            usage, good = response["usage"], bool(response["choices"][0]["message"])
            tokens = usage["completion_tokens"]
        elif api == "responses":
            tokens, good = response["usage"]["output_tokens"], response["object"] == "response"
        else:
            tokens, good = response["usage"]["output_tokens"], response["type"] == "message"
    except (ValueError, LookupError, TypeError):
        good = False
    if not good:
        kind = headers.get("content-type", "no content type")
        raise Unusable(f"the response is not one of this API ({kind})", _GATEWAY)
    return f"answered with {tokens} tokens"


def read_stream(api: Api, events: Sequence[tuple[str, Any]]) -> str:
    """What a stream shows.

    :raises Unusable: it has an error, or does not end as the API says.
    """
    if api == "chat":
        complete = bool(events) and events[-1][1] == b"[DONE]"
    else:
        ends = _ENDS[api]
        complete = any(name in ends for name, _ in events)
    for data in (data for _, data in events if data != b"[DONE]"):
        try:
            event = json.loads(data)
            error = (event.get("response") or event).get("error")
        except (ValueError, AttributeError):
            raise Unusable("the stream has an event that is not JSON", _GATEWAY) from None
        if error:
            raise Unusable(f"the stream ended with an error{_message(error)}", _LOGS)
    if not complete:
        raise Unusable(
            "the stream ended early",
            "a proxy in between may buffer or cut streams: turn its buffering off, and raise its timeouts",
        )
    return f"a complete stream of {len(events)} events"


def read_count(body: bytes, headers: Mapping[str, str]) -> str:
    """What a count of tokens shows.

    :raises Unusable: it is not a count.
    """
    try:
        count = json.loads(body)["input_tokens"]
    except (ValueError, LookupError, TypeError):
        count = None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise Unusable("the response is not a number of tokens", _UPDATE)
    return f"{count} tokens" + (", estimated" if "x-modelmux-estimate" in headers else "")
