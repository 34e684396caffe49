"""Which certificate authorities are trusted, by everything that the gateway connects to: those of the system, those of
``tls.ca_file``, and those that the variables of other programs name, which people set for proxies that inspect TLS.

All are additional: no file takes the place of another.
"""

from __future__ import annotations

import contextlib
import errno
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from modelmux.config.errors import ConfigError
from modelmux.config.home import expand_user

#: Variables of OpenSSL, of Python's requests, of curl and of Node.js, with a PEM file.
VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
#: Those that requests reads. They may name a directory too, if ``openssl rehash`` has prepared it.
_REQUESTS: Final = frozenset({"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
#: The files that OpenSSL finds in a directory; it does not look at any other.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.\d+")
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


#: The same for the commands that are clients of a gateway.
CLIENT_REMEDY: Final = (
    "Set tls.ca_file (or SSL_CERT_FILE) to a PEM file with the certificate of its authority, "
    "and check that the URL has the host's own name."
)
_CA_FILE_HINT: Final = "Name a readable PEM file with certificates, or leave tls.ca_file out."
#: The system's authorities alone.
NO_TRUST: Final = Trust()


def read_trust(ca_file: str | None, environment: Mapping[str, str]) -> Trust:
    """What the setting and the variables name.

    :raises OSError: ``ca_file`` is empty, a directory, cannot be read, or (``ssl.SSLError``) holds no certificate.
    """
    sources: list[tuple[str, str]] = []
    problems: list[tuple[str, str]] = []
    if ca_file is not None:
        if not ca_file.strip():
            raise OSError("names no file")
        path = str(expand_user(ca_file))
        _check(path)
        sources.append(("tls.ca_file", path))
    checked: dict[tuple[str, bool], str] = {}  # all variables often name one file, which takes some 30 ms to read
    for name, path in _named(environment):
        case = path, name in _REQUESTS
        if case not in checked:
            checked[case] = _problem(path, may_be_directory=name in _REQUESTS)
        if checked[case]:
            problems.append((name, f"{path}: {checked[case]}"))
        else:
            sources.append((name, path))
    return Trust(tuple(sources), tuple(problems))


def configured_trust(ca_file: str | None, environment: Mapping[str, str]) -> Trust:
    """As ``read_trust``.

    :raises ConfigError: ``ca_file`` cannot be used; with what to do.
    """
    try:
        return read_trust(ca_file, environment)
    except OSError as error:
        named = f"{ca_file}: " if ca_file else ""
        raise ConfigError([f"tls.ca_file: {named}{error.strerror or error}"], hint=_CA_FILE_HINT) from None


def tls_context(*ca_files: str | None) -> ssl.SSLContext:
    """TLS 1.2 or later, the system's certificate authorities, host names verified.

    :param ca_files: PEM files, or directories, with additional certificate authorities; None is skipped.
    :raises OSError: one cannot be read, or (``ssl.SSLError``) contains no certificates.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    system = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR take the place of these in OpenSSL
    loaded = {system.cafile, system.capath}  # by create_default_context
    for path in (system.openssl_cafile, system.openssl_capath):
        if path not in loaded:
            with contextlib.suppress(OSError):
                _load(context, path)
    for ca_file in dict.fromkeys(ca_files):
        if ca_file is not None and ca_file not in loaded:
            _load(context, ca_file)
    return context


def _named(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in VARIABLES:
        if path := environment.get(name):
            yield name, path


def _problem(path: str, *, may_be_directory: bool) -> str:
    """Why a file adds nothing; empty if it does."""
    try:
        _check(path, may_be_directory=may_be_directory)
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _check(path: str, *, may_be_directory: bool = False) -> None:
    """OpenSSL accepts any directory, and says nothing where it finds no certificate in it.

    :raises OSError: nothing is added by it.
    """
    folder = Path(path)
    if folder.is_dir() and not (may_be_directory and any(_HASHED.fullmatch(file.name) for file in folder.iterdir())):
        raise OSError(errno.EISDIR, "is a directory; name a PEM file")
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)


def _load(context: ssl.SSLContext, path: str) -> None:
    """:raises OSError: no file or directory, or (``ssl.SSLError``) no certificate."""
    if Path(path).is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(path)
