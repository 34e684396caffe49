"""The tour of the demo: a question, a stream, a tool loop and other APIs, each shown from both sides of the gateway.

Requests go over real HTTP, with the client that the gateway uses for Vertex AI; the emulator knows what Vertex AI
received.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from modelmux.emulator import Emulator
from modelmux.upstream.base import Reply
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import HttpCall, Origin, Timeouts
from modelmux.wire.sse import SSEDecoder

MODEL: Final = "claude-sonnet-4-6"
#: Maximum number of lines shown of a body, and maximum width of a panel.
_LINES: Final = 40
_WIDTH: Final = 120
#: Width of the column that names the two sides, in the short form.
_SIDE: Final = 21
_CHAT: Final = "/v1/chat/completions"
_CONTENT_TYPE: Final = [(b"content-type", b"application/json")]
_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Name of the city"}},
            "required": ["city"],
        },
    },
}
_FORECAST: Final = {"Paris": "18 °C and sunny", "London": "14 °C and raining"}


class DemoTour:
    """Calls a gateway with the emulator behind it.

    :param verbose: show bodies whole, in boxes; otherwise a line for each.
    """

    def __init__(self, console: Console, base_url: str, emulator: Emulator, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._emulator = emulator
        self._origin = Origin.parse(base_url)
        self._pool = HttpPool()
        self._timings: list[tuple[str, float, float | None]] = []
        self._failures: list[str] = []

    async def run(self) -> bool:
        """Run the tour. True if every answer was as expected."""
        try:
            await self._question()
            await self._stream()
            await self._tools()
            await self._other_apis()
        finally:
            await self._pool.aclose()
        self._summary()
        return not self._failures

    async def _question(self) -> None:
        self._console.rule("[bold]1. A plain question[/bold]")
        body = {"model": MODEL, "max_tokens": 200, "messages": [_user("Hello! What can you do?")]}
        reply = await self._post("question", body)
        self._expect(bool(reply["choices"][0]["message"]["content"]), "the question was not answered")

    async def _stream(self) -> None:
        self._console.rule("[bold]2. A stream[/bold]")
        body = {
            "model": MODEL,
            "max_tokens": 200,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [_user("Please repeat after me: streams arrive word by word, as the model writes them.")],
        }
        self._show_client(body)
        started = time.perf_counter()
        reply = await self._send(_CHAT, body)
        decoder, first, chunks = SSEDecoder(), None, []
        self._console.print(Text(f"{'gateway → client':<{_SIDE}}", style="bold green"), end="")
        async for piece in reply:
            for event in decoder.feed(piece):
                if event.data != b"[DONE]":
                    chunk = json.loads(event.data)
                    text = "".join(c["delta"].get("content") or "" for c in chunk["choices"])
                    first = first or (time.perf_counter() if text else None)
                    self._console.print(text, end="", markup=False)
                chunks.append(event.data)
        await reply.aclose()
        elapsed = time.perf_counter() - started
        if self._verbose:
            self._console.print(f"\n[dim]{len(chunks)} events; the last ones:[/dim]")
            for data in chunks[-3:]:
                self._console.print(f"data: {data.decode()}", style="dim", markup=False, soft_wrap=True)
        else:
            self._console.print(f" [dim]({len(chunks)} events)[/dim]")
        self._show_vertex()
        self._timings.append(("stream", elapsed, first - started if first else None))
        self._expect(chunks[-1:] == [b"[DONE]"], "the stream did not end with [DONE]")

    async def _tools(self) -> None:
        self._console.rule("[bold]3. A complete tool-calling loop[/bold]")
        messages: list[dict[str, Any]] = [_user("What is the weather in Paris and London?")]
        body = {"model": MODEL, "max_tokens": 500, "tools": [_WEATHER], "messages": messages}
        message = (await self._post("tool calls", body))["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        self._expect(len(calls) == 2, "the model did not call the tool twice")
        messages.append(message)
        for call in calls:
            city = json.loads(call["function"]["arguments"])["city"]
            result = _FORECAST.get(city, "no data")
            self._console.print(
                f"[bold magenta]{'your program':<{_SIDE}}[/bold magenta]get_weather({city!r}) = {result!r}"
            )
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        answer = (await self._post("tool results", body))["choices"][0]["message"]["content"] or ""
        self._expect("18" in answer and "14" in answer, "the answer does not use the tool's results")

    async def _other_apis(self) -> None:
        self._console.rule("[bold]4. The same question in OpenAI's Responses API and Anthropic's Messages API[/bold]")
        question = "Hello! What can you do?"
        body: dict[str, Any] = {"model": MODEL, "max_output_tokens": 200, "input": question, "store": False}
        reply = await self._post("Responses", body, "/v1/responses")
        self._expect(reply["status"] == "completed", "the question was not answered in the Responses API")
        body = {"model": MODEL, "max_tokens": 200, "messages": [_user(question)]}
        reply = await self._post("Messages", body, "/v1/messages")
        self._expect(bool(reply["content"]), "the question was not answered in the Messages API")

    async def _post(self, title: str, body: dict[str, Any], path: str = _CHAT) -> dict[str, Any]:
        """A unary request, shown from both sides."""
        self._show_client(body, path)
        started = time.perf_counter()
        reply = await self._send(path, body)
        raw = await reply.read(1024 * 1024)
        await reply.aclose()
        elapsed = time.perf_counter() - started
        self._timings.append((title, elapsed, None))
        self._show_vertex()
        self._panel("gateway → client", json.loads(raw), "green", f"{reply.status} in {elapsed * 1000:.0f} ms")
        parsed: dict[str, Any] = json.loads(raw)
        if reply.status != 200:
            raise SystemExit(1)
        return parsed

    async def _send(self, path: str, body: dict[str, Any]) -> Reply:
        raw = json.dumps(body).encode()
        return await self._pool.send(HttpCall(self._origin, path, _CONTENT_TYPE, raw, Timeouts()))

    def _show_client(self, body: dict[str, Any], path: str = _CHAT) -> None:
        self._panel("client → gateway", body, "cyan", f"POST {path}")

    def _show_vertex(self) -> None:
        request = self._emulator.requests()[-1]
        self._panel("gateway → Vertex AI", request["body"], "yellow", f"{request['method']} {request['path']}")

    def _panel(self, title: str, body: Any, colour: str, line: str = "") -> None:
        if not self._verbose:
            self._console.print(_summarised(title, body, colour, line), no_wrap=True, overflow="ellipsis")
            return
        width = min(self._console.width, _WIDTH) - 4
        lines = _pretty(_plain(body), width)
        content = [Text(line, style="bold", overflow="fold")] if line else []
        content += [Text(text, no_wrap=True, overflow="ellipsis") for text in lines[:_LINES]]
        if len(lines) > _LINES:
            content.append(Text(f"… {len(lines) - _LINES} more lines", style="dim"))
        self._console.print(
            Panel(Group(*content), title=title, title_align="left", border_style=colour, width=width + 4)
        )

    def _expect(self, condition: bool, failure: str) -> None:
        if not condition:
            self._failures.append(failure)
            self._console.print(f"[red]{failure}[/red]")

    def _summary(self) -> None:
        if not self._verbose:
            times = ", ".join(f"{title} {elapsed * 1000:.0f} ms" for title, elapsed, _ in self._timings)
            self._console.print(f"Timings (at 80 tokens a second): {times}")
            self._console.print(
                "`modelmux demo --verbose` (or `make demo DEMO_ARGS=--verbose`) shows all bodies whole."
            )
            return
        table = Table(title="Timings (at 80 tokens a second)", title_justify="left")
        for column in ("request", "first content", "complete"):
            table.add_column(column, justify="left" if column == "request" else "right")
        for title, elapsed, first in self._timings:
            table.add_row(title, f"{first * 1000:.0f} ms" if first else "", f"{elapsed * 1000:.0f} ms")
        self._console.print(table)


def _summarised(title: str, body: Any, colour: str, line: str) -> Text:
    """A request or a response in one line: which side, what, and the beginning of its content."""
    method, _, path = line.partition(" ")
    # The end of Vertex AI's path says which model and which call.
    what = f"{method} …/{path.rpartition('/')[2]}" if path.startswith("/v1/projects/") else line
    content = json.dumps(_content(_plain(body)), ensure_ascii=False)
    return Text.assemble((f"{title:<{_SIDE}}", f"bold {colour}"), (what, "bold"), "  ", (content, "dim"))


def _content(body: dict[str, Any]) -> Any:
    """What a body is about: the answer of a response; a request without what all of them have."""
    if "choices" in body:
        message = body["choices"][0]["message"]
        return message.get("tool_calls") or message["content"]
    if "output" in body:
        return body["output"][0]["content"]
    if body.get("type") == "message":
        return body["content"]
    latest = {name: body[name] for name in ("messages", "input") if name in body}
    return latest | {name: value for name, value in body.items() if name not in latest}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _plain(body: Any) -> Any:
    """The emulator stores bodies as raw JSON."""
    return json.loads(bytes(body)) if not isinstance(body, dict | list | str) else body


def _pretty(value: Any, width: int, indent: str = "", key: str = "") -> list[str]:
    """JSON in as few lines as the width allows."""
    flat = indent + key + json.dumps(value, ensure_ascii=False)
    if len(flat) < width or not isinstance(value, dict | list) or not value:
        return [flat]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    items = (
        [(f"{json.dumps(k)}: ", v) for k, v in value.items()]
        if isinstance(value, dict)
        else [("", item) for item in value]
    )
    lines = [indent + key + opening]
    for number, (name, item) in enumerate(items):
        lines += _pretty(item, width, indent + "  ", name)
        if number < len(items) - 1:
            lines[-1] += ","
    return [*lines, indent + closing]
