"""Frames between a supervisor and its workers: complete however they arrive, and bounded."""

from __future__ import annotations

import pytest

from modelmux.process.workers.protocol import (
    MAX_FRAME,
    SUPERVISOR_DECODER,
    ConfigApplied,
    Draining,
    FrameDecoder,
    Ready,
    encode_frame,
)


def test_messages_arrive_however_their_bytes_are_cut() -> None:
    sent = [Ready(), ConfigApplied(3, "OSError at x.py:1"), Draining()]
    data = b"".join(map(encode_frame, sent))
    for size in (1, 3, 7, len(data)):
        frames = FrameDecoder()
        cuts = [data[at : at + size] for at in range(0, len(data), size)]
        assert [SUPERVISOR_DECODER.decode(body) for cut in cuts for body in frames.feed(cut)] == sent


def test_a_frame_larger_than_any_message_is_rejected_at_once() -> None:
    with pytest.raises(ValueError, match="larger"):
        list(FrameDecoder().feed((MAX_FRAME + 1).to_bytes(4, "big")))
