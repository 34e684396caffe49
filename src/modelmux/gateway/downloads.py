"""The files that a request refers to by URL, downloaded and put in the place of their URLs: Vertex AI accepts no URLs."""

from __future__ import annotations

from modelmux.claude.embed import embed
from modelmux.claude.media import block_of_file
from modelmux.claude.request import ClaudeRequest
from modelmux.errors import InvalidRequest
from modelmux.gateway.services import Downloads
from modelmux.upstream.downloads.url_guard import NotFetched
from modelmux.wire.anthropic import DocumentBlock, ImageBlock


async def embed_files(request: ClaudeRequest, downloads: Downloads) -> ClaudeRequest:
    """The request with every http(s) URL replaced by its file.

    :raises InvalidRequest: a URL that may not or cannot be fetched, or holds nothing Claude reads; ``param`` names
        the first field that has it.
    """
    urls = request.urls
    if not urls:
        return request
    try:
        files = await downloads.fetch_all(urls)
    except NotFetched as error:
        error.param = urls.get(error.url)
        raise
    blocks: dict[str, ImageBlock | DocumentBlock] = {}
    for url, file in files.items():
        try:
            blocks[url] = block_of_file(file.media_type, file.data, urls[url])
        except InvalidRequest:
            downloads.forget(url)  # so that a corrected file is seen at once
            raise
    return embed(request, blocks)
