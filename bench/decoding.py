"""Ways of decoding beside each other: tokens a second against the same model's own `ar`.

    bench/decoding.py build/release/alambic MODEL DATA [--limit 200] [--repeat 3] [eval options ...]

Rows: mode and layout; batches of 1, 4 and 16. The ways take turns, so that a busy moment of the
machine hits all of them; the best of the repeats stands. Prints a Markdown table.
"""

import argparse
import json
import subprocess

WAYS = {"ar": ["--decode", "ar"], "lookup": ["--decode", "lookup"], "speculative, tuned": ["--decode", "speculative"],
        "speculative, turns of 4": ["--decode", "speculative", "--layout", "turns", "--drafts", "4"],
        "speculative, fused 4": ["--decode", "speculative", "--layout", "fused", "--drafts", "4"],
        "speculative, quadratic 3": ["--decode", "speculative", "--layout", "quadratic", "--drafts", "3"],
        "speculative, quadratic 7": ["--decode", "speculative", "--layout", "quadratic", "--drafts", "7"],
        "diffusion, threshold 0.9": ["--decode", "diffusion"],
        "diffusion, threshold 0.6": ["--decode", "diffusion", "--threshold", "0.6", "--remask", "0"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--limit", default="200")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batches", default="1,4,16")
    a, rest = parser.parse_known_args()
    print("| way | batch | score | tokens/s against ar | tokens a forward | drafts accepted, by distance |")
    print("|---|---|---|---|---|---|")
    for batch in a.batches.split(","):
        ways = {n: w for n, w in WAYS.items() if batch == "1" or n in ("ar", "lookup", "speculative, tuned")}
        best = {}
        for _ in range(a.repeat):
            for name, way in ways.items():
                command = [a.program, "eval", a.model, "--data", a.data, "--limit", a.limit, "--batch", batch, "--json", *way, *rest]
                done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
                if name not in best or done["tokens_per_s"] > best[name]["tokens_per_s"]:
                    best[name] = done
        for name, row in best.items():
            accepted = " ".join(f"{d['share']:.2f}" for d in row.get("drafts", []))
            print(f"| {name} | {batch} | {row['score']:.4f} | {row['tokens_per_s'] / best['ar']['tokens_per_s']:.2f} "
                  f"({row['tokens_per_s']:.0f}) | {row['tokens_per_forward']:.2f} | {accepted} |", flush=True)


if __name__ == "__main__":
    main()
