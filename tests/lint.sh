#!/usr/bin/env bash
# Formatting, arrows and clang-tidy over every source that git tracks. Needs build/dev to be configured
# (`make lint` does that); pass files to tidy only those: tests/lint.sh src/alambic/eval/bleu.cc
set -euo pipefail
cd "$(dirname "$0")/.."

database=build/dev
if [ ! -f "$database/compile_commands.json" ]; then
  echo "tests/lint.sh: $database/compile_commands.json is missing; run: cmake --preset dev" >&2
  exit 1
fi

echo "clang-format"
git ls-files -z '*.cc' '*.h' '*.inl' | xargs -0 -r clang-format-14 --dry-run --Werror

echo "arrows"
python3 tests/arrows_test.py

# The ISA files of kernels/ stay out: they switch instruction sets by `#pragma GCC target` and use GCC vector
# extensions and built-ins, which clang 14 ignores or rejects, so it would report its own parse errors.
# dispatch.cc and the tests of that room are ordinary C++ and stay in.
# Files that include GoogleTest stay out too: its macros alone trip several checks.
tidied() {
  if [ $# -gt 0 ]; then
    printf '%s\0' "$@"
  else
    git ls-files -z 'src/alambic/*.cc' 'apps/*.cc' |
      grep -zvE '_test\.cc$' | grep -zvE '^src/alambic/kernels/[^/]*(scalar|avx|amx|isa)[^/]*\.cc$'
  fi
}

# clang knows most of g++'s flags; a warning about one that it does not know is no finding of ours.
echo "clang-tidy"
tidied "$@" | xargs -0 -r -n 1 -P "$(nproc)" \
  clang-tidy-14 -p "$database" --quiet --extra-arg=-Wno-unknown-warning-option \
  --extra-arg=-Wno-unused-command-line-argument --extra-arg=-Wno-unknown-pragmas
echo "lint: clean"
