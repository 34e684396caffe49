"""Is a request legal? The whole list, in the order in which the service looks: shape first, then meaning."""

from __future__ import annotations

from modelmux.emulator.call import Call
from modelmux.emulator.check_cache import check_cache
from modelmux.emulator.check_media import check_media
from modelmux.emulator.check_messages import check_messages
from modelmux.emulator.check_model import check_lengths, check_model
from modelmux.emulator.check_tools import check_tools
from modelmux.emulator.check_turns import check_turns
from modelmux.emulator.shapes_body import body_shape


def check(call: Call) -> None:
    """Judge a Messages request, but for its length and its thinking signatures.

    :raises Refused: with the status and the words of the real service.
    """
    body_shape(call.betas, False)(call.body, "")
    check_model(call)
    check_messages(call)
    check_tools(call)
    check_turns(call)
    check_media(call)
    check_cache(call)


def check_count(call: Call) -> None:
    """Judge a token-counting request.

    :raises Refused: with the status and the words of the real service.
    """
    body_shape(call.betas, True)(call.body, "")
    check_messages(call)
    check_tools(call)
    check_media(call)


__all__ = ["check", "check_count", "check_lengths"]
