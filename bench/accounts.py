"""What accounts add to the CPU time of a request: rows, their journal, a budget that applies to it, and a rate limit.

All processes serve the same load in turn, and the time of all threads of a process counts.
"""

from __future__ import annotations

import contextlib
from typing import Final

from bench import nginx, payloads, suite
from bench.load import Target
from bench.plan import Plan
from bench.processes import gateway
from bench.session import new_session
from bench.stats import median

_ROUNDS: Final = 7
_DELTAS: Final = 100
_ON: Final = '[admin]\nlisten = "off"\n[accounts]\nenabled = true\n'
#: Name -> lines of the configuration, after those of its section [server].
_CASES: Final = {
    "without accounts": "",
    "rows and journal": _ON,
    "and a budget": f'{_ON}[[accounts.budgets]]\nname = "all"\napplies_to = {{ each = "key" }}\n'
    'limit = "1000000"\nwindow = "month"\n',
    "and a limit": f'{_ON}[[accounts.budgets]]\nname = "all"\napplies_to = {{ each = "key" }}\n'
    'limit = "1000000"\nwindow = "month"\n[[accounts.limits]]\nname = "all"\napplies_to = { each = "key" }\n'
    "rpm = 100000000\n",
}


def main() -> None:
    """Measure and print."""
    with new_session(Plan(runs=_ROUNDS)) as session, contextlib.ExitStack() as stack:
        _, mock = stack.enter_context(nginx.mock(session.folder, deltas=_DELTAS, cores=session.back))
        targets = []
        for number, (name, lines) in enumerate(_CASES.items()):
            folder = session.folder / f"accounts-{number}"
            process, url = stack.enter_context(
                gateway(folder, mock, cores=session.front, extra_config=f'state_dir = "{folder}/state"\n{lines}')
            )
            targets.append(Target(name, url, process))
        for title, stream in (("unary, 1 kB", False), (f"stream of {_DELTAS} deltas", True)):
            body = payloads.request(1_000, stream=stream)
            suite.closed_loop_rows(session, [(title, target, body) for target in targets], stream=stream)
    for title, row in session.rows.items():
        first = median(row.values[targets[0].name])
        print(title)
        for target in targets:
            cost = median(row.values[target.name])
            print(f"  {target.name:<18} {cost:7.1f} us  {cost - first:+7.1f}")
