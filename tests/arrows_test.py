#!/usr/bin/env python3
"""Checks the plan of the house: which room may include which, and the size and shape of source files.

    python3 tests/arrows_test.py            checks this repository, after checking itself
    python3 tests/arrows_test.py FOLDER     checks another tree of the same layout

Prints one line for each fault and exits with 1 if there is any.
"""

import pathlib
import re
import sys
import tempfile

# An arrow may point from a room to itself or to a room earlier in this list.
ROOMS = ("base kernels tensor autograd nn formats models text data decode train eval distill serve cli").split()

# Arrows that the order would allow and the design does not.
FORBIDDEN = {
    "text": {"tensor", "autograd", "nn", "models"},
    "data": {"tensor", "autograd", "nn", "models"},
    "formats": {"autograd", "nn"},
    "decode": {"train"},
    "serve": {"train", "eval", "distill"},
}
# formats reads and writes tensors, and needs no more of that room than the values themselves.
ONLY_HEADERS = {("formats", "tensor"): {"dtype.h", "tensor.h"}}

MAX_LINES, MAX_HEADER_LINES = 600, 250
SOURCES = {".h", ".cc", ".inl"}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]alambic/([^/">]+)/([^">]+)[">]')


def arrow_faults(room, where, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target, header = match.groups()
        at = f"{where}:{number}"
        if target not in ROOMS:
            yield f"{at}: includes alambic/{target}/, which is no room"
        elif ROOMS.index(target) > ROOMS.index(room):
            yield f"{at}: {room} may not include {target}, a later room"
        elif target in FORBIDDEN.get(room, ()):
            yield f"{at}: {room} may not include {target}"
        elif (room, target) in ONLY_HEADERS and header not in ONLY_HEADERS[room, target]:
            allowed = " and ".join(sorted(ONLY_HEADERS[room, target]))
            yield f"{at}: of {target}, {room} may include only {allowed}; got {header}"


def shape_faults(where, suffix, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{where}: {lines} lines, want at most {MAX_LINES}; split by idea"
    if suffix == ".h":
        if lines > MAX_HEADER_LINES:
            yield f"{where}: {lines} lines, want at most {MAX_HEADER_LINES} in a header; split by idea"
        if not re.search(r"^#pragma once$", text, re.MULTILINE):
            yield f"{where}: a header without #pragma once"
        if not re.search(r"^namespace alambic\b", text, re.MULTILINE):
            yield f"{where}: a header without namespace alambic"


def faults(root):
    source = root / "src" / "alambic"
    for path in sorted(source.rglob("*")):
        if path.suffix not in SOURCES or not path.is_file():
            continue
        where, room = path.relative_to(root), path.relative_to(source).parts[0]
        text = path.read_text(encoding="utf-8", errors="replace")
        if room not in ROOMS:
            yield f"{where}: {room} is no room"
            continue
        yield from arrow_faults(room, where, text)
        yield from shape_faults(where, path.suffix, text)
    for folder in ("apps", "fuzz", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                yield from shape_faults(path.relative_to(root), path.suffix, text)


def self_test():
    """A checker that finds nothing proves nothing: each rule must catch a made-up fault, and only that."""
    header = "#pragma once\nnamespace alambic {}\n"
    cases = [  # path, text, part of the one fault expected (None: clean)
        ("nn/a.h", header + '#include "alambic/tensor/t.h"\n', None),
        ("base/a.cc", '#include "alambic/nn/linear.h"\n', "base may not include nn"),
        ("base/a.cc", '  #  include <alambic/cli/x.h>\n', "base may not include cli"),
        ("decode/a.cc", '#include "alambic/train/t.h"\n', "decode may not include train"),
        ("text/a.cc", '#include "alambic/tensor/tensor.h"\n', "text may not include tensor"),
        ("data/a.cc", '#include "alambic/models/m.h"\n', "data may not include models"),
        ("formats/a.cc", '#include "alambic/tensor/dtype.h"\n', None),
        ("formats/a.cc", '#include "alambic/tensor/backend.h"\n', "may include only dtype.h and tensor.h"),
        ("eval/a.cc", '#include "alambic/attic/x.h"\n', "which is no room"),
        ("attic/a.cc", "", "attic is no room"),
        ("base/a.cc", '// #include "alambic/nn/linear.h"\n', None),
        ("base/a.h", "namespace alambic {}\n", "without #pragma once"),
        ("base/a.h", "#pragma once\n", "without namespace"),
        ("base/a.h", header + "\n" * 249, "in a header"),
        ("base/a.cc", "\n" * 600, None),
        ("base/a.cc", "\n" * 601, "split by idea"),
    ]
    for path, text, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "src", "alambic", path)
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
            found = list(faults(pathlib.Path(folder)))
        right = not found if expected is None else len(found) == 1 and expected in found[0]
        if not right:
            sys.exit(f"arrows_test.py: self-test {path}: got {found}, want {expected}")


def main():
    self_test()
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    if not (root / "src" / "alambic").is_dir():
        sys.exit(f"arrows_test.py: {root} has no src/alambic")
    found = list(faults(root))
    print("\n".join(found) if found else "arrows: every edge and file follows the plan")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
