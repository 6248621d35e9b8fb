"""`make figure NAME=<name>` runs one figure and prints one JSON object last; without a name it lists them."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from typing import Any

from Testing.Benchmarks import demo, embed_vs_official, score_real

FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "demo": demo.run,
    "score-real": score_real.run,
    "embed-vs-official": embed_vs_official.run,
}


def main() -> int:
    names = sys.argv[1:]
    if not names:
        for name, figure in FIGURES.items():
            summary = (sys.modules[figure.__module__].__doc__ or "").strip().splitlines()[0]
            print(f"{name:<20} {summary}")
        return 0
    if names[0] not in FIGURES:
        print(f"There is no figure {names[0]!r}; known: {', '.join(FIGURES)}.", file=sys.stderr)
        return 2
    result = FIGURES[names[0]]()
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    print(json.dumps({"figure": names[0], **result, **machine}))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
