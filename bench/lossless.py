"""Does speculation write what `ar` writes? Greedy and sampled, every layout, alone and in batches.

    bench/lossless.py build/release/alambic MODEL PROMPTS.jsonl [MODEL PROMPTS.jsonl ...] [--sampled]

Each model in bf16, and in int8 (quantised into a temporary directory). A prompt passes where the
tokens and the log-probability of the whole text are equal to the last bit.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

WAYS = [["--decode", "speculative"], ["--decode", "speculative", "--drafts", "7", "--layout", "quadratic"],
        ["--decode", "speculative", "--drafts", "4", "--layout", "fused"], ["--decode", "speculative", "--drafts", "4", "--layout", "turns"],
        ["--decode", "lookup"]]


def texts(program, model, prompts, *options):
    command = [program, "generate", model, "--prompts", prompts, "--json", "--free", *options]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("pairs", nargs="+")
    parser.add_argument("--max-tokens", default="48")
    parser.add_argument("--sampled", action="store_true")
    parser.add_argument("--ways", type=int, default=len(WAYS))
    a = parser.parse_args()
    common = ["--max-tokens", a.max_tokens] + (["--temperature", "1", "--seed", "7"] if a.sampled else [])
    compared = wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, (model, prompts) in enumerate(zip(a.pairs[::2], a.pairs[1::2])):
            int8 = pathlib.Path(scratch) / f"int8-{number}"
            subprocess.run([a.program, "quantize", model, "--weights", "int8", "--out", int8], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for name, directory in (("bf16", model), ("int8", int8)):
                precision = ["--precision", "bf16"]
                expected = texts(a.program, directory, prompts, *common, *precision, "--decode", "ar")
                for way in WAYS[: a.ways]:
                    got = texts(a.program, directory, prompts, *common, *precision, *way)
                    same = sum(x["tokens"] == y["tokens"] and x["log_probability"] == y["log_probability"]
                               for x, y in zip(expected, got))
                    compared += len(expected)
                    wrong += len(expected) - same
                    forwards = sum(len(g["tokens"]) for g in got) / max(1, sum(g["forwards"] for g in got))
                    print(f"{model} {name} {' '.join(way)}: {same} of {len(expected)} the same, "
                          f"{forwards:.2f} tokens a forward", flush=True)
    print(f"{compared} texts compared, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
