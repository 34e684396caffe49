"""``python -m support.unhurried COMMAND…``: the command ``modelmux``, in which lag of the event loop is no overload.

On a machine that does much else, a gateway refuses requests for it, which is right, and is not what tests of hosts are
about.
"""

from __future__ import annotations

import math
import sys

from modelmux.cli.main import main
from modelmux.server import loop_lag

if __name__ == "__main__":
    loop_lag.MAX_LAG = math.inf  # type: ignore[misc]
    sys.argv[0] = "modelmux"
    main()
