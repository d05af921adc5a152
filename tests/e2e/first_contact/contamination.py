"""Test items do not stay in the training data, however they were wrapped, spaced or cased, and a
model knows what it was trained on."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile
import textwrap

from program import Dialogue, alambic, write
from rows import RECIPE, lines

VERSES = ("gulls circle above harbour walls while fishermen mend torn nets beside painted boats "
          "and children chase paper kites along windy dunes until lanterns glow").split()


def mixed(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % (1 << 32)
    return value * 2654435761 % (1 << 32)


def item(n):
    """Twenty different words, in another order for each n."""
    return " ".join(sorted(VERSES, key=lambda word: mixed(f"{n} {word}"))[:20])


class Contamination(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        write(self.path / "test.jsonl",
              lines({"prompt": item(n), "completion": "yes"} for n in range(6)))
        self.recipe = write(self.path / "r.toml",
                            RECIPE.replace("TRAIN", str(self.path / "train.jsonl"))
                            .replace("TEST", str(self.path / "test.jsonl"))
                            .replace("max_tokens = 40", "max_tokens = 400"))

    def train(self, rows):
        write(self.path / "train.jsonl", lines(rows))
        done = alambic("--threads", 1, "train", self.recipe, "--out", self.path / "m",
                       "--overwrite", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["data"], done.stderr

    def test_items_in_other_clothes_are_found_reported_and_taken_out(self):
        clothes = [lambda t: t, lambda t: "\n".join(textwrap.wrap(t, 30)), str.upper,
                   lambda t: f"“{t}”!", lambda t: t.replace(" ", " \t "),
                   lambda t: "Well: " + ", ".join(t.split())]
        rows = [{"prompt": put_on(item(n)), "completion": "yes"}
                for n, put_on in enumerate(clothes)]
        others = [{"prompt": "new " + item(100 + n), "completion": "no"} for n in range(12)]
        data, said = self.train(rows + others)
        self.assertEqual(data["train"], 12)
        found = data["contamination"]["test"]
        self.assertEqual((found["found"], found["rows_removed"]), (6, 6))
        self.assertEqual(data["left_out"]["held by the test set"]["rows"], 6)
        self.assertIn("contamination: 6 of 6 test prompts", said)

    def test_typesetting_hides_nothing(self):
        written = "pages 3-5 and 7-9 or 10 - 12, at 20 °C; it's Große Straße"
        printed = "PAGES 3–5 and 7−9 or 10 — 12: at 20°C, it´s GROSSE STRASSE!"
        write(self.path / "test.jsonl", lines([{"prompt": written, "completion": "yes"},
                                               {"prompt": "how long is it then",
                                                "completion": "a mile"}]))
        rows = [{"prompt": item(50 + n), "completion": "no"} for n in range(5)]
        rows += [{"prompt": printed, "completion": "yes"},
                 {"prompt": "Question: how long is it, then? Answer:", "completion": "a mile"}]
        data, _ = self.train(rows)
        self.assertEqual(data["train"], 5)

    def test_a_small_overlap_is_reported_and_stays(self):
        part = " ".join(item(0).split()[:14])  # two of its eight sequences of 13 words
        rows = [{"prompt": item(50 + n), "completion": "no"} for n in range(5)]
        data, said = self.train([{"prompt": part + " and more", "completion": "yes"}] + rows)
        found = data["contamination"]["test"]
        self.assertEqual((found["found"], found["rows_overlapping"], found["rows_removed"]),
                         (1, 1, 0))
        self.assertEqual(data["train"], 6)
        self.assertIn("contamination: 1 of 6", said)

    def test_extra_prompts_for_the_teacher_are_kept_apart_too(self):
        write(self.path / "train.jsonl",
              lines({"prompt": item(50 + n), "completion": "no"} for n in range(5)))
        more = write(self.path / "more.jsonl",
                     lines({"prompt": item(n).title()} for n in (0, 1, 70)))
        done = alambic("--threads", 1, "distill", self.recipe, "--run-dir", self.path / "run",
                       "--set", f"data.prompts={more}", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        data = json.loads(done.stdout)["data"]
        self.assertEqual(data["prompts"], 1)
        self.assertEqual(data["contamination"]["test"]["rows_removed"], 2)
        self.assertIn("contamination", (self.path / "run" / "report.html").read_text())

    def test_an_evaluation_on_training_rows_says_so(self):
        self.train([{"prompt": item(50 + n), "completion": "no"} for n in range(5)])
        mixture = write(self.path / "mixed.jsonl",
                        lines([{"prompt": item(50).upper(), "completion": "no"},
                               {"prompt": item(1), "completion": "no"}]))
        for file, seen, says in [(self.path / "train.jsonl", 5, "is a file of the training data"),
                                 (mixture, 1, "1 of 2 rows"), (self.path / "test.jsonl", 0, "")]:
            done = alambic("--threads", 1, "eval", self.path / "m", "--json", "--max-tokens", 2,
                           "--data", file)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["seen_in_training"], seen)
            self.assertIn(says, done.stderr)
            self.assertEqual("trained on" in done.stderr, seen > 0)


if __name__ == "__main__":
    program.main()
