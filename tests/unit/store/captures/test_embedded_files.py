"""Files in a body. Risk: one is kept, something else is taken for one, or the body is not JSON any more."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from modelmux.store.captures.embedded_files import _STEP, without_files
from support.work import assert_linear

DATA = base64.b64encode(bytes(range(256)) * 8).decode()
SIZE = 2048


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        {"type": "image", "source": {"data": DATA, "type": "base64", "media_type": "image/png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"},
        {"type": "file", "file": {"filename": "a.png", "file_data": f"data:image/png;name=a.png;base64,{DATA}"}},
        {"type": "text", "text": f'A picture: <img src="data:image/png;base64,{DATA}"> and more'},
    ],
)
@pytest.mark.parametrize("slashes", [False, True])
def test_type_and_size_of_a_file_are_left(block: dict[str, Any], slashes: bool) -> None:
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": [block, {"type": "text", "text": "hi"}]}]}
    )
    if slashes:  # as some clients write JSON
        body = body.replace("/", "\\/")
    short, count = without_files(body.encode())
    assert count == 1
    assert f"(image/png, {SIZE} bytes)" in json.dumps(json.loads(short))
    assert DATA[:64] not in short.decode()
    assert "hi" in short.decode()
    expected = json.loads(body.replace(DATA.replace("/", "\\/") if slashes else DATA, "(image\\/png, 2048 bytes)"))
    assert json.loads(short) == expected


def test_sound_has_its_format() -> None:
    body = json.dumps({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}).encode()
    assert without_files(body) == (
        b'{"type": "input_audio", "input_audio": {"data": "(wav, 2048 bytes)", "format": "wav"}}',
        1,
    )


@pytest.mark.parametrize(
    "body",
    [
        {"type": "redacted_thinking", "data": DATA},
        {"type": "thinking", "thinking": "x", "signature": DATA},
        [{"type": "redacted_thinking", "data": DATA}, {"type": "image", "source": {"media_type": "image/png"}}],
        {"type": "text", "text": DATA},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA[:200]}},
        {"media_type": "text/plain", "data": "words are not base64, " * 40},
        {"url": "data:image/png;base64,", "text": "see data:text/plain;base64,QUJD"},
    ],
)
def test_what_is_no_file_stays(body: Any) -> None:
    data = json.dumps(body).encode()
    assert without_files(data) == (data, 0)


def test_many_files_and_one_that_never_ends() -> None:
    picture = f'{{"data":"{DATA}","media_type":"image/png"}}'
    body = f"[{picture},{picture},{picture},".encode()
    short, count = without_files(body)
    assert (count, short.count(b"(image/png, 2048 bytes)")) == (3, 3)
    assert without_files(b'{"media_type": "image/png", "data": "' + DATA.encode())[1] == 1
    assert without_files(b"") == (b"", 0)
    assert without_files(b'\xff\xfe "data":') == (b'\xff\xfe "data":', 0)


@pytest.mark.parametrize(
    "piece",
    [
        b";base64,",
        b"data:;base64,",
        b'"data":"',
        b'"data": ',
        b"data:a;base64,AAAA",
        b'{"data":"A',
        b"A" * 8,
        b'"',
        b"data:",
    ],
)
def test_work_is_linear_in_the_size_of_a_body(piece: bytes) -> None:
    """Of a body of nothing but marks, too."""
    assert_linear(lambda count: without_files(b'{"media_type":"image/png","x":"' + piece * count), 20_000)


@pytest.mark.parametrize("shift", range(-12, 30))
def test_a_file_at_the_end_of_a_step_is_seen(shift: int) -> None:
    """What is searched at once ends anywhere in it."""
    for mark in ('{"media_type":"image/png","data":"', '{"url":"data:image/png;base64,'):
        body = (" " * (_STEP - len(mark) + shift) + mark + DATA + '"}').encode()
        assert without_files(body)[1] == 1
        long = (" " * (_STEP - len(mark) - len(DATA) + shift) + mark + DATA + '"}').encode()
        assert b"2048 bytes" in without_files(long)[0]
