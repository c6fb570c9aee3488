"""Look up known vulnerabilities of everything installed here with pip-audit, where the network allows.

Exit status 1 where one is known that has a fix; where the service cannot be asked, that is said and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys

_TIMEOUT_S = 300


def main() -> int:
    """Run pip-audit and say what came of it."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False)  # noqa: S603
        rows = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError):
        return _say("未审计依赖：连不上漏洞数据库 (dependencies not audited: the service is out of reach)", 0)
    audited = [row for row in rows if "vulns" in row]
    if not audited:
        return _say(
            f"未审计依赖：{len(rows)} 个包在可用的索引里都查不到 "
            f"(dependencies not audited: none of {len(rows)} packages is known to the index in use)",
            0,
        )
    found = [(row, vulnerability) for row in audited for vulnerability in row["vulns"]]
    for row, vulnerability in found:
        fixed = "、".join(vulnerability["fix_versions"]) or "尚无修复 (no fix yet)"
        _say(f"{row['name']} {row['version']}: {vulnerability['id']}，修复于 (fixed in) {fixed}", 0)
    summary = f"审计了 {len(audited)}/{len(rows)} 个包，{len(found)} 个已知漏洞 (audited; known vulnerabilities)"
    return _say(summary, int(any(vulnerability["fix_versions"] for _, vulnerability in found)))


def _say(line: str, status: int) -> int:
    sys.stdout.write(line + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
