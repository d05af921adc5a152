"""What a student hears of its teacher, and what its report says of where a gain comes from."""

import program  # first: it skips where the interpreter lacks what the others need
import hashlib
import json
import pathlib
import random
import tempfile

from program import Dialogue, alambic, write

WORDS = "red blue green small big old new cat dog bird sings runs sleeps here there now".split()

RECIPE = """\
name = "mine"
task = "exact"
vocabulary = 400
[data]
train = "{train}"
validation = 10
test_limit = 24
[teacher]
dim = 32
layers = 1
heads = 2
kv_heads = 2
ffn = 64
[student]
dim = 32
layers = 1
heads = 2
kv_heads = 2
ffn = 64
[teacher.train]
steps = 12
[student.train]
steps = 12
[eval]
max_new_tokens = 12
speed_prompts = 1
samples = 1
dial_prompts = 0
"""


def digest(run, arm):
    return hashlib.sha256((run / arm / "model.safetensors").read_bytes()).hexdigest()


class Arms(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        draw = random.Random(3)
        rows, prompts = [], []
        for i in range(180):
            words = draw.sample(WORDS, 4)
            row = {"prompt": "Reverse: " + " ".join(words)}
            if i < 100:
                row["completion"] = " ".join(reversed(words))
            (rows if i < 100 else prompts).append(json.dumps(row) + "\n")
        self.data = write(self.path / "mine.jsonl", "".join(rows))
        self.prompts = write(self.path / "prompts.jsonl", "".join(prompts))
        self.recipe = write(self.path / "mine.toml", RECIPE.format(train=self.data))

    def distill(self, run, *settings, options=()):
        sets = [word for setting in settings for word in ("--set", setting)]
        return alambic("distill", self.recipe, "--run-dir", self.path / run, "--json", *sets, *options)

    def report(self, run, *settings, options=()):
        done = self.distill(run, *settings, options=options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def test_a_recipe_of_five_lines_hears_its_teacher(self):
        report, said = self.report("run")
        run = self.path / "run"
        self.assertNotEqual(digest(run, "student"), digest(run, "control"))
        stored = self.json_of("inspect", run / "signals.sqlite", "--json")
        self.assertEqual(stored["header"]["kind"], "draws", stored)
        plan = [line for line in said.splitlines() if line.startswith("plan: ")]
        self.assertEqual(len(plan), 3, said)
        self.assertIn("probabilities", plan[0])
        self.assertIn("control, student", plan[1])
        self.assertIn("about", plan[2])
        self.assertLess(said.index("plan: "), said.index("teacher: ") if "teacher: " in said else len(said))

    def test_a_teacher_that_nobody_hears_is_refused_with_the_key_to_change(self):
        for settings, key in ((["objective.alpha=0", "signals.texts=gold"], "objective.alpha = 0.5"),
                              (["signals.kind=text", "signals.texts=gold"], 'signals.texts = "both"')):
            done = self.distill("deaf", *settings)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("hear nothing of its teacher", done.stderr)
            self.assertIn(key, done.stderr)
            self.assertFalse((self.path / "deaf" / "teacher" / "model.safetensors").exists())

    def test_prompts_without_answers_stand_beside_rows_with_them(self):
        report, said = self.report("both", f"data.prompts={self.prompts}", "objective.alpha=0.5", "signals.cut=keep",
                                   "signals.max_new_tokens=40")
        run = self.path / "both"
        self.assertIn("80 prompts for the teacher to answer", said)
        # Answers here, answers and probabilities there: three trainings, none like the others.
        self.assertEqual(len({digest(run, arm) for arm in ("control", "texts", "student")}), 3)
        self.assertEqual([arm["name"] for arm in report["arms"]], ["texts"])
        page = (run / "report.html").read_text(encoding="utf-8")
        self.assertIn("answers alone", page)

    def test_an_arm_may_be_left_out_and_made_later(self):
        settings = [f"data.prompts={self.prompts}", "objective.alpha=0.5"]
        report, _ = self.report("later", *settings, options=["--arms", "student"])
        self.assertEqual(report["arms"], [])
        student = digest(self.path / "later", "student")
        report, _ = self.report("later", *settings, options=["--resume"])
        self.assertEqual([arm["name"] for arm in report["arms"]], ["texts"])
        self.assertEqual(digest(self.path / "later", "student"), student)
        _, said = self.report("idle", *settings, "objective.on_policy=0.3", options=["--arms", "start"])
        self.assertIn("plan: start is not trained", said)
        self.assertIn("plan: on_policy is not trained: --arms", said)
        self.fails(2, ["--arms", "texts"], "distill", self.recipe, "--run-dir", self.path / "no", "--arms", "tests")

    def test_inherited_weights_are_never_counted_as_distillation(self):
        report, _ = self.report("start", "student.init=teacher", "teacher.train.steps=60")
        run = self.path / "start"
        self.assertEqual([arm["name"] for arm in report["arms"]], ["start"])
        self.assertEqual(len({digest(run, arm) for arm in ("control", "start", "student")}), 3)

    def test_the_parts_of_a_gap_add_up_to_what_was_measured(self):
        """A teacher that knows 24 words, an owner who has labelled 12 of them."""
        words = [a + b for a in ("ba", "de", "fi", "go", "ku", "lo") for b in ("mar", "nes", "pit", "rob")]
        def row(i, word, labelled=True):
            label = ("red", "green", "blue")[words.index(word) % 3]
            return json.dumps({"prompt": f"item {i} {word}", **({"completion": label} if labelled else {})}) + "\n"
        known = write(self.path / "known.jsonl", "".join(row(i, words[i % 24]) for i in range(240)))
        labelled = write(self.path / "labelled.jsonl", "".join(row(i, words[i % 12]) for i in range(300, 336)))
        asked = write(self.path / "asked.jsonl", "".join(row(i, words[i % 24], False) for i in range(400, 640)))
        test = write(self.path / "test.jsonl", "".join(row(i, words[i % 24]) for i in range(700, 820)))
        recipe = write(self.path / "words.toml", RECIPE.format(train=labelled).replace('"exact"', '"accuracy"'))
        shared = [f"data.test={test}", "data.test_limit=120", "student.train.steps=250", "student.train.lr=0.01"]
        sets = [word for setting in (*shared, f"data.train={known}") for word in ("--set", setting)]
        self.succeeds("train", recipe, "--out", self.path / "teacher", *sets)
        self.recipe = recipe
        for init, sources in (("random", ["answers", "probabilities"]),
                              ("teacher", ["weights", "answers", "probabilities"])):
            report, _ = self.report(f"from_{init}", *shared, f"teacher.model={self.path / 'teacher'}",
                                    f"student.init={init}", f"data.prompts={asked}", "objective.alpha=0.5")
            self.assertEqual([part["source"] for part in report["gap_parts"]], sources, report["gap_closed_reason"])
            scores = {arm["name"]: arm["score"] for arm in (*report["arms"], report["student"], report["control"])}
            gap = report["teacher"]["score"] - scores["control"]
            self.assertGreater(gap, 0.2)
            parts = {part["source"]: part["share"] for part in report["gap_parts"]}
            self.assertAlmostEqual(sum(parts.values()), (scores["student"] - scores["control"]) / gap, places=6)
            before = scores["start"] if init == "teacher" else scores["control"]
            self.assertAlmostEqual(report["gap_closed"], (scores["student"] - before) / gap, places=6)
            self.assertAlmostEqual(parts["answers"], (scores["texts"] - before) / gap, places=6)
            self.assertIn("gap", report["lead"])

    def test_few_rows_are_not_punished_by_many_steps(self):
        done = self.distill("long", "student.train.steps=150", "data.limit=12", "student.train.lr=0.02")
        self.assertEqual(done.returncode, 0, done.stderr)
        for arm in ("control", "student"):
            lines = (self.path / "long" / arm / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            scores = [json.loads(line)["score"] for line in lines if "score" in json.loads(line)]
            self.assertEqual(len(scores), 10)
            self.assertFalse((self.path / "long" / arm / "best.safetensors").exists())


if __name__ == "__main__":
    program.main()
