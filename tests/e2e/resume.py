"""A run that is killed, interrupted or starved of disk ends, when resumed, with the very bytes of one that was not."""

import program  # first: it skips where the interpreter lacks what the others need
import hashlib
import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from program import Dialogue, alambic, tiny_recipe, write

STEPS = 40
KILLS = 8
ON_POLICY = "[objective]\non_policy = 0.4\non_policy_texts = 16\n"
POLISH = "[polish]\nsteps = 10\nprompts = 100\nmax_new_tokens = 40\n"


def fingerprint(run):
    """What must not depend on how often a run was stopped: weights, signals, scores."""
    signals = json.loads(alambic("inspect", run / "signals.sqlite", "--rows", 1000, "--json").stdout)
    del signals["path"], signals["gathered"], signals["header"]["begun"]
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {
        "weights": {name: hashlib.sha256((run / name / "model.safetensors").read_bytes()).hexdigest()
                    for name in ("teacher", "student", "control", "on_policy")},
        "signals": signals,
        "samples": report["samples"],
        "scores": {name: (report[name]["score"], report[name]["interval"]) for name in ("teacher", "student", "control")},
    }


class Resume(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.recipe = write(cls.path / "tiny.toml", tiny_recipe(STEPS).replace("[objective]\n", ON_POLICY) + POLISH)
        start = time.monotonic()
        done = alambic("distill", cls.recipe, "--run-dir", cls.path / "whole")
        cls.seconds = time.monotonic() - start
        assert done.returncode == 0, done.stderr
        cls.whole = fingerprint(cls.path / "whole")

    def start(self, run, *more):
        return subprocess.Popen([program.PROGRAM, "distill", str(self.recipe), "--run-dir", str(run), "--resume", *more],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_kill_9_at_any_instant_and_any_number_of_threads(self):
        run = self.path / "killed"
        moments = random.Random(4)
        kills = 0
        while kills < KILLS:
            child = self.start(run, "--threads", str(1 + kills % 2))
            try:
                child.communicate(timeout=moments.uniform(0.01, 0.4) * self.seconds)
                break  # it came to its end first
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                kills += 1
        self.assertGreater(kills, 2, "the run was over too soon to be killed")
        self.succeeds("distill", self.recipe, "--run-dir", run, "--resume")
        self.assertEqual(fingerprint(run), self.whole)

    def test_control_c_is_one_line_and_nothing_is_lost(self):
        run = self.path / "interrupted"
        child = self.start(run)
        time.sleep(0.3 * self.seconds)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 130, errors)
        self.assertIn("alambic: ", errors.splitlines()[-1])
        self.assertIn("interrupted", errors.splitlines()[-1])
        self.succeeds("distill", self.recipe, "--run-dir", run, "--resume")
        self.assertEqual(fingerprint(run), self.whole)

    def test_a_full_disk_is_one_line_and_nothing_is_lost(self):
        run = self.path / "full"
        limit = 100_000  # bytes a file may have: less than the teacher's checkpoint

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        self.fails(5, "cannot write", "distill", self.recipe, "--run-dir", run, preexec_fn=small_files)
        self.assertEqual(list(run.rglob("*.tmp*")), [])
        self.succeeds("distill", self.recipe, "--run-dir", run, "--resume")
        self.assertEqual(fingerprint(run), self.whole)

    def test_a_finished_run_is_kept_unless_told_otherwise(self):
        run = self.path / "whole"
        self.fails(2, ["--resume", "--overwrite"], "distill", self.recipe, "--run-dir", run)
        self.fails(2, "another recipe", "distill", self.recipe, "--run-dir", run, "--resume", "--set", "seed=9")

    def test_gathering_goes_on_where_a_full_disk_stopped_it(self):
        model, data = self.path / "whole" / "teacher", self.path / "data.jsonl"
        rows = [{"prompt": f"Where is order {i}?", "completion": f"It is order {i}. " * 6} for i in range(300)]
        write(data, "".join(json.dumps(row) + "\n" for row in rows))
        store, whole = self.path / "s.sqlite", self.path / "w.sqlite"

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))

        done = alambic("teach", model, "--data", data, "--out", store, preexec_fn=small_files)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("s.sqlite", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        before = self.json_of("inspect", store, "--json")["rows"]
        self.assertGreater(before, 0)
        resumed = self.json_of("teach", model, "--data", data, "--out", store, "--json")
        self.assertEqual(resumed["rows"] - resumed["new_rows"], before)
        self.succeeds("teach", model, "--data", data, "--out", whole)
        self.assertEqual(self.rows_of(store), self.rows_of(whole))

    def rows_of(self, store):
        return self.json_of("inspect", store, "--json", "--rows", 1000)["first_rows"]

    def test_a_store_of_other_data_or_another_teacher_is_not_mixed_with(self):
        data, other = self.path / "a.jsonl", self.path / "b.jsonl"
        write(data, '{"prompt": "a", "completion": "b"}\n')
        write(other, '{"prompt": "c", "completion": "d"}\n')
        store = self.path / "mixed.sqlite"
        self.succeeds("teach", self.path / "whole" / "teacher", "--data", data, "--out", store)
        self.fails(2, "another prompt", "teach", self.path / "whole" / "teacher", "--data", other, "--out", store)
        self.fails(2, "mixed.sqlite", "teach", self.path / "whole" / "student", "--data", data, "--out", store)

    def test_training_alone_uses_stored_signals_and_can_be_killed(self):
        signals = self.path / "whole" / "signals.sqlite"
        arguments = ["train", self.recipe, "--signals", signals, "--set", "objective.on_policy=0"]
        self.succeeds(*arguments, "--out", self.path / "once")
        child = subprocess.Popen([program.PROGRAM, *map(str, arguments), "--out", str(self.path / "twice")],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.1 * self.seconds)
        child.kill()
        child.wait()
        self.succeeds(*arguments, "--out", self.path / "twice", "--resume")
        weights = [(self.path / name / "model.safetensors").read_bytes() for name in ("once", "twice")]
        self.assertEqual(weights[0], weights[1])
        shutil.rmtree(self.path / "once")


if __name__ == "__main__":
    program.main()
