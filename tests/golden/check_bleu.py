"""Scores what a real model wrote with sacrebleu, and compares with what `alambic eval --task bleu` said of it.

    build/oracles/bin/python tests/golden/check_bleu.py build/release/alambic
The model of the shared data continues prompts; references are its own texts with words left out, doubled and swapped, so that
every order of n-grams counts. Wants `sacrebleu`.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

from oracle import DATA, need, need_data

need("sacrebleu")
import sacrebleu  # noqa: E402

MODEL = DATA / "weights_tinystories656K"
STARTS = ["Once upon a time", "The little dog", "Lily and Tom went", "One day, a bird", "Mom said: \"", "There was a big, old",
          "\"Can we play?\" asked", "In the garden"]


def evaluate(program, rows, folder):
    data, outputs = folder / "data.jsonl", folder / "outputs.jsonl"
    data.write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in rows), encoding="utf-8")
    done = subprocess.run([program, "eval", MODEL, "--task", "bleu", "--data", data, "--outputs", outputs, "--max-tokens", "60",
                           "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["score"], [json.loads(line) for line in outputs.read_text(encoding="utf-8").splitlines()]


def noisy(rng, text):
    words = text.split(" ")
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(words))
        kind = rng.randint(0, 2)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, words[at])
        elif at + 1 < len(words):
            words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def main():
    need_data("weights_tinystories656K")
    program, rng, wrong = sys.argv[1], random.Random(3), 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows = [(start, "x") for start in STARTS]
        for _ in range(3):
            _, written = evaluate(program, rows, folder)
            rows = [(start, noisy(rng, row["answer"].strip())) for start, row in zip(STARTS, written, strict=True)]
            score, written = evaluate(program, rows, folder)
            want = sacrebleu.corpus_bleu([row["answer"] for row in written], [[reference for _, reference in rows]]).score
            print(f"sacrebleu {want:.4f}, alambic {score:.4f}")
            wrong += abs(want - score) > 1e-3
    sys.exit(wrong > 0)


main()
