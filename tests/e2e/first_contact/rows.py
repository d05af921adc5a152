"""No row goes missing: what is not learned is counted, with its reason and its line."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

from program import Dialogue, alambic, write

RECIPE = """\
name = "rows"
task = "exact"
vocabulary = 300
[data]
source = "files"
train = "TRAIN"
test = "TEST"
validation = 0
max_tokens = 40
[teacher]
dim = 16
layers = 1
heads = 2
kv_heads = 2
ffn = 16
[teacher.train]
steps = 2
[student]
init = "random"
dim = 16
layers = 1
heads = 2
kv_heads = 2
ffn = 16
[student.train]
steps = 2
[eval]
speed_prompts = 2
dial_prompts = 2
samples = 1
max_new_tokens = 4
"""


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def good(count, word="Count"):
    return [{"prompt": f"{word} {n} apples", "completion": f"{n} it is"} for n in range(count)]


class Rows(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        write(self.path / "test.jsonl", lines(good(4, "Weigh")))

    def recipe(self, rows):
        train = write(self.path / "train.jsonl", lines(rows))
        return write(self.path / "r.toml", RECIPE.replace("TRAIN", str(train))
                     .replace("TEST", str(self.path / "test.jsonl")))

    def train(self, recipe, *more):
        done = alambic("--threads", 1, "train", recipe, "--out", self.path / "m", "--overwrite",
                       "--json", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["data"], done.stderr

    def test_every_reason_is_counted_with_its_lines(self):
        rows = good(12)
        rows[2] = {"prompt": "A long one", "completion": "no end " * 60}
        rows[4] = {"prompt": "Nobody answers"}
        rows[5] = {"prompt": "Nobody answers either", "completion": None}
        rows[7] = {"prompt": "", "completion": "to nothing"}
        rows[9] = rows[8]
        data, said = self.train(self.recipe(rows))
        self.assertEqual((data["read"], data["train"]), (12, 7))
        counts = {reason: entry["rows"] for reason, entry in data["left_out"].items()}
        self.assertEqual(counts, {"too long": 1, "no answer": 2, "empty prompt": 1, "duplicate": 1})
        for reason, line in [("too long", 3), ("no answer", 5), ("no answer", 6),
                             ("empty prompt", 8), ("duplicate", 10)]:
            self.assertIn(f"train.jsonl:{line}", " ".join(data["left_out"][reason]["first"]))
            self.assertIn(f"train.jsonl:{line}", said)

    def test_nothing_to_learn_is_an_error_that_names_the_reason(self):
        long = [{"prompt": f"Say {n}", "completion": "on and on " * 60} for n in range(5)]
        chats = [{"messages": [{"role": "user", "content": f"Hello {n}"}]} for n in range(5)]
        for rows, reason in [(long, "5 too long"), (chats, "5 no answer"),
                             (chats, "assistant turn")]:
            done = alambic("--threads", 1, "train", self.recipe(rows), "--out", self.path / "n")
            self.assertNotEqual(done.returncode, 0)
            for mention in ("nothing to learn from", reason, "train.jsonl:1"):
                self.assertIn(mention, done.stderr)

    def test_a_teacher_answers_the_rows_that_nobody_answered(self):
        rows = good(10) + [{"prompt": f"Open question {n}", "completion": ""} for n in range(6)]
        # So small a teacher does not know where to end.
        done = alambic("--threads", 1, "distill", self.recipe(rows), "--run-dir", self.path / "run",
                       "--set", "signals.cut=keep", "--set", "signals.max_new_tokens=8")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("10 rows to learn from, 6 prompts for the teacher to answer", done.stderr)
        report = json.loads((self.path / "run" / "report.json").read_text())
        self.assertEqual((report["data"]["train"], report["data"]["prompts"]), (10, 6))
        page = (self.path / "run" / "report.html").read_text()
        self.assertIn("6 prompts for the teacher", page)

    def test_teaching_nothing_is_an_error(self):
        self.train(self.recipe(good(8)))
        write(self.path / "long.jsonl", lines([{"prompt": "p", "completion": "word " * 300}]))
        write(self.path / "open.jsonl", lines([{"prompt": "p"}, {"prompt": "q"}]))
        for name, reason in [("long", "long"), ("open", "2 no answer")]:
            done = alambic("--threads", 1, "teach", self.path / "m", "--max-length", 30, "--data",
                           self.path / f"{name}.jsonl", "--out", self.path / f"{name}.sqlite")
            self.assertNotEqual(done.returncode, 0, name)
            self.assertIn(reason, done.stderr)

    def test_rows_of_a_store_are_counted_as_those_of_a_file_are(self):
        self.train(self.recipe(good(8)))
        rows = good(5) + [{"prompt": "Say it all", "completion": "on and on " * 9}] + good(3, "Weigh")
        write(self.path / "given.jsonl", lines(rows))
        store = self.path / "s.sqlite"
        self.succeeds("--threads", 1, "teach", self.path / "m", "--kind", "topk", "--data",
                      self.path / "given.jsonl", "--out", store)
        done = alambic("--threads", 1, "train", self.recipe(good(8)), "--signals", store, "--out",
                       self.path / "from-store", "--set", "student.tokenizer=" + str(self.path / "m"),
                       "--set", "data.max_tokens=20", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        data = json.loads(done.stdout)["data"]
        self.assertEqual((data["read"], data["train"]), (9, 5))
        counts = {reason: entry["rows"] for reason, entry in data["left_out"].items()}
        self.assertEqual(counts, {"too long": 1, "held by the test set": 3})
        self.assertIn("s.sqlite: row 5", done.stderr)

    def test_pairs_of_parallel_text_with_an_empty_side_are_counted(self):
        files = {"train": "one\n\nthree\nfour\nfive\n", "train_target": "un\ndeux\ntrois\n\ncinq\n",
                 "test": "nine\n", "test_target": "neuf\n"}
        sets = []
        for key, text in files.items():
            sets += ["--set", f"data.{key}={write(self.path / key, text)}"]
        data, _ = self.train(self.recipe([]), *sets)
        self.assertEqual(data["train"], 3)
        self.assertEqual(data["left_out"]["empty prompt"]["rows"], 1)
        self.assertEqual(data["left_out"]["no answer"]["rows"], 1)


if __name__ == "__main__":
    program.main()
