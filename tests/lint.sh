#!/usr/bin/env bash
# Formatting, arrows and clang-tidy over every source that git tracks. Needs build/lint to be configured
# (`make lint` does that).
set -euo pipefail
cd "$(dirname "$0")/.."

database=build/lint
if [ ! -f "$database/compile_commands.json" ]; then
  echo "tests/lint.sh: $database/compile_commands.json is missing; run: cmake --preset lint" >&2
  exit 1
fi

echo "clang-format"
git ls-files -z '*.cc' '*.h' '*.inl' | xargs -0 -r clang-format-14 --dry-run --Werror

echo "arrows"
python3 tests/arrows_test.py

# A room is one translation unit here, so that clang-tidy reads its headers once. Two kinds of files stay out.
# The ISA files of kernels/ switch instruction sets by `#pragma GCC target` and use GCC vector extensions and
# built-ins, which clang 14 ignores or rejects (as it does dispatch.cc, which asks for AMX); it would report its
# own parse errors. Tests include GoogleTest, whose macros alone trip several checks.
units() {
  find "$database/src" "$database/apps" -name 'unity_*.cxx'
  git ls-files 'src/alambic/kernels/*.cc' | grep -vE '_test\.cc$' | grep -vE '/[^/]*(scalar|avx|amx|isa|dispatch)[^/]*$'
}

# clang knows most of g++'s flags; a warning about one that it does not know is no finding of ours.
echo "clang-tidy"
units | xargs -d '\n' -r -n 1 -P "$(nproc)" \
  clang-tidy-14 -p "$database" --quiet --checks=-bugprone-suspicious-include --extra-arg=-Wno-unknown-warning-option \
  --extra-arg=-Wno-unused-command-line-argument --extra-arg=-Wno-unknown-pragmas
echo "lint: clean"
