"""``modelmux webhooks``: who is told of events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import click

from modelmux.accounts.alert_types import EVENT_TYPES
from modelmux.cli.accounts.api.client import ApiError, path_of
from modelmux.cli.accounts.api.open_api import accounts_options
from modelmux.cli.accounts.directory import ALL, json_option, listed, print_table
from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import exit_with_error, print_json, print_lines
from modelmux.cli.webhooks.local_api import Api, with_webhooks

#: Seconds for which a test waits for its end, and between two looks.
_TEST_FOR: Final = 20
_LOOK_EVERY: Final = 1.0
_NOT_SENT: Final = "the gateway has not sent it within {} s; it is tried again"
_RUNS: Final = "Is a gateway running with these accounts? `modelmux webhooks deliveries NAME` shows how it ended."


@click.group(cls=CommandGroup)
def webhooks() -> None:
    """Create, list, test and delete webhooks, and show what each was sent."""


@webhooks.command("create")
@click.argument("name")
@click.argument("endpoint", metavar="URL")
@click.option("--events", metavar="LIST", default=ALL, help=f"Some of {', '.join(EVENT_TYPES)}; all by default.")
@accounts_options
@json_option
def create(
    name: str, endpoint: str, events: str, config_path: Path | None, overrides: dict[str, Any], json: bool
) -> None:
    """Create the webhook NAME, which gets a POST at URL. Its secret is printed this once, alone on stdout."""
    form = {"name": name, "url": endpoint, "events": list(listed(events))}
    made = with_webhooks(config_path, overrides, lambda api: api.call("POST", "/webhooks", form))
    if json:
        print_json(made)
        return
    _print("created", made)
    click.echo(made["secret"])


@webhooks.command("list")
@accounts_options
@json_option
def list_webhooks(config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """List webhooks, with how the last delivery of each ended."""
    shown = with_webhooks(config_path, overrides, lambda api: api.pages("/webhooks"))
    if json:
        print_json(shown)
        return
    rows = [
        (one["id"], one["name"], one["status"], ",".join(one["events"]) or ALL, _last(one["last_delivery"]), one["url"])
        for one in shown
    ]
    print_table(("ID", "NAME", "STATUS", "EVENTS", "LAST", "URL"), rows)


@webhooks.command("test")
@click.argument("name")
@accounts_options
@json_option
def test(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Have the gateway send an event of the type webhook.test to NAME, and wait for how that ends."""

    async def run(api: Api) -> Any:
        path = path_of("webhooks", (await _named(api, name))["id"])
        delivery = await api.call("POST", f"{path}/test")
        for _ in range(_TEST_FOR):
            if delivery["tried_at"] is not None:
                return delivery
            await asyncio.sleep(_LOOK_EVERY)
            sent = await api.pages(f"{path}/deliveries", most=100)
            delivery = next((one for one in sent if one["id"] == delivery["id"]), delivery)
        return delivery

    delivery = with_webhooks(config_path, overrides, run)
    if json:
        print_json(delivery)
    if delivery["status"] == "delivered":
        if not json:
            print_lines("delivered", [f"{delivery['id']}: it answered {delivery['response_status']}"], "green")
        return
    if delivery["tried_at"] is None:
        exit_with_error([_NOT_SENT.format(_TEST_FOR)], _RUNS)
    exit_with_error([f"the webhook fails: {delivery['problem']}"], "It is tried again for 3 days.")


@webhooks.command("deliveries")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@accounts_options
@json_option
def deliveries(name: str, limit: int, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show what NAME was sent, the newest first."""

    async def run(api: Api) -> list[Any]:
        return await api.pages(f"{path_of('webhooks', (await _named(api, name))['id'])}/deliveries", most=limit)

    shown = with_webhooks(config_path, overrides, run)
    if json:
        print_json(shown)
        return
    rows = [
        (one["id"], one["type"], one["created_at"], one["status"], str(one["attempts"]), _result(one)) for one in shown
    ]
    print_table(("ID", "TYPE", "CREATED", "STATUS", "ATTEMPTS", "RESULT"), rows)


@webhooks.command("enable")
@click.argument("name")
@accounts_options
@json_option
def enable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Send events to it again."""
    _change(name, "PATCH", {"status": "active"}, "enabled", config_path, overrides, json=json)


@webhooks.command("disable")
@click.argument("name")
@accounts_options
@json_option
def disable(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Send nothing to it until it is enabled. What waits for it is given up."""
    _change(name, "PATCH", {"status": "disabled"}, "disabled", config_path, overrides, json=json)


@webhooks.command("delete")
@click.argument("name")
@accounts_options
@json_option
def delete(name: str, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Delete it for good. What waits for it is given up."""
    _change(name, "DELETE", None, "deleted", config_path, overrides, json=json)


def _change(
    name: str, method: str, body: Any, what: str, config_path: Path | None, overrides: dict[str, Any], *, json: bool
) -> None:
    async def run(api: Api) -> Any:
        return await api.call(method, path_of("webhooks", (await _named(api, name))["id"]), body)

    changed = with_webhooks(config_path, overrides, run)
    if json:
        print_json(changed)
    else:
        _print(what, changed)


async def _named(api: Api, name: str) -> Any:
    """By id or name. :raises ApiError: there is none."""
    known = await api.pages("/webhooks")
    wanted = name.strip().lower()
    found = next((one for one in known if wanted in (one["id"], one["name"].lower())), None)
    if found is None:
        raise ApiError(f"there is no webhook {name[:100]!r}", "`modelmux webhooks list` shows those that there are.")
    return found


def _last(delivery: Any) -> str | None:
    return None if delivery is None else f"{delivery['status']} {delivery['tried_at']}"


def _result(delivery: Any) -> str | None:
    status = delivery["response_status"]
    return delivery["problem"] or (None if status is None else str(status))


def _print(what: str, webhook: Any) -> None:
    print_lines(what, [f"{webhook['name']} ({webhook['id']})"], "green")
