"""The pictures of the dashboard in docs/images: real pages of a real gateway, drawn by Chromium.

``python -m tools.docs.screenshots`` (``make screenshots``) starts the emulator and a gateway with accounts, puts the
organisation of ``demo_organisation.py`` into it, and takes a picture of each of ``PICTURES``, light and dark. A new
page is a line there. It needs Chromium (``apt-get install chromium``) and takes half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from tools.docs import demo_organisation

ROOT: Final = Path(__file__).resolve().parents[2]
IMAGES: Final = ROOT / "docs" / "images"
SCHEMES: Final = ("light", "dark")
#: Bytes of a picture at most: a page of the documentation has several.
MAX_BYTES: Final = 200_000
#: Of a picture, in pixels.
WIDTH, HEIGHT = 1280, 860
#: Seconds for what starts; milliseconds for what a page waits for.
_START: Final = 100.0
_PATIENCE: Final = 100_000
#: Streams of the picture of what runs, and seconds between two.
_RUNNING: Final = 3
_BETWEEN: Final = 1.2
_TOKEN: Final = "owner-of-the-pictures"  # noqa: S105 - of a gateway that lives for a minute
_CONFIG: Final = """\
[server]
port = {port}
state_dir = "{folder}"

[vertex]
project = "my-project"
location = "global"
base_url = "{vertex}"

[auth]
access_token = "of-the-emulator"

[accounts]
enabled = true
store = "sqlite:{folder}/accounts.db"
tags = ["app"]

