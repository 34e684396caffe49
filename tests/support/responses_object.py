"""The response object on the lifecycle events of a stream.

Part of ``responses_grammar.py``, which says what it is for.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from openai.types.responses.response_error import ResponseError

from support.responses_frames import Cursor, Json, Rules

#: Those that the SDK's types require.
_REQUIRED: Final = frozenset(
    ("id", "object", "created_at", "status", "model", "output", "parallel_tool_calls", "tool_choice", "tools")
)
#: Validators of other clients want numbers here, not null.
_NUMBERS: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs")
#: Every key of a response object, on every event that has one.
RESPONSE_KEYS: Final = _REQUIRED.union(
    _NUMBERS,
    ("completed_at", "background", "error", "incomplete_details", "instructions", "max_output_tokens"),
    ("max_tool_calls", "previous_response_id", "prompt_cache_key", "prompt_cache_retention", "reasoning"),
    ("safety_identifier", "service_tier", "store", "text", "truncation", "usage", "user", "metadata"),
)
#: What changes while a response is made. ``store`` does if it turns out that nothing can be stored.
_CHANGING: Final = frozenset(("status", "error", "incomplete_details", "output", "usage", "completed_at", "store"))
_ERROR_CODES: Final = frozenset(get_args(ResponseError.model_fields["code"].annotation))
_REASONS: Final = ("max_output_tokens", "content_filter")


class ResponseChecks(Cursor):
    """Reads lifecycle events."""

    def __init__(self, events: list[Json], rules: Rules) -> None:
        super().__init__(events, rules)
        self.first: Json = {}
        #: The finished items, and whether the last of them is incomplete.
        self.items: list[Json] = []
        self.cut = False

    def skip(self, event: Json) -> bool:
        repeated = event.get("type") == "response.in_progress" and self.begun
        if repeated:
            self._in_progress(event)
        return repeated or super().skip(event)

    def beginning(self) -> None:
        """The two events that every stream begins with."""
        self.first = self._in_progress(self.take("response.created"))
        response = self._in_progress(self.take("response.in_progress"))
        self.same(response["tools"], self.first["tools"], "tools of the first response.in_progress")
        self.begun = True

    def end(self, event: Json) -> Json:
        """The response of the last event."""
        response = self._response(event)
        status = event["type"].removeprefix("response.")
        self.equal(response["status"], status, "status of the response")
        self.same(response["output"], self.items, "output of the response, compared with its finished items,")
        self.equal(response.get("error") is not None, status == "failed", "whether the response has an error")
        cut = response.get("incomplete_details") is not None
        self.equal(cut, status == "incomplete", "whether the response has incomplete_details")
        if status == "failed":
            self._error(response["error"])
        elif status == "incomplete":
            reason = self.field(response["incomplete_details"], "reason")
            self.true(reason in _REASONS, f"{reason!r} is not a reason for an incomplete response")
        else:
            self.true(not self.cut, "a completed response has an incomplete item")
            timed = self.rules.partial_responses or isinstance(response["completed_at"], int)
            self.true(timed, "a completed response has no time of completion")
        if status != "failed" or response.get("usage") is not None:
            self._usage(self.field(response, "usage"))
        return response

    def _error(self, error: Any) -> None:
        code = self.field(error, "code")
        known = code in _ERROR_CODES or self.rules.error_events
        self.true(known, f"OpenAI has no error code {code!r} inside a response")
        self.true(bool(self.field(error, "message")), "the error has no message")

    def _usage(self, usage: Any) -> None:
        total, spent = self.field(usage, "total_tokens"), self.field(usage, "output_tokens")
        self.equal(total, self.field(usage, "input_tokens") + spent, "total_tokens")
        self.field(self.field(usage, "output_tokens_details"), "reasoning_tokens")
        cache = self.field(usage, "input_tokens_details")
        cached = self.field(cache, "cached_tokens")
        if not self.rules.partial_responses:
            cached += self.field(cache, "cache_write_tokens")
        self.true(cached <= usage["input_tokens"], "more tokens come from the cache than there are")

    def _in_progress(self, event: Json) -> Json:
        """The response of an event that is not the last: nothing of its result is in it."""
        response = self._response(event)
        self.equal(response["status"], "in_progress", "status of the response")
        self.equal(response["output"], [], "output of a response in progress")
        for name in ("error", "incomplete_details", "usage", "completed_at"):
            self.true(response.get(name) is None, f"a response in progress has {name}")
        return response

    def _response(self, event: Json) -> Json:
        """The response of an event, compared with the first one."""
        response: Json = self.field(event, "response")
        missing = (_REQUIRED if self.rules.partial_responses else RESPONSE_KEYS) - response.keys()
        self.true(not missing, f"the response lacks {', '.join(sorted(missing))}")
        self.equal(response["object"], "response", "object")
        self.true(str(response["id"]).startswith("resp_"), f"{response['id']!r} is not an id of a response")
        for name in _NUMBERS:
            number = response.get(name, 0)
            self.true(isinstance(number, int | float) and not isinstance(number, bool), f"{name} is not a number")
        first = self.first or response
        for name in first.keys() - _CHANGING:
            # The tools may be long: repetitions may leave them out.
            left_out = name == "tools" and response["tools"] == [] and event["type"] == "response.in_progress"
            tier = name == "service_tier" and self.rules.partial_responses
            if not (left_out or tier):
                self.same(response.get(name), first[name], f"{name} of the response")
        return response
