"""Whether there are Google credentials, as far as this machine's files tell. Nothing is called, so it takes no time.

Not in this module: whether Google accepts them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from google.auth import environment_vars

from modelmux.config.home import expand_user, visible
from modelmux.config.schema import AuthConfig
from modelmux.upstream.google_auth.failures import FailureCause, TokenFailure, classify
from modelmux.upstream.google_auth.loaders import Loader, default_file, service_account_file, service_account_info

#: The kernel's name of the machine; on Google Cloud it begins with "Google".
_PRODUCT_NAME: Final = Path("/sys/class/dmi/id/product_name")
#: Set where a metadata server may be: Compute Engine's own variables, Cloud Run, App Engine, Kubernetes.
_METADATA_VARIABLES: Final = (
    "GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP", "K_SERVICE", "CLOUD_RUN_JOB", "GAE_ENV",
    "KUBERNETES_SERVICE_HOST",
)  # fmt: skip


def find_credential_problem(
    auth: AuthConfig, environment: Mapping[str, str], product_name: Path = _PRODUCT_NAME
) -> TokenFailure | None:
    """Why no access token can be had; None if nothing says so.

    :param environment: must be that of the process: google-auth reads there where gcloud's files are.
    """
    if auth.access_token is not None:
        return None
    if auth.service_account_json is not None:
        return _problem(service_account_info(auth.service_account_json.reveal()))
    if auth.service_account_file is not None:
        return _problem_of_file(expand_user(auth.service_account_file))
    path = default_file()
    if environment.get(environment_vars.CREDENTIALS) or (path and visible(Path(path))):
        return _problem_of_file(expand_user(path or ""))
    if _may_have_metadata_server(environment, product_name):
        return None
    return TokenFailure(FailureCause.NO_DEFAULT, None)


def _problem_of_file(path: Path) -> TokenFailure | None:
    if path.is_fifo():  # reading a pipe empties it, and waits for a writer
        return None
    return _problem(service_account_file(path))


def _problem(loader: Loader) -> TokenFailure | None:
    try:
        loader(cast("Any", None))  # these loaders read and parse only
    except Exception as error:  # noqa: BLE001 - any exception of google-auth becomes a TokenFailure
        return classify(error, None)
    return None


def _may_have_metadata_server(environment: Mapping[str, str], product_name: Path) -> bool:
    if any(environment.get(name) for name in _METADATA_VARIABLES) or not sys.platform.startswith(("linux", "darwin")):
        return True
    try:
        return product_name.read_text("utf-8").startswith("Google")
    except (OSError, UnicodeDecodeError):
        return False
