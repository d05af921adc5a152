"""Bidirectional students from the recipe to the answer: forms, canvases, their twins, and what is refused. Sizes are tiny: nothing here
is about solving."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

from program import Dialogue, SOURCE, alambic

INVALID, UNSUPPORTED = 2, 6

SMALL = ["student.dim=16", "student.layers=1", "student.heads=2", "student.kv_heads=2", "student.ffn=32", "student.train.steps=3",
         "student.train.tokens_per_step=512", "data.limit=40", "data.test_limit=6", "data.validation=4"]


def train(example, out, *settings):
    more = [word for setting in [*SMALL, *settings] for word in ("--set", setting)]
    return alambic("train", SOURCE / "examples" / f"{example}.toml", *more, "--out", out, "--json")


class Puzzles(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.sudoku = cls.path / "sudoku"
        cls.countdown = cls.path / "countdown"
        cls.multiplication = cls.path / "multiplication"
        for name in ("sudoku", "countdown", "multiplication"):
            done = train(name, cls.path / name)
            assert done.returncode == 0, done.stderr

    def puzzles(self, model):
        return [json.loads(line) for line in (model / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]

    def test_a_form_is_filled_in_place(self):
        puzzle = self.puzzles(self.sudoku)[0]["prompt"]
        line = self.json_of("generate", self.sudoku, "--prompt", puzzle, "--json")
        self.assertEqual(line["decode"], "diffusion")
        self.assertEqual(len(line["tokens"]), 81)
        # Those of one given digit are one token wherever it stands.
        for digit in set(puzzle) - {"0"}:
            self.assertEqual(len({token for given, token in zip(puzzle, line["tokens"]) if given == digit}), 1)

    def test_steps_bound_the_forwards(self):
        puzzle = self.puzzles(self.sudoku)[0]["prompt"]
        line = self.json_of("generate", self.sudoku, "--prompt", puzzle, "--steps", 3, "--remask-steps", 1, "--json")
        self.assertGreaterEqual(line["forwards"], 4)

    def test_answers_are_verified(self):
        for model in (self.sudoku, self.countdown, self.multiplication):
            score = self.json_of("eval", model, "--data", model / "held_out.jsonl", "--json")
            self.assertEqual((score["task"], score["n"], score["decode"]), ("solved", 6, "diffusion"))

    def test_the_twin_is_causal_and_writes_from_left_to_right(self):
        twin = self.path / "twin"
        done = train("sudoku", twin, "student.attention=causal")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads((twin / "config.json").read_text(encoding="utf-8"))["model_type"], "gpt2")
        self.assertEqual(self.json_of("eval", twin, "--data", twin / "held_out.jsonl", "--max-tokens", 90, "--json")["decode"], "ar")

    def test_what_cannot_be_is_refused_in_one_line(self):
        clash = "55" + "0" * 79
        full = self.puzzles(self.sudoku)[0]["completion"]
        for status, words, model, *arguments in (
                (INVALID, "5 stands twice in row 1", self.sudoku, "--prompt", clash),
                (INVALID, "none that can be verified", self.countdown, "--prompt", "hello"),
                (INVALID, "has no blank", self.sudoku, "--prompt", full),
                (INVALID, "masks and nothing else", self.countdown, "--raw", "--prompt", "<|mask|><|mask|>"),
                (INVALID, "at most 176", self.sudoku, "--raw", "--prompt", "1" + "<|mask|>" * 176),
                (UNSUPPORTED, "want diffusion", self.sudoku, "--prompt", clash[2:] + "00", "--decode", "ar"),
                (UNSUPPORTED, "want diffusion", self.sudoku, "--prompt", full[:80] + "0", "--decode", "speculative")):
            self.fails(status, words, "generate", model, *arguments)
        self.fails(UNSUPPORTED, "want alambic generate", "serve", self.sudoku, "--port", 0)

    def test_a_diffusion_model_teaches_by_its_texts(self):
        prompts = self.path / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": p["prompt"]}) + "\n" for p in self.puzzles(self.countdown)), encoding="utf-8")
        store = self.path / "texts.sqlite"
        done = alambic("teach", self.countdown, "--data", prompts, "--texts", "teacher", "--kind", "text", "--out", store)
        self.assertEqual(done.returncode, 0, done.stderr)
        for attention in ("causal", "all"):
            settings = [*SMALL, "student.train.steps=2", f"teacher.model={self.countdown}", "signals.kind=text", "signals.texts=teacher",
                        f"student.attention={attention}", "eval.samples=1", "eval.speed_prompts=2"]
            report = self.json_of("distill", SOURCE / "examples" / "countdown.toml", "--run-dir", self.path / attention, "--json",
                                  *[word for setting in settings for word in ("--set", setting)])
            self.assertEqual(list(report["decode"]), ["ar", "lookup"] if attention == "causal" else ["diffusion"])
        self.fails(UNSUPPORTED, "want its texts alone", "teach", self.countdown, "--data", prompts, "--texts", "teacher", "--out",
                     self.path / "draws.sqlite")


if __name__ == "__main__":
    program.main()
