"""Known vulnerabilities in the locked dependencies: ``python .ci/audit.py PIP_AUDIT REQUIREMENTS``.

Ends with 1 if there are any, or if the audit itself fails. Where the advisory service cannot be reached nothing is
known and nothing is claimed: that is printed, and it ends with 0, because no build should depend on a service being up.
"""
# ruff: noqa: T201, S603 - a command that prints, and runs what the Makefile names

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

_UNREACHABLE = re.compile(
    r"ConnectionError|ProxyError|ConnectTimeout|ReadTimeout|SSLError|Max retries exceeded|Name or service not known"
    r"|Temporary failure in name resolution|Could not connect to PyPI|50[0234] (?:Server|Service)"
    r"|Connection (?:refused|reset|aborted)"
)


def main(pip_audit: str, requirements: str) -> int:
    command = [
        pip_audit,
        "-r",
        requirements,
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "-f",
        "json",
    ]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return _not_audited("the advisory service did not answer within 5 minutes")
    try:
        audited: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if _UNREACHABLE.search(ran.stderr):
            return _not_audited("the advisory service could not be reached")
        print(ran.stdout, ran.stderr, "audit: pip-audit failed", sep="\n", file=sys.stderr)
        return 1
    return _judge(audited, requirements)


def _judge(audited: list[dict[str, Any]], requirements: str) -> int:
    skipped = [one for one in audited if "skip_reason" in one]
    found = [(one, hole) for one in audited for hole in one.get("vulns", ())]
    for one, hole in found:
        mended = ", ".join(hole.get("fix_versions", ())) or "no version yet"
        print(f"audit: {one['name']} {one.get('version')}: {hole['id']}, mended in {mended}", file=sys.stderr)
    if found:
        print(f"hint: raise the versions (make lock), then look at {requirements}", file=sys.stderr)
        return 1
    if len(skipped) == len(audited):
        return _not_audited("the index that is asked knows no advisories")
    for one in skipped:
        print(f"audit: {one['name']} was not audited: {one['skip_reason']}", file=sys.stderr)
    print(f"audit: {len(audited) - len(skipped)} of {len(audited)} dependencies audited, nothing known against them")
    return 1 if skipped else 0


def _not_audited(why: str) -> int:
    print(f"audit: NOT AUDITED, {why}; going on", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
