"""Credentials as the configuration names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelmux.config.errors import ConfigError
from modelmux.config.home import expand_user
from modelmux.config.schema import AuthConfig
from modelmux.upstream.base import TokenSource
from modelmux.upstream.google_auth.loaders import (
    Loader,
    application_default,
    service_account_file,
    service_account_info,
)
from modelmux.upstream.google_auth.tokens import GoogleTokens, OnEvent, StaticToken
from modelmux.upstream.trust import Trust


def token_source(auth: AuthConfig, on_event: OnEvent, trust: Trust) -> TokenSource:
    """Where access tokens come from.

    :param on_event: see ``GoogleTokens``.
    :raises ConfigError: an access token that no header can hold.
    """
    if auth.access_token is not None:
        try:
            return StaticToken(auth.access_token.reveal())
        except ValueError as error:
            raise ConfigError([str(error)]) from None
    return GoogleTokens(credential_loader(auth), on_event=on_event, trust=trust)


def credential_loader(auth: AuthConfig) -> Loader:
    """Where credentials that can be renewed come from: the first that is set, else Application Default Credentials."""
    if auth.service_account_json is not None:
        return service_account_info(auth.service_account_json.reveal())
    if auth.service_account_file is not None:
        return service_account_file(expand_user(auth.service_account_file))
    return application_default()


def quota_project(tokens: TokenSource, environment: Mapping[str, str]) -> Callable[[], str | None]:
    """Who pays for a user's credentials: the environment's word, or the credential's own, once it was loaded."""
    named = environment.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    if named or not isinstance(tokens, GoogleTokens):
        return lambda: named
    return lambda: tokens.quota_project
