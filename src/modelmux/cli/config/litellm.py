"""The parsed YAML configuration of LiteLLM's proxy -> settings of ModelMux and a report of every key.

Nothing is guessed: a key without a counterpart is reported and left out. The structure is that of LiteLLM's
documentation (``model_list``, ``router_settings``, ``litellm_settings``, ``general_settings``). Not in this module:
files, YAML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelmux.catalog import Catalog, normalise
from modelmux.config.settings import settings

_ENVIRONMENT: Final = "os.environ/"
#: The highest weight of a deployment.
_MAX_WEIGHT: Final = 1000
_PARAMS: Final = {
    "api_key": "Google credentials are used instead, see [auth]",
    "api_base": "vertex.base_url replaces the endpoint of all models, vertex.models[].url of one",
    "base_url": "vertex.base_url replaces the endpoint of all models, vertex.models[].url of one",
    "tpm": "token limits are enforced by Google, not by the gateway",
    "timeout": "timeouts of one model are in vertex.models[].timeouts, by stage: total, first_byte, idle",
    "stream_timeout": "timeouts of one model are in vertex.models[].timeouts, by stage: total, first_byte, idle",
    "max_retries": "retries.max is for all models",
    "max_parallel_requests": "max_in_flight of a deployment is the counterpart, see vertex.models[]",
}
_TIMEOUT: Final = "timeouts are set by stage, see [timeouts]; timeouts.total is for a whole request"
_REASONS: Final = {
    "router_settings.routing_strategy": "deployments are chosen by order and weight",
    "router_settings.timeout": _TIMEOUT,
    "router_settings.stream_timeout": "timeouts are set by stage, see [timeouts]: first_token and idle are for streams",
    "router_settings.allowed_fails": "a circuit breaker for each deployment is always on",
    "router_settings.cooldown_time": "cooldowns are chosen by the circuit breaker and by retry-after",
    "litellm_settings.request_timeout": _TIMEOUT,
    "litellm_settings.cache": "answers are not cached; Claude's prompt cache is used, see vertex.prompt_caching",
    "litellm_settings.callbacks": "there are no callbacks; see /metrics and the log",
    "litellm_settings.success_callback": "there are no callbacks; see /metrics and the log",
    "litellm_settings.failure_callback": "there are no callbacks; see /metrics and the log",
    "general_settings.max_parallel_requests": "limits.max_concurrent_requests is the counterpart",
    "general_settings.global_max_parallel_requests": "limits.max_concurrent_requests is the counterpart",
    "litellm_settings.drop_params": "unsupported parameters are dropped with a notice, unless server.strict is set",
    "general_settings.database_url": "there are no virtual keys or budgets that need a database",
}


@dataclass(frozen=True)
class Line:
    """The result for one key.

    :param path: in the YAML: ``model_list[0].litellm_params.model``.
    :param outcome: the setting it was converted to, or why it was not converted.
    """

    converted: bool
    path: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.path} -> {self.outcome}" if self.converted else f"{self.path}: {self.outcome}"


@dataclass
class _Entry:
    """A deployment of the model list that can be served.

    :param path: of its ``litellm_params``.
    :param target: its project and location, where set.
    :param numbers: its ``weight``, ``rpm`` and ``order``, where set.
    """

    name: str
    model: str
    path: str
    target: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass
class Import:
    """A conversion: call ``read``, then see ``settings`` and ``report``."""

    environment: Mapping[str, str]
    catalog: Catalog
    settings: dict[str, Any] = field(default_factory=dict)
    report: list[Line] = field(default_factory=list)
    #: Read last, because they refer to models.
    _pending_fallbacks: list[tuple[str, Any]] = field(default_factory=list)

    def read(self, tree: Any) -> None:
        """Convert a parsed YAML document.

        :raises ValueError: it is not a configuration of LiteLLM.
        """
        if not isinstance(tree, Mapping) or not any(k in tree for k in ("model_list", "general_settings")):
            raise ValueError("it has neither model_list nor general_settings, so it is not a LiteLLM configuration")
        for key, value in tree.items():
            if key == "model_list":
                self._models(value)
            elif key in ("router_settings", "litellm_settings", "general_settings") and isinstance(value, Mapping):
                for name, inner in value.items():
                    self._general(f"{key}.{name}", name, inner)
            elif value is not None:
                self._skip(str(key), "it has no counterpart")
        for path, value in self._pending_fallbacks:
            self._fallbacks(path, value)

    # the model list

    def _models(self, entries: Any) -> None:
        if not isinstance(entries, list):
            self._skip("model_list", "must be a list")
            return
        groups: dict[str, list[_Entry]] = {}
        for index, entry in enumerate(entries):
            path = f"model_list[{index}]"
            deployment = self._entry(entry, path)
            if deployment is not None:
                groups.setdefault(deployment.name.lower(), []).append(deployment)
        models = [self._model(group) for group in groups.values()]
        if models:
            self.settings.setdefault("vertex", {})["models"] = models

    def _entry(self, entry: Any, path: str) -> _Entry | None:
        """An entry of the list; None if it cannot be served."""
        params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
        name = self._text(entry.get("model_name"), f"{path}.model_name") if isinstance(entry, Mapping) else None
        if name is None or not isinstance(params, Mapping):
            self._skip(path, "it has no model_name or no litellm_params")
            return None
        model = self._model_id(params.get("model"), f"{path}.litellm_params.model")
        if model is None:
            return None
        deployment = _Entry(name, model, f"{path}.litellm_params")
        for key, value in params.items():
            self._param(str(key), value, deployment)
        for key in entry:
            if key not in ("model_name", "litellm_params"):
                self._skip(f"{path}.{key}", "it has no counterpart")
        self._convert(f"{path}.model_name", f"vertex.models {name!r}")
        return deployment

    def _model_id(self, value: Any, path: str) -> str | None:
        text = self._text(value, path)
        if text is None:
            return None
        if "*" in text:
            self._skip(path, "with vertex.project set, every Claude model of the catalog is served by its name")
            return None
        prefix, slash, rest = text.rpartition("/")
        card = self.catalog.find(rest if prefix in ("vertex_ai", "anthropic") else text)
        plain = card.id if card else normalise(rest)
        if (slash and prefix.split("/")[0] not in ("vertex_ai", "anthropic")) or not plain.startswith("claude"):
            self._skip(path, f"{text!r} is not a Claude model on Vertex AI, and only those are served")
            return None
        elsewhere = "" if prefix.startswith("vertex_ai") else ", served by Vertex AI instead of Anthropic"
        self._convert(path, f"model = {plain!r}{elsewhere}")
        return plain

    def _param(self, key: str, value: Any, entry: _Entry) -> None:
        path = f"{entry.path}.{key}"
        if key in ("vertex_project", "vertex_ai_project"):
            self._target("project", value, path, entry)
        elif key in ("vertex_location", "vertex_ai_location"):
            self._target("location", value, path, entry)
        elif key in ("vertex_credentials", "vertex_ai_credentials"):
            self._credentials(value, path)
        elif key in ("weight", "rpm", "order"):
            is_order = key == "order"
            is_number = isinstance(value, int if is_order else (int, float)) and not isinstance(value, bool)
            if is_number and 0 <= value < (_MAX_WEIGHT if is_order else math.inf):
                entry.numbers[key] = value  # its conversion depends on the other entries of the same name
            else:
                self._skip(path, "must be a number of at least 0")
        elif key != "model":
            self._skip(path, _PARAMS.get(key, "default request parameters are not supported"))

    def _target(self, key: str, value: Any, path: str, entry: _Entry) -> None:
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            variable = value.removeprefix(_ENVIRONMENT)
            if self._reads(f"vertex.{key}", variable):
                self._convert(path, f"nothing: vertex.{key} is read from {variable} anyway")
                return
            value = self.environment.get(variable)
            if not value:
                self._skip(path, f"{variable} is not set; set {key} of the model, or vertex.{key}")
                return
        text = self._text(value, path)
        if text is not None:
            entry.target[key] = text
            self._convert(path, f"{key} = {text!r}")

    def _credentials(self, value: Any, path: str) -> None:
        """A file or inline JSON. All models share one credential."""
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            variable = value.removeprefix(_ENVIRONMENT)
            if self._reads("auth.service_account_file", variable):
                self._convert(path, f"nothing: {variable} is read anyway")
            else:
                self._skip(path, f"set MODELMUX_AUTH_SERVICE_ACCOUNT_FILE, or …_JSON, to the value of {variable}")
            return
        inline = isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))
        if inline:
            self._skip(path, "save the key to a file and set auth.service_account_file")
            return
        text = self._text(value, path)
        if text is None:
            return
        auth = self.settings.setdefault("auth", {})
        if auth.setdefault("service_account_file", text) != text:
            self._skip(path, f"all models share one credential, {auth['service_account_file']}")
            return
        self._convert(path, "auth.service_account_file")

    def _model(self, group: list[_Entry]) -> dict[str, Any]:
        """An entry of ``[[vertex.models]]``, with its deployments if there are several."""
        first = group[0]
        several = len(group) > 1
        key = "weight" if any("weight" in entry.numbers for entry in group) else "rpm"
        weights = _weights([entry.numbers.get(key) for entry in group])
        targets: list[dict[str, Any]] = []
        for entry, weight in zip(group, weights, strict=True):
            target = dict(entry.target)
            if entry.model != first.model:
                target["model"] = entry.model
            if several and weight is not None:
                target["weight"] = weight
            if several and "order" in entry.numbers:
                target["order"] = int(entry.numbers["order"])
            self._numbers(entry, key if several else None, weight)
            targets.append(target)
        head = {"name": first.name, "model": first.model}
        return head | ({"deployments": targets} if several else targets[0])

    def _numbers(self, entry: _Entry, key: str | None, weight: int | None) -> None:
        """Report weight, order and requests per minute of an entry; ``key`` is the one its weight was computed from."""
        for name in entry.numbers:
            path = f"{entry.path}.{name}"
            if key is None:
                self._skip(path, "there is no other deployment of this name")
            elif name == "order":
                self._convert(path, "order")
            elif name == key:
                self._convert(path, f"weight = {weight}" + ("" if name == "weight" else ", a share and not a limit"))
            else:
                self._skip(path, "there are weights; request limits are enforced by Google")

    # the other settings

    def _general(self, path: str, name: str, value: Any) -> None:
        if name == "master_key":
            self._key(path, value)
        elif name == "num_retries" and type(value) is int and 0 <= value <= 100:
            self.settings.setdefault("retries", {}).setdefault("max", value)
            self._convert(path, f"retries.max = {value}")
        elif name == "fallbacks" and isinstance(value, list):
            self._pending_fallbacks.append((path, value))
        elif name == "model_group_alias" and isinstance(value, Mapping):
            self._aliases(path, value)
        else:
            self._skip(path, _REASONS.get(path, "it has no counterpart"))

    def _fallbacks(self, path: str, entries: list[Any]) -> None:
        """A list of tables: name -> names."""
        models = {model["name"].lower(): model for model in self.settings.get("vertex", {}).get("models", ())}
        for index, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                self._skip(f"{path}[{index}]", "must be a table")
                continue
            for name, targets in entry.items():
                where = f"{path}[{index}].{name}"
                model = models.get(str(name).lower())
                if model is None or not isinstance(targets, list):
                    self._skip(where, "it is not the name of a converted model, with a list of names")
                    continue
                for target in targets:
                    self._fallback(where, target, model)

    def _fallback(self, path: str, target: Any, model: dict[str, Any]) -> None:
        names = {other["name"].lower() for other in self.settings["vertex"]["models"]}
        names |= {alias.lower() for alias in self.settings.get("aliases", ())}
        fallbacks: list[str] = model.get("fallbacks", [])
        text = self._text(target, path)
        if text is None:
            return
        if text.lower() == model["name"].lower() or text.lower() in map(str.lower, fallbacks):
            self._skip(path, f"{text!r} is the model itself, or listed twice")
        elif text.lower() not in names and self.catalog.find(text) is None:
            self._skip(path, f"{text!r} is not the name of a converted model")
        else:
            model["fallbacks"] = [*fallbacks, text]
            self._convert(path, f"fallbacks of vertex.models {model['name']!r}: {text!r}")

    def _key(self, path: str, value: Any) -> None:
        if isinstance(value, str) and value.startswith(_ENVIRONMENT):
            self._skip(path, f"set MODELMUX_MASTER_KEY to the value of {value.removeprefix(_ENVIRONMENT)}")
        elif isinstance(value, str) and value.strip():
            self.settings.setdefault("server", {})["api_keys"] = [value]
            self._convert(path, "server.api_keys")
        else:
            self._skip(path, "must be a string")

    def _aliases(self, path: str, aliases: Mapping[Any, Any]) -> None:
        for alias, value in aliases.items():
            where = f"{path}.{alias}"
            target = self._text(value.get("model") if isinstance(value, Mapping) else value, where)
            if target is not None:
                self.settings.setdefault("aliases", {})[str(alias)] = target
                self._convert(where, f"aliases.{alias}")
            if isinstance(value, Mapping) and value.get("hidden"):
                self._skip(f"{where}.hidden", "names cannot be hidden")

    def _reads(self, name: str, variable: str) -> bool:
        return any(variable == env.name for s in settings() if s.name == name for env in s.env)

    def _text(self, value: Any, path: str) -> str | None:
        if isinstance(value, str) and value.strip():
            return value.strip()
        self._skip(path, "must be a string")
        return None

    def _convert(self, path: str, outcome: str) -> None:
        self.report.append(Line(True, path, outcome))

    def _skip(self, path: str, reason: str) -> None:
        self.report.append(Line(False, path, reason))


def _weights(values: list[float | None]) -> list[int | None]:
    """Weights as integers. If any is larger or a fraction, all are scaled so that the shares remain about the same."""
    numbers = [value for value in values if value is not None]
    if all(value == int(value) and value <= _MAX_WEIGHT for value in numbers):
        return [None if value is None else int(value) for value in values]
    largest = max(numbers)
    return [None if v is None else max(round(100 * v / largest), 1 if v else 0) for v in values]
