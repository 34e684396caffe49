"""Vertex AI's raw endpoints as a ``Dialect``: Messages with the model and the verb in the path.

The project and the location of the path are the client's; calls go to the deployments of the route.
"""

from __future__ import annotations

from typing import Final

from modelmux.dialects.anthropic_messages.dialect import AnthropicMessages
from modelmux.dialects.anthropic_messages.request import decode_native
from modelmux.dialects.base import Decoded, Inbound


class VertexRaw(AnthropicMessages):
    """The dialect of ``…/models/{model}:rawPredict``, or of ``:streamRawPredict``.

    :param stream: as the verb says; ``stream`` in the body does not matter.
    """

    name: Final = "vertex_raw"  # type: ignore[misc]  # replies are those of Messages, the name is not

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        path = inbound.path_params
        # Token counting has a resource of its own; there the model is in the body.
        model = None if inbound.operation == "count_tokens" else path["model"]
        return decode_native(inbound.headers, body, model=model, stream=self._stream, location=path["location"])
