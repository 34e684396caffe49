"""Files that a request refers to by URL, downloaded and made into blocks: Vertex AI accepts no URL sources."""

from __future__ import annotations

from modelmux.claude import media
from modelmux.claude.embed import embed
from modelmux.claude.request import ClaudeRequest
from modelmux.errors import InvalidRequest
from modelmux.gateway.services import Downloads
from modelmux.upstream.downloads.fetcher import Fetched
from modelmux.upstream.downloads.url_guard import DownloadRefused
from modelmux.wire.anthropic import DocumentBlock, ImageBlock


async def embed_files(request: ClaudeRequest, downloads: Downloads) -> ClaudeRequest:
    """The request with the files in place of its http(s) URLs.

    :raises InvalidRequest: a URL that may not or cannot be downloaded, or holds nothing Claude reads; ``param`` is the
        path of its first occurrence.
    """
    urls = request.urls
    if not urls:
        return request
    try:
        fetched = await downloads.fetch_all(urls)
    except DownloadRefused as error:
        error.param = urls.get(error.url)
        raise
    files: dict[str, ImageBlock | DocumentBlock] = {}
    for url, file in fetched.items():
        try:
            files[url] = _block(file, urls[url])
        except InvalidRequest:
            downloads.forget(url)  # so that a corrected file is used immediately
            raise
    return embed(request, files)


def _block(file: Fetched, path: str) -> ImageBlock | DocumentBlock:
    media_type = media.sniff(file.data)
    if media_type is not None and media_type.startswith("image/"):
        return media.image(file.media_type, file.data, path)
    if media_type is None and not file.media_type.startswith("text/"):
        raise InvalidRequest(
            "The URL holds neither an image that is PNG, JPEG, GIF or WebP, nor a PDF, nor text.", param=path
        )
    return media.document(file.media_type, file.data, None, path)
