"""The text of ``docs/configuration.md``, generated from the table of settings.

``python -m tools.docs.configuration > docs/configuration.md`` renews it (``make docs``); a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from modelmux.config.deprecated_names import OLD_VALUES
from modelmux.config.introspection import is_table, item_of
from modelmux.config.settings import Section, Setting, dotted_name, old_settings, sections
from modelmux.config.toml_writer import literal

_HEAD: Final = """# Configuration

Only a Google Cloud project and a location are required. `modelmux config init` asks for them and writes a file with
every setting; this page lists the same settings. It is generated from the table that the code uses: `make docs`
rewrites it, and a test compares the two.

```toml
[vertex]
project = "my-project"
location = "global"
```

With that, every Claude model in the catalog is served under its name (`modelmux models` lists them).

## Where settings come from

Each setting is looked up on its own, in this order:

1. the command line: `--port 8080`, or `--set server.port=8080` for any setting that is not in a list of tables
2. environment variables
3. variables in the file `.env` in the working directory
4. the user's file: `~/.config/modelmux/config.toml` (`$XDG_CONFIG_HOME/modelmux/config.toml`, on Windows
   `%APPDATA%\\modelmux\\config.toml`)
5. the machine's file: `/etc/modelmux/config.toml`
6. the defaults

`--config FILE`, or the variable `MODELMUX_CONFIG`, names a file that is read instead of 4 and 5. Tables are merged key
by key; lists are replaced. `modelmux config path` lists the files, `modelmux config show --origin` shows where every
value comes from, and `modelmux config validate` reports every problem, with file and line. Unknown keys and values of
a wrong type are errors; an unknown variable that begins with `MODELMUX_` causes a warning.

