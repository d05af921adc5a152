"""Ways of writing as a user meets them: speculation that changes nothing, the dial, a gap between two texts, watching."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import os
import pathlib
import pty
import subprocess
import tempfile

from program import Dialogue, alambic, tiny_recipe, write

INVALID, UNSUPPORTED = 2, 6


class Decoding(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        recipe = write(cls.path / "tiny.toml", tiny_recipe(60))
        done = alambic("distill", recipe, "--run-dir", cls.path / "run", "--json")
        assert done.returncode == 0, done.stderr
        cls.report = json.loads(done.stdout)
        cls.model = cls.path / "run" / "student"
        done = alambic("train", recipe, "--set", "objective.draft_weight=0", "--set", "student.tokenizer=train", "--out", cls.path / "plain")
        assert done.returncode == 0, done.stderr
        cls.plain = cls.path / "plain"
        rows = [{"prompt": f"Where is order X{i}?", "completion": "On its way."} for i in range(12)]
        cls.prompts = write(cls.path / "prompts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def texts(self, *options):
        lines = self.succeeds("generate", self.model, "--prompts", self.prompts, "--json", "--max-tokens", 20, *options).splitlines()
        return [(line["tokens"], line["log_probability"]) for line in map(json.loads, lines)]

    def test_speculation_and_lookup_write_what_ar_writes(self):
        for common in ([], ["--temperature", 1, "--seed", 5], ["--temperature", 0.7, "--top-k", 9]):
            expected = self.texts(*common)
            for way in (["speculative"], ["speculative", "--layout", "quadratic", "--drafts", 3], ["speculative", "--layout", "fused"],
                        ["speculative", "--layout", "turns", "--drafts", 2], ["lookup"], ["lookup", "--drafts", 5]):
                self.assertEqual(self.texts("--decode", *way, *common), expected, way)

    def test_lookup_wants_no_mask_and_drafts_do(self):
        self.succeeds("generate", self.plain, "--prompt", "Hello", "--decode", "lookup", "--max-tokens", 5)
        for mode in ("speculative", "diffusion"):
            line = self.fails(UNSUPPORTED, "--adapt", "generate", self.plain, "--prompt", "Hello", "--decode", mode)
            self.assertIn("ar", line)

    def test_training_over_a_model_wants_a_word(self):
        train = ["train", self.path / "tiny.toml", "--set", "objective.draft_weight=0", "--set", "student.tokenizer=train",
                 "--set", "student.train.steps=3", "--out", self.path / "again", "--json"]
        self.succeeds(*train)
        first = (self.path / "again" / "model.safetensors").read_bytes()
        other = [*train, "--set", "seed=9"]
        self.fails(INVALID, ["holds a model", "--overwrite"], *other)
        self.succeeds(*other, "--overwrite")
        self.assertNotEqual((self.path / "again" / "model.safetensors").read_bytes(), first)

    def test_a_block_longer_than_trained_is_refused(self):
        self.fails(INVALID, ["--block", "4"], "generate", self.model, "--prompt", "Hello", "--decode", "diffusion", "--block", 9)

    def test_every_rule_of_diffusion_writes(self):
        for rule in (["--reveal", "threshold", "--threshold", 0.2], ["--reveal", "entropy", "--entropy-bound", 2],
                     ["--reveal", "count", "--reveal-count", 2], ["--edit", 0.5, "--remask", 0]):
            self.texts("--decode", "diffusion", *rule)

    def test_a_gap_is_filled_to_its_length(self):
        gap = ["--prompt", "Where is my", "--suffix", "?", "--decode", "diffusion"]
        self.assertEqual(len(self.json_of("generate", self.model, *gap, "--max-tokens", 3, "--json")["tokens"]), 3)
        self.fails(INVALID, ["suffix", "at most 3"], "generate", self.model, *gap, "--max-tokens", 4)
        self.fails(INVALID, "--suffix", "generate", self.model, "--prompt", "a", "--suffix", "b", "--decode", "ar")

    def test_the_dial_is_measured_and_then_turned(self):
        self.fails(UNSUPPORTED, "alambic calibrate", "generate", self.plain, "--prompt", "a", "--quality", 0.5)
        self.fails(UNSUPPORTED, "--adapt", "calibrate", self.plain, "--data", self.prompts, "--task", "exact")
        # What a model of this size answers is wrong; here it is right, so that something can be kept of it.
        data = write(self.path / "dev.jsonl", "".join(
            json.dumps({"prompt": json.loads(line)["prompt"], "completion": json.loads(line)["text"] or "x"}) + "\n"
            for line in self.succeeds("generate", self.model, "--prompts", self.prompts, "--json", "--max-tokens", 20).splitlines()))
        curve = self.json_of("calibrate", self.model, "--data", data, "--task", "exact", "--max-tokens", 20, "--json")
        self.assertTrue(curve["measured"][0]["lossless"])
        self.assertAlmostEqual(curve["measured"][0]["kept"], 1)
        self.assertGreaterEqual(curve["area"], 0)
        dial = json.loads((self.model / "config.json").read_text(encoding="utf-8"))["alambic"]["dial"]
        self.assertEqual(sum(m["on_dial"] for m in curve["measured"]), len(dial))
        self.assertEqual([p["speed"] for p in dial], sorted((p["speed"] for p in dial), reverse=True))
        line = self.json_of("generate", self.model, "--prompt", "Where is order X1?", "--quality", 1, "--json")
        self.assertEqual(line["decode"], "speculative" if any(p["lossless"] for p in dial) else "diffusion")
        self.fails(INVALID, "--quality", "generate", self.model, "--prompt", "a", "--quality", 1.5)

    def test_a_run_replays_and_says_how_drafts_fared(self):
        self.assertEqual(list(self.report["decode"]), sorted(["ar", "lookup", "speculative", "diffusion"]))
        page = (self.path / "run" / "report.html").read_text(encoding="utf-8")
        self.assertIn("Step by step", page)
        self.assertNotIn("<script", page)

    def test_watching_draws_in_a_terminal_and_lists_states_elsewhere(self):
        watch = ["generate", self.model, "--prompt", "Where is order X1?", "--decode", "diffusion", "--max-tokens", 8, "--watch"]
        states = self.succeeds(*watch).splitlines()
        self.assertTrue(any("░" in state for state in states))
        self.assertNotIn("\x1b", "".join(states))
        try:
            reader, terminal = pty.openpty()
        except OSError as error:
            self.skipTest(f"no terminal to draw in: {error}")
        with subprocess.Popen([program.PROGRAM, *map(str, watch)], stdout=terminal, stderr=subprocess.DEVNULL) as child:
            os.close(terminal)
            drawn = b""
            while True:
                try:
                    piece = os.read(reader, 4096)
                except OSError:  # the terminal is gone with its last writer
                    break
                if not piece:
                    break
                drawn += piece
            self.assertEqual(child.wait(), 0)
        os.close(reader)
        self.assertIn(b"\x1b[1;32m", drawn)  # new words
        self.assertIn(b"A\r\x1b[J", drawn)  # over the drawing before


if __name__ == "__main__":
    program.main()
