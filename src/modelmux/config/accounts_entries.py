"""``[[accounts.teams]]``, ``people``, ``keys``, ``budgets`` and ``limits``: what the configuration manages."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct, field

from modelmux.accounts.budgets import Each, Mode, OnShort, Reserve, Unit
from modelmux.accounts.windows import Every, Weekday
from modelmux.config.annotations import doc


class RatesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Limits; without a value, none."""

    rpm: Annotated[int | None, doc("Requests a minute.", example=60)] = None
    tpm: Annotated[int | None, doc("Tokens a minute, without those that are read from the cache.", example=100_000)] = (
        None
    )
    itpm: Annotated[int | None, doc("The same for tokens of input.", example=80_000)] = None
    otpm: Annotated[int | None, doc("The same for tokens of output.", example=20_000)] = None
    concurrent: Annotated[int | None, doc("Requests at once.", example=5)] = None


class TeamConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A team."""

    name: Annotated[str, doc("Its name.", example="data")]
    parent: Annotated[str | None, doc("The name of the team above it.", example="research")] = None
    zone: Annotated[str | None, doc("Time zone in which its budgets begin.", example="Europe/Berlin")] = None
    contact: Annotated[
        str | None, doc("Whom its members ask for more, shown in errors.", example="ann@example.com")
    ] = None
    limits: Annotated[RatesConfig, doc("Limits of all its keys together, and of the teams below it: rpm, tpm, …")] = (
        field(default_factory=RatesConfig)
    )
    enabled: Annotated[bool, doc("Keys of a team that is not enabled are refused.")] = True


class PersonConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A person."""

    email: Annotated[str, doc("The e-mail address.", example="ann@example.com")]
    name: Annotated[str, doc("The person's name.")] = ""
    limits: Annotated[RatesConfig, doc("Limits of all keys of the person together: rpm, tpm, …")] = field(
        default_factory=RatesConfig
    )
    enabled: Annotated[bool, doc("Keys of a person who is not enabled are refused.")] = True


class KeyConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A key. Its secret is never in the file."""

    name: Annotated[str, doc("What people call it.", example="ci")]
    variable: Annotated[str | None, doc("The environment variable that has its secret.", example="CI_KEY")] = None
    sha256: Annotated[
        str | None,
        doc("In place of a variable: the SHA-256 of its secret, 64 hexadecimal digits.", example="9f86d081…"),
    ] = None
    team: Annotated[str | None, doc("The name of its team.", example="data")] = None
    person: Annotated[str | None, doc("The e-mail address of the person whose it is.", example="ann@example.com")] = (
        None
    )
    models: Annotated[list[str], doc("Names of routes and models that it may use; * stands for any characters.")] = []
    apis: Annotated[list[str], doc("APIs that it may use: chat, responses, messages, vertex.")] = []
    addresses: Annotated[list[str], doc("Networks from which it may be used.", example=["10.0.0.0/8"])] = []
    tags: Annotated[list[str], doc("Tags that all its requests have.", example=["app=ci"])] = []
    expires: Annotated[str | None, doc("When it ends, in UTC unless it says otherwise.", example="2026-12-31")] = None
    limits: Annotated[RatesConfig, doc("Limits of the key: a table of rpm, tpm, itpm, otpm and concurrent.")] = field(
        default_factory=RatesConfig
    )
    capture: Annotated[bool, doc("Bodies of its requests may be kept, where capture.enabled is true.")] = False
    enabled: Annotated[bool, doc("A key that is not enabled is refused.")] = True


class SelectorConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which requests a budget or a limit applies to: all conditions have to hold; without any, all requests."""

    key: Annotated[str | None, doc("The name of a key.", example="ci")] = None
    team: Annotated[str | None, doc("The name of a team, which counts with those below it.", example="data")] = None
    person: Annotated[str | None, doc("The e-mail address of a person.", example="ann@example.com")] = None
    each: Annotated[
        Each | None,
        doc("One of its own for each of these, and only for requests that have one.", example="person"),
    ] = None
    model: Annotated[
        str | None, doc("A model that is called; * stands for any characters.", example="claude-opus-*")
    ] = None
    route: Annotated[str | None, doc("A name that is served; * stands for any characters.", example="deep")] = None
    tag: Annotated[str | None, doc("app=chat, or app for any value.", example="app=chat")] = None


class WindowConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """When a budget begins anew."""

    every: Annotated[Every, doc("How long it lasts.")] = "month"
    zone: Annotated[
        str | None, doc("Time zone; by default that of the team, else accounts.zone.", example="Europe/Berlin")
    ] = None
    starts: Annotated[Weekday, doc("The day on which weeks begin.")] = "monday"
    hour: Annotated[int, doc("The hour at which days, weeks, months, quarters and years begin, 0 to 23.")] = 0


class BudgetConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A budget."""

    name: Annotated[str, doc("Its name.", example="everybody")]
    limit: Annotated[
        str | int, doc("How much: USD with at most nine decimals, in quotes unless it is a whole number.", example="50")
    ]
    applies_to: Annotated[SelectorConfig, doc("Which requests: a table of conditions.")] = field(
        default_factory=SelectorConfig
    )
    window: Annotated[
        Every | WindowConfig,
        doc("When it begins anew; a table has every, zone, starts (the day, of weeks) and hour (of the day)."),
    ] = "month"
    unit: Annotated[Unit, doc("What is counted.")] = "usd"
    mode: Annotated[Mode, doc("A hard budget is never exceeded; a soft one is counted and refuses nothing.")] = "hard"
    alerts: Annotated[list[float], doc("Parts of the limit at which you are told, once in a window; 0.8 is 80 %.")] = (
        field(default_factory=lambda: [0.5, 0.8, 1.0])
    )
    on_short: Annotated[
        OnShort, doc("What happens to a request that does not fit: refuse it, wait, or lower its max_tokens.")
    ] = "refuse"
    reserve: Annotated[
        Reserve, doc("What a request holds while it runs: its worst case, or what it is expected to cost.")
    ] = "worst"
    metric: Annotated[bool, doc("Whether /metrics shows it; of budgets in USD with one window.")] = False
    enabled: Annotated[bool, doc("A budget that is not enabled applies to nothing.")] = True


class LimitConfig(RatesConfig):
    """A limit of requests and tokens."""

    name: Annotated[str, doc("Its name.", example="opus")]
    applies_to: Annotated[SelectorConfig, doc("Which requests: a table of conditions, as that of a budget.")] = field(
        default_factory=SelectorConfig
    )
    enabled: Annotated[bool, doc("A limit that is not enabled applies to nothing.")] = True