A running gateway reads its configuration again on `modelmux reload` or `SIGHUP`. If the new configuration has errors,
the gateway keeps the previous one. Some settings
[need a restart](deployment.md#a-new-configuration-in-a-running-process).

## How values are written

Durations are numbers of seconds, or strings with a unit: `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"30d"`. Sizes are
numbers of bytes, or strings: `"64KiB"`, `"30MiB"`, `"1GB"`. `~` at the beginning of a path is the home directory. In
variables and with `--set`, lists are separated by commas, and `yes`, `on`, `no` and `off` are accepted too.

The variable of a setting is `MODELMUX_` and its path, `MODELMUX_SERVER_PORT`; `MODELMUX_SERVER__PORT` works too. The
tables list additional variables. If several are set, the first in the table wins. Variables that other programs read
too are marked "shared": if one of them overrides a value of a file, a warning says so. Variables marked "deprecated"
work, with a warning that names the successor. Empty variables count as not set.

Secrets are masked wherever settings are shown. `config init` writes files that only you can read; keep it that way.
"""

#: Path of a section -> the text below its table.
_MORE: Final[dict[str, str]] = {
    "": """
```toml
[aliases]
gpt-4o = "claude-sonnet-4-6"
assistant = { model = "claude-sonnet-5", successor = "claude-sonnet-5-5", from = 2027-01-31 }

[[catalog]]              # a model the catalog does not know yet
id = "claude-next"
context = 1_000_000
max_output = 128_000
```

The fields of a card are listed at the head of `src/modelmux/catalog/models.toml`; those left out have conservative
defaults, or the values of the model's own card. So `mid_system = false`, or `regions = ["europe-west4"]`, corrects one
fact of a known model.
""",
    "server": """
To accept connections from other machines:

```toml
[server]
host = "0.0.0.0"
api_keys = ["sk-modelmux-…"]   # better: set the variable MODELMUX_API_KEYS
```
""",
    "auth": """
```toml
[auth]
service_account_file = "~/keys/vertex.json"
```

Application Default Credentials are those of `gcloud auth application-default login`, or of the machine the gateway
runs on.
""",
    "vertex": """
A default model by its complete URL, for what the parts cannot express:

```toml
[vertex]
display_name = "claude"
url = "https://europe-west1-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-6:rawPredict"
```

Some models cannot be forced to call a tool (the 5.5 generation, Fable 5.1), and many agents and programs force one
(smolagents, LlamaIndex, instructor, pydantic-ai). With `forced_tool_choice = "downgrade"` they get `auto`, and the
response has the notice `changed=tool_choice`: they usually call the tool, but may answer with text. `"error"` is a 400
instead, as is [strict mode](compatibility.md). Requests of the Messages API and of Vertex AI's own paths keep their
choice; those get Claude's own 400.
""",
    "vertex.models": """
```toml
[vertex]
project = "my-project"
location = "global"

[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5@20251001"
locations = ["global", "eu"]   # tried in this order

[[vertex.models]]
name = "big"
model = "claude-opus-5"
prefill = "continue"
fallbacks = ["claude-sonnet-5", "fast"]   # other models, when all deployments of this one have failed
```

If models are listed here, `/v1/models` lists only these; the other models of the catalog are still served if
`vertex.project` and `vertex.location` are set. Any other name gets a 404, unless `vertex.default_for_unknown_models` is
set.
""",
    "vertex.models.deployments": """
```toml
[vertex]
project = "my-project"
location = "global"

[[vertex.models]]
name = "sonnet"
model = "claude-sonnet-4-6"

[[vertex.models.deployments]]
location = "europe-west1"
weight = 3

[[vertex.models.deployments]]
location = "europe-west1"
project = "another-project"

[[vertex.models.deployments]]
location = "global"
order = 1                # when the others fail

[[vertex.models.deployments]]
model = "claude-haiku-5-5"
order = 2                # another model, when those fail
```

[Routing](routing.md) describes how deployments are chosen, and names that are served by several models.
""",
    "streaming": """
[Streaming](streaming.md) describes the modes, and which clients get which in mode `auto`.
""",
    "streaming.clients": """
```toml
[[streaming.clients]]
user_agent = "my-terminal"
mode = "standard"

[[streaming.clients]]
header = "x-batch"
mode = "single"
```
""",
    "accounts": """
```toml
[accounts.prices]
claude-next = "claude-opus-5-5"        # the prices of another model

[accounts.prices.claude-opus-5-5]
input = "3.6"                          # USD per million tokens
output = "18"
regional_multiplier = "1.1"            # in every location except global

[accounts.prices.claude-haiku-5-5]
input = 0                              # provisioned throughput: a fixed fee, so tokens cost nothing
```

`modelmux models` shows them in place of the list prices. A table has `input` and, if they differ from the usual
multiples of it, `output` (5 times), `cache_write` (for 5 minutes, 1.25 times), `cache_write_1h` (twice) and
`cache_read` (a tenth), each per million tokens; and `web_search` per 1,000 searches, by default `10`. Values are whole
numbers or strings with at most four decimals. They apply on every day, to prompts of every length, and are multiplied
by nothing except `regional_multiplier`. The list prices are in `src/modelmux/catalog/prices.toml`.
""",
    "fetch": """
```toml
[fetch]
allow = ["images.example.com", "*.cdn.example.com"]
timeout = "5s"
```
""",
}

_OLD_NAMES_HEAD: Final = """## Old names

These settings were renamed. The old names keep working, in files, in variables and with `--set`, and a warning names
the successor. Every source is converted on its own: an old name in a stronger source wins over the new name in a weaker
one. If one source has both, the new name wins, with a warning.
"""


def render() -> str:
    """The complete page."""
    return "\n".join(_lines()).rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for section in sections():
        name = ".".join(part for part in section.path if part != "[]")
        in_list = bool(section.path) and section.path[-1] == "[]"
        yield f"## `[[{name}]]`" if in_list else f"## `[{name}]`" if name else "## Outside tables"
        yield ""
        if section.description:
            yield f"{section.description.replace('``', '`')}\n"
        yield from _table(section, variables="[]" not in section.path)
        yield _MORE.get(name, "")
    yield from _old_names()


def _old_names() -> Iterator[str]:
    yield _OLD_NAMES_HEAD
    yield "| old name | variable | new name | |"
    yield "|---|---|---|---|"
    for name, old in old_settings():
        variable = f"`{old.env[0].name}`" if old.env else ""
        note = name.note or ("" if name.deprecated else "a synonym, without a warning; setting both is an error")
        yield f"| `{old.name}` | {variable} | `{dotted_name(name.new)}` | {note} |"
    yield ""
    yield "Old values are synonyms, without a warning:"
    yield ""
    yield "| setting | old value | new value |"
    yield "|---|---|---|"
    for path, values in OLD_VALUES.items():
        yield from (f"| `{dotted_name(path)}` | `{old}` | `{new}` |" for old, new in values.items())


def _table(section: Section, *, variables: bool) -> Iterator[str]:
    columns = ["setting", "value", "default", *(["variables"] if variables else []), "meaning"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for setting in section.settings:
        cells = [f"`{setting.path[-1]}`", _escaped(setting.expected), _default(setting)]
        if variables:
            cells.append(_variables(setting))
        yield f"| {' | '.join([*cells, _meaning(setting)])} |"


def _default(setting: Setting) -> str:
    default: Any = setting.default
    if default is msgspec.NODEFAULT:
        return "required"
    return "" if default is None or default in ([], {}) else f"`{literal(default)}`"


def _variables(setting: Setting) -> str:
    """All except the one with two underscores, which the head of the page explains."""
    shown = []
    for env in setting.env:
        if "__" in env.name:
            continue
        notes = [
            word for word, on in (("deprecated", env.deprecated), ("base64", env.base64), ("shared", env.shared)) if on
        ]
        shown.append(f"`{env.name}`" + (f" ({', '.join(notes)})" if notes else ""))
    return ", ".join(shown)


def _meaning(setting: Setting) -> str:
    if is_table(item_of(setting.kind)):
        name = ".".join(part for part in setting.path if part != "[]")
        return f"{_escaped(setting.description)} See `[[{name}]]`."
    return _escaped(setting.description)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
