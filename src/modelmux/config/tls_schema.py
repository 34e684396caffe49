"""The settings of TLS, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from modelmux.config.annotations import doc


class TlsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Certificates of the servers that the gateway connects to: Vertex AI, Google's token endpoint, downloads. The
    variables SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and NODE_EXTRA_CA_CERTS add authorities as well; one
    whose file cannot be used is left out, with a warning."""

    ca_file: Annotated[
        str | None,
        doc(
            "PEM file with certificate authorities that are trusted in addition to the system's, such as that of a "
            "proxy that inspects TLS. A file that cannot be used, or a directory, prevents the start. A relative path "
            "starts at the working directory.",
            example="/etc/ssl/certs/company.pem",
        ),
    ] = None
