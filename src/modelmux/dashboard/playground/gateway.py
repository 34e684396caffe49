"""The gateway that the playground asks: where it listens, what it serves, and what it would send upstream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from modelmux.claude.notices import Notice
from modelmux.dashboard.playground.apis import APIS
from modelmux.dashboard.playground.question import Question
from modelmux.dialects.base import DialectOptions
from modelmux.errors import GatewayError
from modelmux.gateway.explained.native import explain_native
from modelmux.gateway.explained.translated import translate
from modelmux.routing.model import Deployment
from modelmux.routing.routes import Routes
from modelmux.wire import anthropic
from modelmux.wire.http import Origin

Data = dict[str, Any]


@dataclass(frozen=True)
class PlaygroundGateway:
    """
    :param origin: of the listener of models, from this process.
    :param url: where clients reach it, for what is shown.
    :param strict: requests that would be changed are refused.
    :param running: ids of the requests that run.
    :param looks: seconds before each look for the row of a request that has ended: rows are written in batches.
    """

    origin: Origin
    url: str
    routes: Routes
    options: DialectOptions
    strict: bool = False
    running: set[str] = field(default_factory=set)
    looks: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5)

    def models(self) -> list[Data]:
        """Those that are listed, with what each accepts."""
        return [
            {
                "name": name,
                "efforts": list(route.card.effort),
                "takes_temperature": route.card.sampling == "accept",
                "max_output": route.card.max_output,
            }
            for name, route in self.routes.visible_names.items()
        ]

    def sent(self, question: Question) -> Data:
        """The request as a client sends it, and what each model of its route would get: nothing is called.

        What limits of a key change, and what the gateway knows of earlier requests, is not in it.
        """
        api = APIS[question.api]
        body = msgspec.json.encode(api.body(question))
        shown = {"path": api.path, "request": _pretty(body), "curl": api.curl(self.url, question)}
        try:
            return shown | self._calls(question, body) | {"problem": None}
        except GatewayError as error:
            return shown | {"calls": [], "refusals": [], "problem": error.public_message}

    def _calls(self, question: Question, body: bytes) -> Data:
        """:raises GatewayError: the gateway rejects the request."""
        if question.api == "messages":
            native = explain_native(body, None, (), self.routes.find, strict=self.strict).calls
            groups = [_call(where, one.body, one.betas, one.notices) for one, where in native.groups]
            return {"calls": groups, "refusals": _refusals(native.refusals)}
        translated = translate(APIS[question.api].dialect, body, None, self.routes.find, self.options)
        translated = translated._replace(strict=self.strict)
        calls = translated.calls(translated.prepare(translated.route.card))
        groups = [
            _call(where, anthropic.encode_request(one.body), one.betas, one.notices) for one, where in calls.groups
        ]
        return {"calls": groups, "refusals": _refusals(calls.refusals)}


def _call(deployments: Iterable[Deployment], body: bytes, betas: Iterable[str], notices: Iterable[Notice]) -> Data:
    """Without the URL, which has the project."""
    return {
        "deployments": list(dict.fromkeys(one.id for one in deployments)),
        "body": _pretty(body),
        "betas": list(betas),
        "notices": [{"action": one.action, "field": one.field, "reason": one.reason} for one in notices],
    }


def _refusals(refusals: Iterable[tuple[Any, GatewayError]]) -> list[Data]:
    return [{"model": card.id, "message": error.public_message} for card, error in refusals]


def _pretty(body: bytes) -> str:
    return msgspec.json.format(body, indent=2).decode()
