"""What stood in a directory stays whole until something whole takes its place, and is then gone."""

import program  # first: it skips where the interpreter lacks what the others need
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from program import Dialogue, alambic, tiny_recipe, write

STEPS = 10
QUICK = ["--threads", "1"]


def contents(directory):
    """Every file below, by its name and what is in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


class Directories(Dialogue):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name)
        rows = [{"prompt": f"say {i} twice", "completion": f"{i} {i}"} for i in range(90)]
        cls.data = write(cls.path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        recipe = tiny_recipe(STEPS).replace(
            "[data]\n", f'[data]\nsource = "files"\ntrain = "{cls.data}"\n'
        )
        cls.recipe = write(cls.path / "tiny.toml", recipe)
        cls.run_dir, cls.model = cls.path / "a run", cls.path / "a model"
        for arguments in (
            ["distill", cls.recipe, "--run-dir", cls.run_dir],
            ["train", cls.recipe, "--out", cls.model],
        ):
            done = alambic(*arguments, *QUICK)
            assert done.returncode == 0, done.stderr

    def copy_of(self, directory, name):
        copy = self.path / name
        shutil.copytree(directory, copy)
        return copy, contents(copy)

    def killed(self, with_what, partial, *arguments):
        """Starts the program and stops it once it has trained something in `partial`."""
        child = subprocess.Popen(
            [program.PROGRAM, *map(str, arguments), *QUICK],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3000):
            if list(partial.rglob("checkpoint.safetensors")) or child.poll() is not None:
                break
            time.sleep(0.01)
        self.assertIsNone(child.poll(), "it was over too soon")
        child.send_signal(with_what)
        _, errors = child.communicate(timeout=60)
        return child.returncode, errors

    def test_a_recipe_that_cannot_work_leaves_the_old_run_and_no_new_one(self):
        run, before = self.copy_of(self.run_dir, "kept")
        bad = write(self.path / "bad.jsonl", '{"prompt": "a", "completion"\n')
        for wrong in (
            [f"data.train={self.path / 'absent.jsonl'}"],
            [f"data.train={bad}"],
            ["student.dim=7"],
            [f"teacher.model={self.path / 'no teacher'}"],
            [f"student.model={self.path / 'no student'}"],
            [f"student.tokenizer={self.data}"],
            [f"data.prompts={self.path / 'none.jsonl'}"],
            ["data.max_tokens=2"],
        ):
            settings = [part for value in wrong for part in ("--set", value)]
            done = alambic(
                "distill", self.recipe, *settings, "--run-dir", run, "--overwrite", *QUICK
            )
            self.assertGreater(done.returncode, 0, wrong)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertEqual(contents(run), before, wrong)
            self.assertFalse((self.path / "kept.partial").exists(), done.stderr)
            fresh = self.path / "never made"
            self.assertGreater(
                alambic("distill", self.recipe, *settings, "--run-dir", fresh, *QUICK).returncode, 0
            )
            self.assertFalse(fresh.exists(), wrong)

    def test_a_killed_overwrite_leaves_the_old_run_and_goes_on_to_the_same_result(self):
        run, before = self.copy_of(self.run_dir, "overwritten")
        partial = self.path / "overwritten.partial"
        longer = ["distill", self.recipe, "--set", "teacher.train.steps=60", "--set", "seed=5"]
        status, _ = self.killed(signal.SIGKILL, partial, *longer, "--run-dir", run, "--overwrite")
        self.assertEqual(status, -signal.SIGKILL)
        self.assertEqual(contents(run), before)
        self.succeeds("generate", run, "--prompt", "say 1 twice", "--max-tokens", 4, *QUICK)
        self.fails(2, "--resume", *longer, "--run-dir", run)
        self.succeeds(*longer, "--run-dir", run, "--resume", *QUICK)
        self.assertFalse(partial.exists())
        self.succeeds(*longer, "--run-dir", self.path / "at once", *QUICK)
        for name in ("teacher", "student", "control"):
            weights = [
                (place / name / "model.safetensors").read_bytes()
                for place in (run, self.path / "at once")
            ]
            self.assertEqual(*weights)
        report = (run / "report.json").read_text(encoding="utf-8")
        self.assertIn(f"{run}/student", report)
        self.assertNotIn(".partial", report)
        self.assertFalse((run / "partial.txt").exists())

    def test_control_c_during_an_overwrite_says_where_the_work_is(self):
        run, before = self.copy_of(self.run_dir, "interrupted")
        status, errors = self.killed(
            signal.SIGINT,
            self.path / "interrupted.partial",
            "distill",
            self.recipe,
            "--set",
            "teacher.train.steps=400",
            "--run-dir",
            run,
            "--overwrite",
        )
        self.assertEqual(status, 130, errors)
        line = errors.splitlines()[-1]
        for part in ("interrupted", f"{run} is as it was", f"{run}.partial", "--resume"):
            self.assertIn(part, line)
        self.assertEqual(contents(run), before)
        # Begun anew with another recipe, it is thrown away.
        self.succeeds(
            "distill", self.recipe, "--set", "seed=3", "--run-dir", run, "--overwrite", *QUICK
        )
        self.assertFalse((self.path / "interrupted.partial").exists())
        self.assertNotEqual(contents(run), before)

    def test_a_killed_training_leaves_the_old_model(self):
        model, before = self.copy_of(self.model, "trained over")
        longer = ["train", self.recipe, "--set", "student.train.steps=300", "--out", model]
        self.killed(signal.SIGKILL, self.path / "trained over.partial", *longer, "--overwrite")
        self.assertEqual(contents(model), before)
        self.succeeds("generate", model, "--prompt", "say 1 twice", "--max-tokens", 4, *QUICK)
        self.succeeds(*longer, "--resume", *QUICK)
        self.assertNotEqual(contents(model), before)

    def test_what_a_killed_program_had_half_written_goes_away(self):
        half = self.model / "checkpoint.safetensors.tmp.4194399"
        half.write_text("half")
        self.succeeds("train", self.recipe, "--out", self.model, "--resume", *QUICK)
        self.assertFalse(half.exists())

    def test_nothing_of_another_model_stays_or_is_taken_for_ours(self):
        model, _ = self.copy_of(self.model, "other's")
        left = [
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.json",
            "merges.txt",
            "tokenizer.model",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "chat_template.jinja",
            "adapter_config.json",
            "adapter_model.safetensors",
        ]
        for name in left:
            write(model / name, "of another")
        self.fails(2, ["holds a model", "--overwrite"], "train", self.recipe, "--out", model)
        self.succeeds("train", self.recipe, "--out", model, "--overwrite", *QUICK)
        self.assertEqual(sorted(contents(model)), sorted(contents(self.model)))
        # A finished model of another recipe is not what --resume was asked for.
        self.fails(
            2, "another recipe", "train", self.recipe, "--set", "seed=8", "--out", model, "--resume"
        )
        # Half a model without weights is somebody's too.
        half = self.path / "half"
        half.mkdir()
        write(half / "special_tokens_map.json", "{}")
        self.fails(2, "--overwrite", "train", self.recipe, "--out", half)

    def test_what_is_somebody_elses_is_refused_and_named(self):
        home = self.path / "home"
        (home / ".git").mkdir(parents=True)
        write(home / ".git" / "HEAD", "ref")
        write(home / "diary.txt", "dear diary")
        run, _ = self.copy_of(self.run_dir, "with notes")
        write(run / "student" / "notes.md", "mine")
        model, _ = self.copy_of(self.model, "with photo")
        write(model / "cat.jpg", "mine")
        for place, named in ((home, "diary.txt"), (run, "student/notes.md"), (model, "cat.jpg")):
            before = contents(place)
            for more in ([], ["--overwrite"]):
                verbs = [
                    ["distill", self.recipe, "--run-dir", place],
                    ["train", self.recipe, "--out", place],
                ]
                for arguments in (
                    [verbs[0]] if place is run else [verbs[1]] if place is model else verbs
                ):
                    self.fails(2, [place, named], *arguments, *more)
            for arguments in (
                ["quantize", self.model, "--weights", "int8", "--out", place],
                ["export", self.model, "--to", "hf", place],
                ["import", self.model, place],
            ):
                self.fails(2, ["already", place], *arguments)
            self.assertEqual(contents(place), before)

    def test_what_is_read_is_not_replaced(self):
        run, before = self.copy_of(self.run_dir, "read from")
        teacher = run / "teacher"
        self.fails(
            2,
            [teacher, "--overwrite"],
            "distill",
            self.recipe,
            "--set",
            f"teacher.model={teacher}",
            "--run-dir",
            run,
            "--overwrite",
        )
        self.assertEqual(contents(run), before)

    def test_copies_are_made_beside_their_name_and_leave_nothing_when_they_fail(self):
        out = self.path / "copies" / "copy"
        out.parent.mkdir()
        bad = write(self.path / "no text.jsonl", "")
        self.assertGreater(
            alambic(
                "quantize", self.model, "--weights", "int8", "--out", out, "--calibrate", bad
            ).returncode,
            0,
        )
        self.assertEqual(list(out.parent.iterdir()), [])
        broken, _ = self.copy_of(self.model, "broken")
        weights = (broken / "model.safetensors").read_bytes()
        (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        for arguments in (
            ["quantize", broken, "--weights", "int8", "--out", out],
            ["export", broken, "--to", "gguf", out],
            ["export", broken, "--to", "hf", out],
            ["import", broken, out],
        ):
            done = alambic(*arguments)
            self.assertGreater(done.returncode, 0)
            self.assertNotIn("partial", done.stderr)
            self.assertEqual(list(out.parent.iterdir()), [])
        self.succeeds("quantize", self.model, "--weights", "int8", "--out", out, *QUICK)
        self.assertEqual([path.name for path in out.parent.iterdir()], ["copy"])
        self.assertFalse((out / "partial.txt").exists())

    def test_a_full_disk_names_the_file_that_was_wanted(self):
        import resource

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        out = self.path / "too large"
        line = self.fails(
            5,
            "too large/",
            "quantize",
            self.model,
            "--weights",
            "int8",
            "--out",
            out,
            preexec_fn=small_files,
        )
        self.assertNotIn("partial", line)
        self.assertNotIn(".tmp", line)
        self.assertFalse(out.exists())

    def test_work_beside_is_not_shared_and_not_mixed_with_something_else(self):
        run, before = self.copy_of(self.run_dir, "contested")
        partial = self.path / "contested.partial"
        partial.mkdir()
        write(partial / "photo.jpg", "mine")
        self.fails(
            2, [partial, "something else"], "distill", self.recipe, "--run-dir", run, "--overwrite"
        )
        self.assertTrue((partial / "photo.jpg").exists())
        self.assertEqual(contents(run), before)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    program.main()
