"""The text of ``docs/configuration.md``, made from the table of settings.

``python -m tools.docs.configuration > docs/configuration.md`` renews it (``make docs``); a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from modelmux.config.settings import Section, Setting, is_table, item_of, sections
from modelmux.config.toml_writer import literal

_HEAD: Final = """# Configuration

Nothing has to be configured but a Google Cloud project and a location. `modelmux config init` asks for them and writes
a file with every setting in it; this page lists the same settings. It is generated from the table the code runs on:
`make docs` renews it and a test holds it true.

```toml
[vertex]
project = "my-project"
location = "global"
```

With that, every Claude model of the catalog is served by its name (`modelmux models` lists them).

## Where settings come from

Stronger ones first; each setting is looked for on its own:

1. the command line: `--port 8080`, or `--set server.port=8080` for any setting outside of lists of tables
2. environment variables
3. variables in the file `.env` in the working directory
4. the user's file: `~/.config/modelmux/config.toml` (`$XDG_CONFIG_HOME/modelmux/config.toml`, on Windows
   `%APPDATA%\\modelmux\\config.toml`)
5. the machine's file: `/etc/modelmux/config.toml`
6. the defaults

`--config FILE`, or the variable `MODELMUX_CONFIG`, names a file that is read instead of 4 and 5. Tables are joined key
by key; lists are replaced as a whole. `modelmux config path` says which files are looked at, `modelmux config show
--origin` where every value comes from, `modelmux config validate` everything that is wrong, with file and line. Unknown
keys and values of a wrong type are errors; an unknown variable that begins with `MODELMUX_` is a warning.

A running gateway reads its configuration again on `modelmux reload` or `SIGHUP`. What it cannot use it refuses, and
goes on with what it had.

## How values are written

Durations are numbers, in seconds unless the name says milliseconds, or text with a unit: `"500ms"`, `"30s"`, `"5m"`,
`"1h"`. Sizes are bytes, or text: `"64KiB"`, `"30MiB"`, `"1GB"`. `~` at the beginning of a path is your home. In
variables and with `--set`, lists are separated by commas, and `yes`, `on`, `no` and `off` are understood too.

A setting's own variable is `MODELMUX_` and its path, `MODELMUX_SERVER_PORT`; `MODELMUX_SERVER__PORT` is read too. The
tables name the further ones. Of several that are set, the first named wins. Variables that other programs read as well
are marked "shared": if one of them overrules a value that a file sets, a warning says so. Variables marked
"deprecated" work, and a warning names their successor. Empty variables count as not set.

In a file, the keys `project_id` and `model_id` of `[vertex]` and `[[vertex.models]]` mean `project` and `model`.

Secrets are masked wherever settings are shown. `config init` writes files that only you can read; keep it so.
"""

#: Path of a section -> what stands below its table.
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

The fields of a card are those at the head of `src/modelmux/catalog/models.toml`; what is left out is cautious.
""",
    "server": """
To be reached from other machines:

```toml
[server]
host = "0.0.0.0"
api_keys = ["sk-modelmux-…"]   # better in the variable MODELMUX_API_KEYS
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
A default model by its whole URL, for what the parts cannot say:

```toml
[vertex]
display_name = "claude"
url = "https://europe-west1-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-6:rawPredict"
```

Clients that force a tool call in their default mode (instructor's TOOLS, pydantic-ai's tool output) get a 400 on models
that cannot be forced (the 5.5 generation, Fable 5.1). `forced_tool_choice = "downgrade"` lets them try with `auto`.
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
```

Where models are listed, `/v1/models` names these only; the others of the catalog are served all the same if
`vertex.project` and `vertex.location` are set. Other names are a 404, unless `vertex.fallback_to_default` is set.
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
location = "europe-west4"
project = "another-project"

[[vertex.models.deployments]]
location = "global"
order = 1                # when the others fail
```
""",
    "streaming": """
[Streaming](streaming.md) tells what each mode does, and which clients get which by themselves.
""",
    "streaming.clients": """
```toml
[[streaming.clients]]
user_agent = "my-terminal"
mode = "standard"

[[streaming.clients]]
header = "x-batch"
mode = "never"
```
""",
    "fetch": """
```toml
[fetch]
allow = ["images.example.com", "*.cdn.example.com"]
timeout = "5s"
```
""",
}


def render() -> str:
    """The whole page."""
    return "\n".join(_lines()).rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for section in sections():
        name = ".".join(part for part in section.path if part != "[]")
        in_list = bool(section.path) and section.path[-1] == "[]"
        yield f"## `[[{name}]]`" if in_list else f"## `[{name}]`" if name else "## Outside of tables"
        yield ""
        if section.about:
            yield f"{section.about.replace('``', '`')}\n"
        yield from _table(section, variables="[]" not in section.path)
        yield _MORE.get(name, "")


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
        return "has to be set"
    return "" if default is None or default in ([], {}) else f"`{literal(default)}`"


def _variables(setting: Setting) -> str:
    """All but the one made with two underscores, which the head of the page explains."""
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
        return f"{_escaped(setting.about)} See `[[{name}]]`."
    return _escaped(setting.about)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
