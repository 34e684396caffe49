"""Which certificate authorities are trusted, by everything that the gateway connects to: those of the system, those of
``tls.ca_file``, and those that the variables of other programs name, which people set for proxies that inspect TLS.

All are additional: no file takes the place of another.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

#: Variables of OpenSSL, of Python's requests, of curl and of Node.js, with a PEM file (or a directory of them).
VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
#: What to do about a certificate that is not accepted.
REMEDY: Final = (
    "If a proxy inspects TLS, set tls.ca_file (or SSL_CERT_FILE) to a PEM file with its CA certificate, and "
    "restart the gateway; `modelmux doctor` shows which files are in use."
)


class Trust(Struct, frozen=True):
    """Files with further certificate authorities.

    :param sources: the setting or variable that names each file, and its path.
    :param problems: variables whose file cannot be used, and why: it is left out.
    """

    sources: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    def context(self) -> ssl.SSLContext | None:
        """A context for clients; None where nothing is added to the system's authorities."""
        return tls_context(*(path for _, path in self.sources)) if self.sources else None


#: The system's authorities alone.
NO_TRUST: Final = Trust()


def read_trust(ca_file: str | None, environment: Mapping[str, str]) -> Trust:
    """What the setting and the variables name.

    :raises OSError: ``ca_file`` cannot be read, or (``ssl.SSLError``) holds no certificate.
    """
    sources: list[tuple[str, str]] = []
    problems: list[tuple[str, str]] = []
    if ca_file is not None:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)
        sources.append(("tls.ca_file", ca_file))
    for name, path in _named(environment):
        try:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)
        except OSError as error:
            problems.append((name, f"{path}: {error.strerror or error}"))
        else:
            sources.append((name, path))
    return Trust(tuple(sources), tuple(problems))


def tls_context(*ca_files: str | None) -> ssl.SSLContext:
    """TLS 1.2 or later, the system's certificate authorities, host names verified.

    :param ca_files: PEM files, or directories, with additional certificate authorities; None is skipped.
    :raises OSError: one cannot be read, or (``ssl.SSLError``) contains no certificates.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in ca_files:
        if path is not None:
            _load(context, path)
    return context


def _named(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in VARIABLES:
        if path := environment.get(name):
            yield name, path


def _load(context: ssl.SSLContext, path: str) -> None:
    """:raises OSError: no file or directory, or (``ssl.SSLError``) no certificate."""
    if Path(path).is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(path)
