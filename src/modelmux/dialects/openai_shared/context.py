"""What the translation of one request collects."""

from __future__ import annotations

from modelmux.claude.identifiers import ToolNames
from modelmux.claude.notices import Notices
from modelmux.claude.part_paths import PartPaths
from modelmux.claude.request import RemoteFile
from modelmux.claude.schema.work import request_work


class TranslationContext:
    """Notices, renamed tools, files to download and where blocks came from, passed down through the translation."""

    __slots__ = ("custom_tools", "notices", "parts", "remote_files", "schema_work", "tool_names")

    def __init__(self) -> None:
        self.notices = Notices()
        self.parts = PartPaths()
        self.tool_names = ToolNames(self.notices)
        #: Upstream names of tools that take free text.
        self.custom_tools: set[str] = set()
        #: What is left for all schemas.
        self.schema_work = request_work()
        #: By URL and kind of block, in order.
        self.remote_files: dict[tuple[str, str], RemoteFile] = {}