[admin]
listen = "127.0.0.1:{admin_port}"
token = "{token}"
gateway_url = "https://models.example.com"
"""


class Place(NamedTuple):
    """What pictures are taken of. :param call: of the admin API. :param secret: of a key. :param models: their URL."""

    call: Callable[..., dict[str, Any]]
    secret: str
    models: str


class Picture(NamedTuple):
    """
    :param path: of the page, below ``/dashboard``; ``{request}`` is one of a model that answered.
    :param prepare: brings the page into the state that is shown.
    :param height: pixels.
    """

    name: str
    path: str
    prepare: Callable[[Any, Place], None] | None = None
    height: int = HEIGHT


def _ask(page: Any, place: Place) -> None:
    page.locator("[name=key]").fill(place.secret)
    page.locator("[name=model]").select_option("claude-sonnet-5-5")
    page.locator("[name=system]").fill("You are terse.")
    text = "streams arrive word by word, and the ledger has what they cost."
    page.locator("[name=message]").fill(f"Please repeat after me: {text}")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("charged to").wait_for()


def _run_some(page: Any, place: Place) -> None:
    """Streams that run as long as the picture takes: slow ones, which end with the gateway."""
    for model, words in (("claude-sonnet-5-5", 40), ("claude-opus-5-5", 90), ("claude-haiku-5-5", 40)):
        threading.Thread(target=_stream, args=(place, model, words), daemon=True).start()
        time.sleep(_BETWEEN)
    while len(place.call("GET", "/live")["data"]) < _RUNNING:
        time.sleep(_BETWEEN)
    page.reload()


def _stream(place: Place, model: str, words: int) -> None:
    text = f"[[emulator: tokens_per_second=6]] say exactly: {'once upon a time ' * words}"
    body = {"model": model, "stream": True, "max_tokens": 4_000, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {place.secret}", "content-type": "application/json"}
    url = f"{place.models}/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=_START) as reply:  # noqa: S310
        reply.read()


PICTURES: Final = (
    Picture("overview", ""),
    Picture("live", "/live", _run_some),
    Picture("costs", "/costs"),
    Picture("requests", "/requests"),
    Picture("request", "/requests/{request}"),
    Picture("keys", "/keys"),
    Picture("budgets", "/budgets"),
    Picture("models", "/models"),
    Picture("settings", "/settings"),
    Picture("playground", "/playground", _ask, 1_380),
)


def file_of(name: str, scheme: str) -> Path:
    return IMAGES / f"dashboard-{name}-{scheme}.png"


def main() -> None:
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("error: there is no chromium\nhint: on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="modelmux-pictures-") as folder, contextlib.ExitStack() as stack:
        url, link, place = _gateway(Path(folder), stack)
        browser: Any = stack.enter_context(sync_playwright()).chromium.launch(executable_path=path)
        state = None
        for scheme in SCHEMES:
            context = browser.new_context(
                color_scheme=scheme, timezone_id="UTC", locale="en-GB", reduced_motion="reduce", storage_state=state,
            )  # fmt: skip
            context.set_default_timeout(_PATIENCE)
            page = context.new_page()
            if state is None:  # the link is good once
                page.goto(link)
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("heading", name="Overview").wait_for()
                state = context.storage_state()
            for picture in PICTURES:
                _take(page, url, picture, scheme, place)
            context.close()
        browser.close()


def _take(page: Any, url: str, picture: Picture, scheme: str, place: Place) -> None:
    path = picture.path
    if "{request}" in path:
        path = path.format(request=place.call("GET", "/requests?outcome=ok&min_cost=0.05&limit=1")["data"][0]["id"])
    page.goto(f"{url}/dashboard{path}")
    page.set_viewport_size({"width": WIDTH, "height": picture.height})
    if picture.prepare is not None:
        picture.prepare(page, place)
    file = file_of(picture.name, scheme)
    page.screenshot(path=str(file))
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)}: {size // 1000} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"error: {file.name} has more than {MAX_BYTES // 1000} kB\nhint: show less of its page")


def _gateway(folder: Path, stack: contextlib.ExitStack) -> tuple[str, str, Place]:
    """Start it with the organisation in it. :returns: URL of the dashboard, a link that signs in, and the place."""
    vertex_port, port, admin_port = _free_port(), _free_port(), _free_port()
    vertex, url = f"http://127.0.0.1:{vertex_port}", f"http://127.0.0.1:{admin_port}"
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(port=port, admin_port=admin_port, folder=folder, vertex=vertex, token=_TOKEN))
    stack.enter_context(_command(folder, "emulate", "--port", str(vertex_port)))
    stack.enter_context(_command(folder, "serve", "--config", str(config)))
    _wait(f"{vertex}/healthz")
    _wait(f"http://127.0.0.1:{port}/readyz")
    _wait(f"{url}/readyz")

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        return _call(method, f"{url}/admin/v1{path}", body)

    now = time.time_ns() // 1_000
    ids = demo_organisation.create(call, now)
    rows = demo_organisation.budgets(call, ids, demo_organisation.requests(ids, now), now)
    asyncio.run(_append(folder / "accounts.db", rows))
    secret = call("POST", "/keys", {"name": "dana-laptop", "team": ids.teams["research"]})["secret"]
    return (
        url,
        _run(folder, "dashboard", "--config", str(config)).strip(),
        Place(call, secret, f"http://127.0.0.1:{port}"),
    )


async def _append(path: Path, rows: list[Entry]) -> None:
    ledger = SqliteLedger(path, ("app",))
    for some in demo_organisation.in_batches(rows):
        await ledger.append(some)
    await ledger.aclose()


def _environment(folder: Path) -> dict[str, str]:
    """Without settings of the person who runs this."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}


@contextlib.contextmanager
def _command(folder: Path, *arguments: str) -> Iterator[None]:
    with (folder / f"{arguments[0]}.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "modelmux", *arguments], cwd=folder, env=_environment(folder), stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "modelmux", *arguments]
    return subprocess.run(  # noqa: S603
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, check=True
    ).stdout


def _call(method: str, url: str, body: Any) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {_TOKEN}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=_START) as reply:  # noqa: S310
        result: dict[str, Any] = json.load(reply)
        return result


def _wait(url: str) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            urllib.request.urlopen(url, timeout=_START).close()  # noqa: S310 - of this machine
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
