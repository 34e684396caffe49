"""Is a request valid? The complete list of checks, in the order of the real service: shape first, then meaning."""

from __future__ import annotations

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.validation.body import check_body
from modelmux.emulator.validation.cache import check_cache
from modelmux.emulator.validation.media import check_media
from modelmux.emulator.validation.messages import check_messages
from modelmux.emulator.validation.model import check_model
from modelmux.emulator.validation.tool_definitions import check_tools
from modelmux.emulator.validation.tool_results import check_tool_results


def validate_request(call: EmulatedCall) -> None:
    """Validate a Messages request, except for its length (``limits``) and its thinking signatures (``thinking``).

    :raises ApiError: with the status and the words of the real service.
    """
    check_body(call.body, call.betas, counting=False)
    check_model(call)
    check_messages(call)
    check_tools(call)
    check_tool_results(call)
    check_media(call)
    check_cache(call)


def validate_count(call: EmulatedCall) -> None:
    """Validate a token-counting request.

    :raises ApiError: with the status and the words of the real service.
    """
    check_body(call.body, call.betas, counting=True)
    check_messages(call)
    check_tools(call)
    check_media(call)
