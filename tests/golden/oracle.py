"""What the checks against independent programs share: whether those programs are here, and where real data may lie.

`make oracles` makes a Python that has them (tests/golden/oracles.txt) and runs the checks; ctest runs them with it as oracle.*.
77 is the exit status of a check that had to skip.
"""

import importlib.util
import os
import pathlib
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path(os.environ.get("ALAMBIC_DATA", HERE.parents[2] / "shared" / "data"))


def need(*modules, by="make oracles"):
    """Skips where this Python lacks one of the modules."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped: this Python has no {', '.join(missing)}; {by}, then configure again")
        sys.exit(SKIPPED)


def need_data(*names):
    """Skips where the real data do not lie."""
    for name in names:
        if not (DATA / name).exists():
            print(f"skipped: there is no {DATA / name}")
            sys.exit(SKIPPED)
