"""The quickstart in small: who learns from which mails, what the run says of it, and texts that run in circles."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

from program import Dialogue, SOURCE, alambic, write

QUICKSTART = SOURCE / "examples" / "quickstart.toml"
SMALL = [f"--set={setting}" for setting in (
    "vocabulary=400", "data.limit=20", "data.unlabelled=30", "teacher.rows=40", "data.validation=5", "data.test_limit=20",
    "data.max_tokens=500", "teacher.dim=16", "teacher.layers=1", "teacher.heads=2", "teacher.kv_heads=2", "teacher.ffn=32",
    "teacher.train.steps=3", "student.dim=16", "student.layers=1", "student.heads=2", "student.kv_heads=2", "student.ffn=32",
    "student.train.steps=3", "signals.cut=keep", "signals.max_new_tokens=8", "eval.max_new_tokens=8",
    "eval.speed_prompts=2", "eval.dial_prompts=0")]


class Quickstart(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)

    def test_only_the_teacher_sees_its_rows_and_the_run_says_so(self):
        run = self.path / "run"
        done = alambic("distill", QUICKSTART, *SMALL, "--run-dir", run)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("20 rows to learn from, 30 prompts for the teacher to answer, 40 rows that only the teacher sees",
                      done.stderr)
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        self.assertEqual(report["data"]["teacher_rows"], 40)
        notes = " ".join(report["notes"])
        self.assertIn("40 rows of its own", notes)
        self.assertIn("stands for a large model", notes)
        self.assertNotIn("the student started from", notes)
        # What each was trained on: its record has one entry for each row.
        rows = {name: (run / name / "trained_on.json").read_text(encoding="utf-8") for name in ("teacher", "student", "control")}
        self.assertEqual(rows["student"], rows["control"])
        self.assertNotEqual(rows["teacher"], rows["student"])
        self.assertNotEqual((run / "student/model.safetensors").read_bytes(), (run / "control/model.safetensors").read_bytes())

    def test_rows_are_made_up_for_built_in_sources_alone(self):
        rows = write(self.path / "rows.jsonl", '{"prompt": "a", "completion": "b"}\n')
        self.fails(2, "data.prompts", "distill", QUICKSTART, "--set=data.source=files", f"--set=data.train={rows}",
                   "--set=teacher.rows=0", "--run-dir", self.path / "none")
        self.fails(2, "teacher.rows = 0", "distill", QUICKSTART, f"--set=teacher.model={self.path}", "--run-dir",
                   self.path / "none")

    def test_a_text_that_runs_in_circles_is_cut_alike_in_every_mode(self):
        rows = write(self.path / "circles.jsonl", "".join(
            json.dumps({"prompt": f"Say {i}", "completion": "one small wheel turns, " * 40}) + "\n"
            for i in range(40)))
        model = self.path / "circles"
        recipe = write(self.path / "circles.toml", program.tiny_recipe(160))
        self.succeeds("train", recipe, "--set=data.source=files", f"--set=data.train={rows}", "--set=data.max_tokens=500",
                      "--set=student.dim=32", "--set=student.train.lr=0.01", "--out", model)
        texts = []
        for mode in ("ar", "lookup", "speculative"):
            told = self.json_of("generate", model, "--prompt", "Say 3", "--max-tokens", 480, "--decode", mode, "--json")
            self.assertTrue(told["in_circles"] and not told["stopped"], told["text"])
            self.assertLess(len(told["tokens"]), 400)
            texts.append(told["tokens"])
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(texts[0], texts[2])
        done = alambic("generate", model, "--prompt", "Say 3", "--max-tokens", 480)
        self.assertIn("over and over", done.stderr)


if __name__ == "__main__":
    program.main()
