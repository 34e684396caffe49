"""The chart, rendered by the real Helm.

Risk: pods that crash at their start because of what the chart gives them, that are killed in the middle of their drain,
that no probe, Service or NetworkPolicy reaches, or that have secrets where many can read them.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from modelmux.config import Config
from modelmux.config.deprecated_names import OLD_NAMES
from modelmux.config.settings import settings
from modelmux.config.values import Seconds
from modelmux.version import __version__
from support.cli import run_process
from support.helm import CHART, EXAMPLES, KUBE_VERSION, NAMED, ROOT, Rendered, refusal, run, template

KEY = "sk-0123456789abcdef0123456789abcdef"
SEAL, PEPPER, TOKEN = (hashlib.sha512(name).hexdigest() for name in (b"seal", b"pepper", b"token"))
DATABASE = "postgresql://modelmux:pw@pgbouncer:6432/modelmux"
#: What people put into the Secret that the examples name.
SECRETS: Final = {
    "admin-token": TOKEN, "seal-keys": SEAL, "peppers": PEPPER, "database-url": DATABASE,
    "listen-url": "postgresql://modelmux:pw@postgresql/modelmux", "redis-url": "rediss://:pw@redis:6379/0",
}  # fmt: skip
KEYS = (*NAMED, "--set", f"secrets.apiKeys={{{KEY}}}")
#: Settings that may have a password, and are no secret without one.
URLS = {("limits", "redis"), ("accounts", "store"), ("responses", "store"), ("thinking", "store")}
SEVERAL = ("--set", "replicaCount=3", "--set", f"secrets.sealKeys={{{SEAL}}}")
ACCOUNTS = (*NAMED, "--set", f"config.accounts.enabled=true,secrets.adminToken={TOKEN}")
ON_DATABASE = (*ACCOUNTS, "--set", f"secrets.databaseUrl={DATABASE}", "--set", f"secrets.peppers={{{PEPPER}}}")
#: Values by what they are for.
SETUPS: Final[dict[str, tuple[str | Path, ...]]] = {
    "keys": KEYS,
    "several pods with keys": (*KEYS, *SEVERAL),
    "autoscaled on PostgreSQL": (*ON_DATABASE, *SEVERAL, "--set", "autoscaling.enabled=true"),
    "in a Secret": (*ON_DATABASE, "--set", "configStorageType=Secret"),
    **{path.stem: ("-f", path, *NAMED) for path in sorted(EXAMPLES.glob("*.yaml"))},
}
#: Kinds that Kubernetes has no schema of: what the chart and the examples use of them.
OWN_SCHEMAS: Final = yaml.safe_load((Path(__file__).parent / "own_schemas.yaml").read_text())


@functools.cache
def rendered(name: str) -> Rendered:
    return template(*SETUPS[name])


@pytest.fixture(params=list(SETUPS))
def chart(request: pytest.FixtureRequest) -> Rendered:
    return rendered(request.param)


def secrets_of(chart: Rendered) -> dict[str, str] | None:
    """Those that people made, where the chart makes none."""
    own = [each for each in chart.all("Secret") if not each["metadata"]["name"].endswith("-config")]
    return None if own else SECRETS


def test_the_configuration_is_valid(chart: Rendered, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(chart.toml)
    variables = chart.variables(secrets_of(chart)) | {"MODELMUX_SERVER_STATE_DIR": str(tmp_path)}
    result = run_process("config", "validate", str(path), home=tmp_path, **variables)
    assert result.code == 0, result.stdout + result.stderr + chart.toml


def test_the_values_are_written_as_toml() -> None:
    """Helm reads numbers as floats, and --set as integers."""
    values = {
        "provider": "vertex",
        "aliases": {"gpt-4o": "claude-sonnet-4-6", "a.b": 'quote " back \\ line\nend <&> \u2028 é 😀 \x01'},
        "server": {"port": 4000, "drain_timeout": 90.5, "cors_origins": ["https://a", "https://b"], "strict": True},
        "limits": {"max_concurrent_requests": 123456789, "body_memory": None},
        "vertex": {
            "project": "my-project",
            "models": [
                {"name": "a", "deployments": [{"location": "global", "weight": 3}, {"order": 1}], "aliases": []},
                {"name": "b", "timeouts": {"idle": 0.25}},
            ],
        },
    }
    chart = template(*KEYS, "--set-json", f"config={json.dumps(values)}", "--set", "config.retries.max=7")
    config = chart.config
    assert config["aliases"] == values["aliases"]
    assert config["limits"] == {"max_concurrent_requests": 123456789}
    assert config["vertex"] == {"location": "global", **values["vertex"]}  # type: ignore[dict-item]
    assert config["retries"] == {"max": 7}
    assert config["provider"] == "vertex"
    assert (config["server"]["port"], config["server"]["drain_timeout"]) == (4000, 90.5)
    assert all(type(value) is int for value in (config["server"]["port"], *config["limits"].values()))


def test_every_variable_is_a_setting(chart: Rendered) -> None:
    known = {env.name for setting in settings() for env in setting.env} | {"MODELMUX_CONFIG"}
    named = {each["name"] for each in chart.container["env"]}
    assert named <= known
    assert chart.pod["enableServiceLinks"] is False  # or a Service called modelmux sets MODELMUX_PORT and others


def test_every_secret_that_is_referred_to_exists(chart: Rendered) -> None:
    variables = chart.variables(secrets_of(chart))
    assert variables
    for each in chart.container["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        assert reference is None or not reference.get("optional")  # without its database a pod would begin with a file


def test_the_drain_ends_before_the_grace_period(chart: Rendered) -> None:
    server = chart.config["server"]
    drain = Seconds.parse(server["drain_delay"]) + Seconds.parse(server["drain_timeout"])
    pause = chart.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert chart.pod["terminationGracePeriodSeconds"] >= pause + drain + 10
    probe = chart.container["readinessProbe"]
    assert Seconds.parse(server["drain_delay"]) > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize(
    ("delay", "timeout", "seconds"),
    [("500ms", "1.5m", 91), (7, 20.2, 28), ("0", "2 Min", 120), (" 1h ", ".5d", 46_800), ("3sec", "0s", 3)],
)
def test_durations_are_read_as_the_gateway_reads_them(delay: object, timeout: object, seconds: int) -> None:
    server = json.dumps({"drain_delay": delay, "drain_timeout": timeout})
    chart = template(*KEYS, "--set-json", f"config.server={server}", "--set", "preStopSleepSeconds=0")
    assert "lifecycle" not in chart.container
    assert chart.pod["terminationGracePeriodSeconds"] == seconds + 15
    read = Seconds.parse(delay) + Seconds.parse(timeout)
    assert 0 <= seconds - read < 2


def test_without_a_drain_timeout_the_default_of_the_gateway_counts() -> None:
    server = '{"drain_delay":null,"drain_timeout":null}'
    chart = template(*KEYS, "--set-json", f"config.server={server}")
    default = Config().server
    assert chart.pod["terminationGracePeriodSeconds"] == 5 + default.drain_delay + default.drain_timeout + 15


def test_the_manifests_fit_the_schemas_of_kubernetes(chart: Rendered) -> None:
    oldest = re.search(r"kubeVersion: \">=(\d+\.\d+)", (CHART / "Chart.yaml").read_text())
    assert oldest is not None
    for manifest in chart.manifests:
        api = manifest["apiVersion"].partition("/")[0]
        if ("." in api and not api.endswith(".k8s.io")) or api == "gateway.networking.k8s.io":
            jsonschema.validate(manifest, OWN_SCHEMAS[manifest["kind"]])
        else:
            for version in (oldest[1], kubernetes_validate.latest_version()):
                kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_with_a_mistake_does_not_fit() -> None:
    """The two checks above can fail."""
    chart = rendered("three-nodes")
    wrong = json.loads(json.dumps(chart.one("Deployment")).replace('"containerPort"', '"containerport"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)
    monitor = json.loads(json.dumps(chart.one("ServiceMonitor")).replace('"endpoints"', '"endpoint"'))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(monitor, OWN_SCHEMAS["ServiceMonitor"])


def test_lint_has_nothing_to_say(chart: Rendered, request: pytest.FixtureRequest) -> None:
    arguments = SETUPS[request.node.callspec.params["chart"]]
    ran = run("lint", "--strict", CHART, "--kube-version", KUBE_VERSION, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert chart.notes == ""


def test_what_is_selected_are_the_pods(chart: Rendered) -> None:
    deployment = chart.one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in chart.all("Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in chart.all("PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in chart.all("NetworkPolicy")]
    selectors += [each["labelSelector"]["matchLabels"] for each in chart.pod["topologySpreadConstraints"]]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert "app.kubernetes.io/instance" in selector  # and not those of another release
        assert not {"app.kubernetes.io/version", "helm.sh/chart"} & selector.keys()  # which an upgrade changes
    for scaler in chart.all("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert "replicas" not in deployment["spec"]  # or each upgrade would scale down
    for monitor in chart.all("ServiceMonitor"):
        selector, (endpoint,) = monitor["spec"]["selector"]["matchLabels"], monitor["spec"]["endpoints"]
        (service,) = [each for each in chart.all("Service") if selector.items() <= each["metadata"]["labels"].items()]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_scaler_looks_at_a_metric_that_the_gateway_has() -> None:
    scaler = rendered("autoscaled on PostgreSQL").one("HorizontalPodAutoscaler")
    (metric,) = [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert f"| `{metric}` | gauge |" in (ROOT / "docs/metrics.md").read_text()
    names = {each["containerResource"]["container"] for each in scaler["spec"]["metrics"] if each["type"] != "Pods"}
    assert names == {rendered("autoscaled on PostgreSQL").container["name"]}


def peers(rules: list[dict[str, Any]], side: str) -> Iterator[tuple[str, str | int, str]]:
    """Protocol, port and peer of all that rules allow. An empty list of peers allows anyone; no ports would be all."""
    for rule in rules:
        for port, peer in itertools.product(rule["ports"], rule.get(side) or ["anyone"]):
            yield port["protocol"], port["port"], json.dumps(peer, sort_keys=True)


def opened(chart: Rendered, side: str) -> set[tuple[str, str | int]]:
    policy = chart.one("NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    return {(protocol, port) for protocol, port, _ in peers(policy[side], "from" if side == "ingress" else "to")}


OUT: Final = {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 80)}


def test_the_network_policy_opens_what_is_needed_and_nothing_else() -> None:
    assert opened(rendered("keys"), "ingress") == {("TCP", "http")}
    assert opened(rendered("keys"), "egress") == OUT | {("TCP", 988)}
    # Nobody is named who may reach the admin API, so nobody may.
    assert opened(rendered("single-node"), "ingress") == {("TCP", "http")}
    assert opened(rendered("autoscaled on PostgreSQL"), "egress") == OUT | {("TCP", 988), ("TCP", 5432)}
    three = rendered("three-nodes")
    assert opened(three, "ingress") == {("TCP", "http"), ("TCP", "admin")}
    assert opened(three, "egress") == OUT | {("TCP", 6432), ("TCP", 5432), ("TCP", 6379)}
    thinking = template(*KEYS, "--set", "config.thinking.store=valkeys://redis:6379/0")
    assert opened(thinking, "egress") == OUT | {("TCP", 988), ("TCP", 6379)}
    closed = template(*KEYS, "--set", "config.fetch.enabled=false,networkPolicy.egress.metadataServer=false")
    assert opened(closed, "egress") == OUT - {("TCP", 80)}


def test_the_network_policy_knows_who_is_at_the_other_end() -> None:
    policy = rendered("three-nodes").one("NetworkPolicy")["spec"]
    peer = {(port, peer) for _, port, peer in peers(policy["ingress"], "from")}
    assert {port for port, who in peer if "monitoring" in who} == {"admin"}
    assert {port for port, who in peer if "ingress" in who} == {"http"}
    everyone = {port for _, port, who in peers(policy["egress"], "to") if who == '"anyone"'}
    assert everyone == {53, 443}
    # What a client names as an image must not be a machine of this network.
    (blocks,) = [rule["to"] for rule in policy["egress"] if rule["ports"][0]["port"] == 80]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(blocks[0]["ipBlock"]["except"])


def test_ports_of_the_policy_and_of_services_are_those_of_the_container(chart: Rendered) -> None:
    named = {port["name"] for port in chart.container["ports"]}
    used = {port for _, port in opened(chart, "ingress")}
    used |= {port["targetPort"] for service in chart.all("Service") for port in service["spec"]["ports"]}
    used |= {chart.container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert used <= named
    assert chart.port("http") == chart.config["server"]["port"]
    if "admin" in named:
        assert chart.config["admin"]["listen"] == f"0.0.0.0:{chart.port('admin')}"


def test_pods_are_restricted(chart: Rendered) -> None:
    """As the level "restricted" of the Pod Security Standards wants it; nor is the root file system written."""
    pod = chart.pod
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["containers"], *pod.get("initContainers", [])):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
    kinds = {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]}
    assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)


def test_the_image_is_the_one_that_the_dockerfile_makes(chart: Rendered) -> None:
    dockerfile = (ROOT / "packaging/docker/Dockerfile").read_text()
    user = chart.pod["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{chart.pod['securityContext']['runAsGroup']}\n" in dockerfile
    assert chart.pod["securityContext"]["fsGroup"] == user
    assert chart.container["args"] == ["serve"]
    assert 'ENTRYPOINT ["modelmux"]' in dockerfile
    mounts = {mount["mountPath"]: mount for mount in chart.container["volumeMounts"]}
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/modelmux"}
    assert chart.config["server"]["state_dir"] == "/var/lib/modelmux"
    assert "HOME=/tmp " in dockerfile
    information = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert information["appVersion"] == __version__
    assert chart.container["image"] == f"registry.example.com/modelmux:{__version__}"


def test_a_digest_takes_the_place_of_the_tag() -> None:
    digest = "sha256:" + "0" * 64
    assert template(*KEYS, "--set", f"image.digest={digest}").container["image"].endswith(f"/modelmux@{digest}")


def test_a_volume_belongs_to_one_pod() -> None:
    chart = rendered("single-node")
    assert chart.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    (volume,) = [each for each in chart.pod["volumes"] if each["name"] == "state"]
    claim = chart.one("PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    own = template("-f", EXAMPLES / "single-node.yaml", *NAMED, "--set", "persistence.existingClaim=mine")
    assert own.all("PersistentVolumeClaim") == []
    (volume,) = [each for each in own.pod["volumes"] if each["name"] == "state"]
    assert volume["persistentVolumeClaim"]["claimName"] == "mine"


def test_pods_are_replaced_when_the_configuration_or_a_secret_changes() -> None:
    def checksum(*more: str) -> str:
        deployment = template(*KEYS, *more).one("Deployment")
        annotation: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return annotation

    sums = [checksum(), checksum("--set", "config.retries.max=1"), checksum("--set", "secrets.webhookSecret=abc")]
    assert len({*sums}) == 3
    assert checksum("--set", "autoscaling.maxReplicas=1,preStopSleepSeconds=6") == sums[0]


REFUSED: Final[dict[str, tuple[tuple[str | Path, ...], str]]] = {
    "nothing is set": ((), "image.repository is not set"),
    "no project": (("--set", "image.repository=a"), "config.vertex.project is not set"),
    "no image": (("--set", f"config.vertex.project=p,secrets.apiKeys={{{KEY}}}"), "build packaging/docker/Dockerfile"),
    "no keys": (NAMED, "set secrets.apiKeys (openssl rand -hex 24)"),
    "a file without a volume": (ACCOUNTS, "set persistence.enabled=true, or secrets.databaseUrl"),
    "a file for several pods": ((*ACCOUNTS, *SEVERAL), "set secrets.databaseUrl"),
    "a file for pods to come": (
        (*ACCOUNTS, "--set", f"autoscaling.enabled=true,secrets.sealKeys={{{SEAL}}}"), "set secrets.databaseUrl",
    ),
    "no pepper": ((*ACCOUNTS, "--set", f"secrets.databaseUrl={DATABASE}"), "set secrets.peppers"),
    "no admin token": (
        (*NAMED, "--set", "config.accounts.enabled=true,persistence.enabled=true"), "set secrets.adminToken",
    ),
    "no seal key": ((*KEYS, "--set", "replicaCount=2"), "set secrets.sealKeys"),
    "a volume for several pods": ((*KEYS, *SEVERAL, "--set", "persistence.enabled=true"), "persistence is for one pod"),
    "a scrape without a token": (
        (*KEYS, "--set", "serviceMonitor.enabled=true"), "set serviceMonitor.tokenSecret.name",
    ),
    "metrics nowhere": ((*KEYS, "--set", "config.metrics.listener=admin"), "there is no admin API"),
    "the chart's own setting": ((*KEYS, "--set", "config.server.host=::1"), "config.server.host is set by the chart"),
    "a grace that is too short": (
        (*KEYS, "--set", "terminationGracePeriodSeconds=60"), "60 is less than the drain needs, 325",
    ),
    "a password in a ConfigMap": (
        (*KEYS, "--set", "config.limits.redis=redis://:pw@redis:6379"), "config.limits.redis has a password",
    ),
    "secrets twice": ((*KEYS, "--set", "secrets.existingSecret=a,secrets.existingSecretKeys.peppers=b"), "be ignored"),
    "a Secret of which nothing is used": ((*NAMED, "--set", "secrets.existingSecret=a"), "existingSecretKeys"),
    "two keys in one": ((*NAMED, "--set", "secrets.apiKeys={aaaaaaaaaa\\,bbbbbbbbbb}"), "write them as a list"),
    "a seal key that is none": (
        (*KEYS, "--set", f"secrets.sealKeys={{{'x' * 64}}}"), "has not 64 or 128 hexadecimal digits",
    ),
    "another database": ((*KEYS, "--set", "secrets.databaseUrl=mysql://u:pw@h/d"), "does not begin with postgresql://"),
    "a misspelled value": ((*KEYS, "--set", "replicas=3"), "additional properties 'replicas' not allowed"),
    "a duration that is none": ((*KEYS, "--set", "config.server.drain_delay=3y"), 'write 30, "500ms", "15s" or "5m"'),
    "a duration in words": ((*KEYS, "--set", "config.server.drain_delay=long"), "/config/server/drain_delay"),
    "a port for root": ((*KEYS, "--set", "config.server.port=80"), "/config/server/port"),
    "a shared volume": ((*KEYS, "--set", "persistence.accessModes={ReadWriteMany}"), "/persistence/accessModes"),
    "a probe elsewhere": ((*KEYS, "--set", "livenessProbe.httpGet.path=/"), "/livenessProbe"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_values_that_cannot_work_are_refused_with_a_remedy(case: str) -> None:
    arguments, message = REFUSED[case]
    text = refusal(*arguments)
    assert message in text
    assert ":pw@" not in text
    assert "x" * 64 not in text


def test_no_secret_of_the_gateway_may_be_in_a_config_map() -> None:
    old = {name.new for name in OLD_NAMES}
    paths = [setting.path for setting in settings() if setting.secret and setting.path not in old]
    paths += [("accounts", "store"), ("responses", "store"), ("thinking", "store")]
    assert ("accounts", "peppers") in paths
    for path in paths:
        before, _, _ = ".".join(path).partition(".[]")
        value = '"redis://:secret-0123456789@redis"' if path in URLS else '"secret-0123456789"'
        if "[]" in path:
            value = '[{"name":"a","token":"secret-0123456789","role":"viewer"}]'
        text = refusal(*KEYS, "--set-json", f"config.{before}={value}")
        assert re.search(r"is a secret and would be in a ConfigMap|has a password", text), path
        assert "secret-0123456789" not in text
