"""``python -m support.seldom_read serve …``: the command, with processes that look for changes of the directory once an
hour. What they know earlier, they were told."""

from __future__ import annotations

from modelmux.cli.main import main
from modelmux.store.directory import feed

if __name__ == "__main__":
    feed.INTERVAL = 3600.0  # type: ignore[misc]
    feed.FRESH_FOR = 3600.0  # type: ignore[misc]
    main()
