"""Files that a request refers to by URL, downloaded and made into blocks: Vertex AI accepts no URL sources."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from modelmux.claude import media
from modelmux.claude.embed import check_files, embed
from modelmux.claude.file_kinds import recognise
from modelmux.claude.native import NativeRequest, remote_files
from modelmux.claude.request import ClaudeRequest, RemoteFile, fields_of_urls
from modelmux.errors import InvalidRequest
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.services import Downloads
from modelmux.upstream.downloads.cache import Fetched
from modelmux.upstream.downloads.url_guard import DownloadRefused
from modelmux.wire.anthropic import DocumentBlock, ImageBlock
from modelmux.wire.json_edit import Path


async def embed_files(
    request: ClaudeRequest | NativeRequest, downloads: Downloads, owner: str, large: LargeRequests | None = None
) -> ClaudeRequest | NativeRequest:
    """The request with the files in place of its http(s) URLs.

    :param owner: the client: each has a share of the downloads.
    :param large: for a request that takes long.
    :raises InvalidRequest: a URL that may not or cannot be downloaded, or holds nothing Claude reads; ``param`` is the
        field of its first occurrence.
    """
    if isinstance(request, NativeRequest):
        remote = await large.run(remote_files, request) if large else remote_files(request)
        return await _embed_native(request, remote, downloads, owner)
    if not request.remote_files:
        return request
    files = await _download(request.urls, downloads, owner)
    return await large.run(embed, request, files) if large else embed(request, files)


async def _embed_native(
    request: NativeRequest, remote: Mapping[Path, RemoteFile], downloads: Downloads, owner: str
) -> NativeRequest:
    for file in remote.values():
        if not file.url.lower().startswith("https://"):
            raise InvalidRequest(f"{file.field}: Only HTTPS URLs are supported.", param=file.field)
    if not remote:
        return request
    files = await _download(fields_of_urls(remote.values()), downloads, owner)
    check_files(remote.values(), files)
    sources = {path: msgspec.json.encode(files[file.url].source) for path, file in remote.items()}
    return replace(request, files=sources)


async def _download(urls: Mapping[str, str], downloads: Downloads, owner: str) -> dict[str, ImageBlock | DocumentBlock]:
    """The files as blocks.

    :param urls: URL -> the field of its first occurrence.
    """
    try:
        fetched = await downloads.fetch_all(urls, owner)
    except DownloadRefused as error:
        error.param = urls.get(error.url)
        raise
    files: dict[str, ImageBlock | DocumentBlock] = {}
    for url, file in fetched.items():
        try:
            files[url] = _block(file, url, urls[url])
        except InvalidRequest:
            downloads.forget(url)  # so that a corrected file is used immediately
            raise
    return files


def _block(file: Fetched, url: str, path: str) -> ImageBlock | DocumentBlock:
    media_type = media.sniff(file.data)
    if media_type is not None and media_type.startswith("image/"):
        return media.image(file.media_type, file.data, path)
    declared = file.media_type.startswith("text/")
    if media_type is None and not declared and not _is_text(file, url):
        kind = recognise(file.data)
        seems = f" Its bytes look like {kind.words}." if kind is not None else ""
        text = "Text is UTF-8, of type text/plain or with a name that ends like .txt, .md or .json."
        raise InvalidRequest(
            f"The URL holds neither an image that is PNG, JPEG, GIF or WebP, nor a PDF, nor text.{seems}",
            param=path,
            hint=text if kind is None else kind.remedy,
        )
    return media.document(file.media_type, file.data, None, path)


def _is_text(file: Fetched, url: str) -> bool:
    """Whether a file that is not served as text is one: its bytes decide, if its name agrees."""
    return media.says_text(file.media_type, urlsplit(url).path) and media.is_plain_text(file.data)
