"""Write the digest of each base image into the Dockerfile: ``python -m tools.pin_image`` (``make pin-image``).

A tag can be moved to another image at any time; with its digest, a build takes the image that the release was tested
with, or fails. Run it for a release, on a machine that reaches the registry. ``--check`` only says whether every base
image has a digest. Images of Docker Hub only, by the protocol of the OCI distribution specification.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

DOCKERFILE: Final = Path(__file__).resolve().parents[1] / "packaging/docker/Dockerfile"
#: ``FROM name:tag@digest AS stage``; a stage that starts from another one has no tag.
FROM: Final = re.compile(
    r"^FROM (?P<image>[a-z0-9./_-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?(?P<rest>( AS \w+)?)$", re.MULTILINE
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TOKENS: Final = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:{repository}:pull"
_MANIFESTS: Final = "https://registry-1.docker.io/v2/{repository}/manifests/{tag}"
#: The list of images for all platforms: its digest is right on every one of them.
_ACCEPT: Final = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_TIMEOUT: Final = 30.0

#: Opens a request and returns the headers, in lower case, and the body of the response.
Fetch = Callable[[urllib.request.Request], tuple[Mapping[str, str], bytes]]


def images(dockerfile: str) -> list[str]:
    """The base images with their tags, each once."""
    return list(dict.fromkeys(match["image"] for match in FROM.finditer(dockerfile)))


def unpinned(dockerfile: str) -> list[str]:
    """The base images that have no digest somewhere."""
    return list(dict.fromkeys(match["image"] for match in FROM.finditer(dockerfile) if not match["digest"]))


def pin(dockerfile: str, digests: Mapping[str, str]) -> str:
    """The Dockerfile with these digests, by image, in place of those it has."""
    return FROM.sub(lambda match: f"FROM {match['image']}@{digests[match['image']]}{match['rest']}", dockerfile)


def digest_of(image: str, fetch: Fetch) -> str:
    """The digest that a tag has now.

    :raises OSError: the registry cannot be reached, or refuses.
    :raises ValueError: its answer is not one.
    """
    name, _, tag = image.partition(":")
    repository = name if "/" in name else f"library/{name}"
    _, body = fetch(urllib.request.Request(_TOKENS.format(repository=repository)))  # noqa: S310 - an https URL
    headers, _ = fetch(
        urllib.request.Request(  # noqa: S310
            _MANIFESTS.format(repository=repository, tag=tag),
            headers={"Authorization": f"Bearer {json.loads(body)['token']}", "Accept": _ACCEPT},
            method="HEAD",
        )
    )
    digest = headers.get("docker-content-digest", "")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"the registry sent no digest of {image}")
    return digest


def main(arguments: list[str], fetch: Fetch | None = None, path: Path = DOCKERFILE) -> int:
    parser = argparse.ArgumentParser(description="Write the digest of each base image into the Dockerfile.")
    parser.add_argument("--check", action="store_true", help="only fail if a base image has no digest")
    check = parser.parse_args(arguments).check
    text = path.read_text("utf-8")
    if check:
        missing = unpinned(text)
        for image in missing:
            sys.stderr.write(f"error: {image} has no digest\nhint: make pin-image\n")
        return 1 if missing else 0
    try:
        digests = {image: digest_of(image, fetch or _fetch) for image in images(text)}
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"error: no digest: {error}\nhint: run it where Docker Hub can be reached\n")
        return 1
    path.write_text(pin(text, digests), "utf-8")
    for image, digest in digests.items():
        sys.stdout.write(f"{image} {digest}\n")
    return 0


def _fetch(request: urllib.request.Request) -> tuple[Mapping[str, str], bytes]:
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        return {name.lower(): value for name, value in response.headers.items()}, response.read(1_000_000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
