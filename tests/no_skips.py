"""Ends with status 1 if a test of a ctest run skipped, and names it: `python3 tests/no_skips.py build/release/tests.xml`.

Where the shared data are not on this machine, the tests that want them may skip; they are named all the same.
"""

import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

SOURCE = pathlib.Path(__file__).resolve().parents[1]
DATA = pathlib.Path(os.environ.get("ALAMBIC_DATA", SOURCE.parent / "shared" / "data"))


def reason(case):
    said = [line.strip() for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    for line, after in zip(said, said[1:] + [""]):
        if line.endswith(": Skipped"):  # GoogleTest's; what the test says follows
            return after
        if "skipped" in line:
            return line.removeprefix("skipped: ")
    return case.get("status")


def main():
    cases = ElementTree.parse(sys.argv[1]).getroot().findall("testcase")
    skipped = [case for case in cases if case.get("status") not in ("run", "fail")]
    for case in skipped:
        print(f"skipped: {case.get('name')}: {reason(case)}")
    if not skipped:
        return
    failed = sum(case.get("status") == "fail" for case in cases)
    if not DATA.exists():
        print(f"there is no {DATA}: tests that want these data could not run")
    print(f"{len(cases) - len(skipped) - failed} passed, {failed} failed, {len(skipped)} skipped")
    sys.exit(DATA.exists())


main()
