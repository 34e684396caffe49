"""The configuration of LiteLLM's proxy, as its YAML parses, -> settings of ModelMux and a report of every key.

Nothing is guessed: what has no counterpart here is reported and left out. The shape is that of LiteLLM's documentation
(``model_list``, ``router_settings``, ``litellm_settings``, ``general_settings``). No files and no YAML here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelmux.catalog import Catalog, normalise
from modelmux.config.settings import settings

_ENVIRONMENT: Final = "os.environ/"
#: A deployment's share is at most this.
_MOST: Final = 1000
_PARAMS: Final = {
    "api_key": "Google credentials are used here, see [auth]",
    "api_base": "vertex.base_url replaces the endpoint of all models, vertex.models[].url of one",
    "base_url": "vertex.base_url replaces the endpoint of all models, vertex.models[].url of one",
    "tpm": "limits of tokens a minute are Google's own; not enforced here",
}
_REASONS: Final = {
    "router_settings.fallbacks": "one model serves a name here; clients ask for the other by a name of its own",
    "litellm_settings.fallbacks": "one model serves a name here; clients ask for the other by a name of its own",
    "router_settings.routing_strategy": "deployments are chosen by order and weight",
    "router_settings.timeout": "there is no such setting",
    "litellm_settings.request_timeout": "there is no such setting",
    "litellm_settings.drop_params": "what a model cannot take is left out with a notice, unless server.strict is set",
    "general_settings.database_url": "no database is used",
}


@dataclass(frozen=True)
class Line:
    """What became of a key.

    :param path: where it stands in the YAML: ``model_list[0].litellm_params.model``.
    :param said: the setting it became, or why it became none.
    """

    carried: bool
    path: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.path} -> {self.outcome}" if self.carried else f"{self.path}: {self.outcome}"


@dataclass
class _Entry:
    """A deployment of the model list that can be served here.

    :param path: of its ``litellm_params``.
    :param numbers: ``weight``, ``rpm`` and ``order``, as far as they are given.
    """

    name: str
    model: str
    path: str
    place: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass
class Import:
    """A conversion: read ``settings`` and ``report`` when it is done."""

    environment: Mapping[str, str]
    catalog: Catalog
    settings: dict[str, Any] = field(default_factory=dict)
    report: list[Line] = field(default_factory=list)

    def read(self, tree: Any) -> None:
        """Take over all of a parsed YAML document.

        :raises ValueError: it is none of LiteLLM's.
        """
        if not isinstance(tree, Mapping) or not any(k in tree for k in ("model_list", "general_settings")):
            raise ValueError("it has neither model_list nor general_settings, so it is no configuration of LiteLLM")
        for key, value in tree.items():
            if key == "model_list":
                self._models(value)
            elif key in ("router_settings", "litellm_settings", "general_settings") and isinstance(value, Mapping):
                for name, inner in value.items():
                    self._general(f"{key}.{name}", name, inner)
            elif value is not None:
                self._left(str(key), "nothing here corresponds to it")

    # the model list

    def _models(self, entries: Any) -> None:
        if not isinstance(entries, list):
            self._left("model_list", "it is not a list")
            return
        groups: dict[str, list[_Entry]] = {}
        for index, entry in enumerate(entries):
            path = f"model_list[{index}]"
            found = self._entry(entry, path)
            if found is not None:
                groups.setdefault(found.name.lower(), []).append(found)
        models = [self._model(group) for group in groups.values()]
        if models:
            self.settings.setdefault("vertex", {})["models"] = models

    def _entry(self, entry: Any, path: str) -> _Entry | None:
        """An entry of the list; None if it cannot be served here."""
        params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
        name = self._text(entry.get("model_name"), f"{path}.model_name") if isinstance(entry, Mapping) else None
        if name is None or not isinstance(params, Mapping):
            self._left(path, "it has no model_name or no litellm_params")
            return None
        model = self._model_id(params.get("model"), f"{path}.litellm_params.model")
        if model is None:
            return None
        made = _Entry(name, model, f"{path}.litellm_params")
        for key, value in params.items():
            self._param(str(key), value, made)
        for key in entry:
            if key not in ("model_name", "litellm_params"):
                self._left(f"{path}.{key}", "nothing here corresponds to it")
        self._took(f"{path}.model_name", f"vertex.models {name!r}")
        return made

    def _model_id(self, value: Any, path: str) -> str | None:
        text = self._text(value, path)
        if text is None:
            return None
        if "*" in text:
            self._left(path, "every Claude model of the catalog is served by its name where vertex.project is set")
            return None
        prefix, slash, rest = text.rpartition("/")
        card = self.catalog.find(rest if prefix in ("vertex_ai", "anthropic") else text)
        plain = card.id if card else normalise(rest)
        if (slash and prefix.split("/")[0] not in ("vertex_ai", "anthropic")) or not plain.startswith("claude"):
            self._left(path, f"{text!r} is no Claude model on Vertex AI, and nothing else is served here")
            return None
        elsewhere = "" if prefix.startswith("vertex_ai") else ", served by Vertex AI instead of Anthropic"
        self._took(path, f"model = {plain!r}{elsewhere}")
        return plain

    def _param(self, key: str, value: Any, entry: _Entry) -> None:
        path = f"{entry.path}.{key}"
        if key in ("vertex_project", "vertex_ai_project"):
            self._place("project", value, path, entry)
        elif key in ("vertex_location", "vertex_ai_location"):
            self._place("location", value, path, entry)
        elif key in ("vertex_credentials", "vertex_ai_credentials"):
            self._credentials(value, path)
        elif key in ("weight", "rpm", "order"):
            whole = key == "order"
            number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if number and 0 <= value < (_MOST if whole else math.inf):
                entry.numbers[key] = value  # what becomes of it depends on the others of its name
            else:
                self._left(path, "it is no number that fits")
        elif key != "model":
            self._left(path, _PARAMS.get(key, "requests bring their own parameters; there are no defaults for them"))

    def _place(self, key: str, value: Any, path: str, entry: _Entry) -> None:
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            variable = value.removeprefix(_ENVIRONMENT)
            if self._reads(f"vertex.{key}", variable):
                self._took(path, f"nothing: vertex.{key} is read from {variable} by itself")
                return
            value = self.environment.get(variable)
            if not value:
                self._left(path, f"{variable} is not set now; set {key} of the model, or vertex.{key}")
                return
        text = self._text(value, path)
        if text is not None:
            entry.place[key] = text
            self._took(path, f"{key} = {text!r}")

    def _credentials(self, value: Any, path: str) -> None:
        """Of a file or of JSON. One credential serves all models here."""
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            variable = value.removeprefix(_ENVIRONMENT)
            if self._reads("auth.service_account_file", variable):
                self._took(path, f"nothing: {variable} is read by itself")
            else:
                self._left(path, f"set MODELMUX_AUTH_SERVICE_ACCOUNT_FILE, or …_JSON, to what {variable} holds")
            return
        inline = isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))
        if inline:
            self._left(path, "put the key into a file of its own and name it in auth.service_account_file")
            return
        text = self._text(value, path)
        if text is None:
            return
        auth = self.settings.setdefault("auth", {})
        if auth.setdefault("service_account_file", text) != text:
            self._left(path, f"all models share one credential here, {auth['service_account_file']}")
            return
        self._took(path, "auth.service_account_file")

    def _model(self, group: list[_Entry]) -> dict[str, Any]:
        """An entry of ``[[vertex.models]]``, with deployments if there are several."""
        first = group[0]
        several = len(group) > 1
        key = "weight" if any("weight" in entry.numbers for entry in group) else "rpm"
        weights = _shares([entry.numbers.get(key) for entry in group])
        places: list[dict[str, Any]] = []
        for entry, weight in zip(group, weights, strict=True):
            place = dict(entry.place)
            if entry.model != first.model:
                place["model"] = entry.model
            if several and weight is not None:
                place["weight"] = weight
            if several and "order" in entry.numbers:
                place["order"] = int(entry.numbers["order"])
            self._numbers(entry, key if several else None, weight)
            places.append(place)
        head = {"name": first.name, "model": first.model}
        return head | ({"deployments": places} if several else places[0])

    def _numbers(self, entry: _Entry, key: str | None, weight: int | None) -> None:
        """Report weight, order and requests a minute of an entry; ``key`` is the one that made its weight."""
        for name in entry.numbers:
            path = f"{entry.path}.{name}"
            if key is None:
                self._left(path, "there is no other deployment of this name")
            elif name == "order":
                self._took(path, "order")
            elif name == key:
                self._took(path, f"weight = {weight}" + ("" if name == "weight" else ", a share and no limit"))
            else:
                self._left(path, "there are weights; limits of requests a minute are Google's own")

    # the other settings

    def _general(self, path: str, name: str, value: Any) -> None:
        if name == "master_key":
            self._key(path, value)
        elif name == "num_retries" and type(value) is int and 0 <= value <= 100:
            self.settings.setdefault("server", {}).setdefault("max_retry_attempts", value)
            self._took(path, f"server.max_retry_attempts = {value}")
        elif name == "model_group_alias" and isinstance(value, Mapping):
            self._aliases(path, value)
        else:
            self._left(path, _REASONS.get(path, "nothing here corresponds to it"))

    def _key(self, path: str, value: Any) -> None:
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            self._left(path, f"set MODELMUX_MASTER_KEY to what {value.removeprefix(_ENVIRONMENT)} holds")
        elif isinstance(value, str) and value.strip():
            self.settings.setdefault("server", {})["api_keys"] = [value]
            self._took(path, "server.api_keys")
        else:
            self._left(path, "it is not text")

    def _aliases(self, path: str, aliases: Mapping[Any, Any]) -> None:
        for alias, meant in aliases.items():
            where = f"{path}.{alias}"
            target = self._text(meant.get("model") if isinstance(meant, Mapping) else meant, where)
            if target is not None:
                self.settings.setdefault("aliases", {})[str(alias)] = target
                self._took(where, f"aliases.{alias}")
            if isinstance(meant, Mapping) and meant.get("hidden"):
                self._left(f"{where}.hidden", "names cannot be hidden")

    def _reads(self, name: str, variable: str) -> bool:
        return any(variable == env.name for s in settings() if s.name == name for env in s.env)

    def _text(self, value: Any, path: str) -> str | None:
        if isinstance(value, str) and value.strip():
            return value.strip()
        self._left(path, "it is not text")
        return None

    def _took(self, path: str, said: str) -> None:
        self.report.append(Line(True, path, said))

    def _left(self, path: str, why: str) -> None:
        self.report.append(Line(False, path, why))


def _shares(values: list[float | None]) -> list[int | None]:
    """Weights as whole numbers; larger or broken ones are scaled, so that the shares stay about the same."""
    given = [value for value in values if value is not None]
    if all(value == int(value) and value <= _MOST for value in given):
        return [None if value is None else int(value) for value in values]
    most = max(given)
    return [None if v is None else max(round(100 * v / most), 1 if v else 0) for v in values]
