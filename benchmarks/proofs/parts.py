"""A proof of several parts: each is played and told by itself, and what was found before is kept."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Found = tuple[dict[str, Any], bool]  # figures for the file of results, and whether all is as it must be


def proven(parts: Mapping[str, Callable[[], Found]], names: Sequence[str], out: Path) -> int:
    """The exit code: 1 if a part among `names` does not pass. Results are written to `out` after each."""
    told: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    right = True
    for name in names:
        began = time.process_time()
        found, passes = parts[name]()
        right &= passes
        seconds = round(time.process_time() - began)
        told[name] = {"found": found, "pass": passes, "cpu_seconds": seconds}
        print(f"{name:11}{'PASS' if passes else 'FAIL'} ({seconds} s of processor time)", flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    print("PASS" if right else "FAIL")
    return 0 if right else 1
