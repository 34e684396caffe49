"""What a request refers to by URL, downloaded and made into blocks: Vertex AI takes no URL sources."""

from __future__ import annotations

from modelmux.claude.context import Assets
from modelmux.dialects.openai_chat import content
from modelmux.errors import InvalidRequest
from modelmux.gateway.exchange import Downloads
from modelmux.upstream.downloads.fetcher import Fetched
from modelmux.upstream.downloads.url_guard import NotFetched
from modelmux.wire.anthropic import DocumentBlock, ImageBlock
from modelmux.wire.openai.chat_request import ChatRequest


async def fetch_assets(request: ChatRequest, downloads: Downloads) -> Assets:
    """Blocks by URL, for every http(s) URL of the request.

    :raises InvalidRequest: a URL that may not or cannot be fetched, or holds nothing Claude reads; ``param`` says
        where it stands.
    """
    urls = content.remote_urls(request)
    if not urls:
        return {}
    try:
        fetched = await downloads.fetch_all(urls)
    except NotFetched as error:
        error.param = urls.get(error.url)
        raise
    assets: dict[str, ImageBlock | DocumentBlock] = {}
    for url, found in fetched.items():
        try:
            assets[url] = _block(found, urls[url])
        except InvalidRequest:
            downloads.forget(url)  # so that a file put right is seen at once
            raise
    return assets


def _block(found: Fetched, where: str) -> ImageBlock | DocumentBlock:
    kind = content.sniff(found.data)
    if kind is not None and kind.startswith("image/"):
        return content.image(found.media_type, found.data, where)
    if kind is None and not found.media_type.startswith("text/"):
        raise InvalidRequest(
            "The URL holds neither an image that is PNG, JPEG, GIF or WebP, nor a PDF, nor text.", param=where
        )
    return content.document(found.media_type, found.data, None, where)
