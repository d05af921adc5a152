"""What reaches the terminal: nothing it would act on, one line per error, and what was meant."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from program import Dialogue, alambic, tiny_recipe, write

HOSTILE = "\x1b[31mred\x07 \x7f \u009b2J \u202egpj \u2066x \u200f"
HARMFUL = [
    chr(c) for c in [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x200F, 0x202E, 0x2066] if c != 0x0A
]


class Terminal(Dialogue):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name)
        cls.recipe = write(cls.path / "tiny.toml", tiny_recipe(4))
        cls.run_dir = cls.path / "run"
        done = alambic("distill", cls.recipe, "--run-dir", cls.run_dir, "--threads", 1)
        assert done.returncode == 0, done.stderr
        cls.model = cls.run_dir / "student"

    def clean(self, text):
        for character in HARMFUL:
            self.assertNotIn(character, text)

    def test_what_a_model_says_of_itself_is_shown_escaped(self):
        model = self.path / "hostile"
        shutil.copytree(self.model, model)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        config["alambic"]["provenance"] = {HOSTILE: HOSTILE}
        config["alambic"]["prompt_template"] = "{prompt}" + HOSTILE + "\n"
        config["alambic"]["labels"] = [HOSTILE]
        write(model / "config.json", json.dumps(config))
        for more in ([], ["--json"]):
            self.clean(self.succeeds("inspect", model, *more))
        self.assertIn("\\x1b[31mred", self.succeeds("inspect", model))
        card = self.json_of("inspect", model, "--json")["card"]
        self.assertEqual(card["provenance"], {HOSTILE: HOSTILE})
        self.assertEqual(card["labels"], [HOSTILE])

    def test_stored_texts_are_shown_escaped(self):
        data, store = self.path / "hostile.jsonl", self.path / "hostile.sqlite"
        write(data, json.dumps({"prompt": "a" + HOSTILE, "completion": "b" + HOSTILE}) + "\n")
        self.succeeds(
            "teach", self.run_dir / "teacher", "--data", data, "--out", store, "--threads", 1
        )
        for more in ([], ["--json"]):
            self.clean(self.succeeds("inspect", store, *more))

    def test_words_that_nobody_can_read_end_no_command(self):
        asked = [program.PROGRAM, "generate", self.model, "--prompt", "x", "--max-tokens", "3"]
        heard = self.succeeds(*asked[1:])
        for where in ("2> /dev/full", "2>&-", "2> >(true)"):
            line = ["bash", "-c", 'exec "$0" "$@" ' + where, *map(str, asked)]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, heard), where)
            wrong = ["bash", "-c", 'exec "$0" "$@" ' + where, program.PROGRAM, "inspect", "nowhere"]
            self.assertEqual(subprocess.run(wrong, timeout=60).returncode, 3, where)

    def test_a_prompt_in_another_encoding_is_refused(self):
        self.fails(2, "--prompt", "generate", self.model, "--prompt", os.fsdecode(b"caf\xe9"))

    def test_errors_are_one_line_whatever_they_quote(self):
        name = "a\nb" + HOSTILE
        model = ["--prompt", "x"]
        for arguments in (
            ["generate", name, *model],
            ["inspect", name],
            ["inspect", b"\xff\xfe"],
            ["distill", name],
            ["eval", self.model, "--data", name],
            ["quantize", name, "--weights", "int8", "--out", "x"],
            ["generate", "x" * 5000, *model],
            ["generate", "", *model],
            ["inspect", ""],
            ["distill", self.recipe, "--set", name],
            [name],
            ["generate", self.model, *model, "--" + name],
            ["distill", self.recipe, "--run-dir", ""],
            ["import", self.model, ""],
        ):
            done = alambic(*[os.fsdecode(a) if isinstance(a, bytes) else a for a in arguments])
            self.assertGreater(done.returncode, 0, arguments)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.clean(done.stderr)

    def test_seeds_are_whole_numbers_of_64_bits(self):
        most = 2**64 - 1
        ask = [
            "generate",
            self.model,
            "--prompt",
            "x",
            "--max-tokens",
            2,
            "--temperature",
            1,
            "--threads",
            1,
            "--seed",
        ]
        for seed in (0, 1, most):
            self.succeeds(*ask, seed)
        for seed in ("-1", "1e3", "1.5", "0x10", most + 1, "10" * 40, "", " 1", "nan"):
            line = self.fails(2, ["--seed", most], *ask, seed)
            self.assertLess(len(line), 300)
        shown = self.succeeds("distill", self.recipe, "--print-recipe", "--set", f"seed={most}")
        again = write(self.path / "again.toml", shown)
        self.assertIn(str(most), self.succeeds("distill", again, "--print-recipe"))
        for seed in ("-1", "1e3", most + 1, "x"):
            self.fails(2, "seed", "distill", self.recipe, "--print-recipe", "--set", f"seed={seed}")

    def test_ranges_are_short_and_numbers_are_numbers(self):
        ask = ["generate", self.model, "--prompt", "x"]
        for option, value in (
            ("--entropy-bound", "-1"),
            ("--temperature", "nan"),
            ("--temperature", "-0.5"),
            ("--top-k", "-1"),
            ("--top-p", "inf"),
            ("--quality", "2"),
            ("--max-tokens", "0"),
        ):
            line = self.fails(2, option, *ask, option, value)
            self.assertLess(len(line), 200, line)

    def test_a_word_that_nobody_knows_is_an_error_beside_help_too(self):
        for words in (
            ["genrate"],
            ["genrate", "--help"],
            ["--help", "genrate"],
            ["genrate", "--version"],
        ):
            self.fails(2, ["genrate", "generate"], *words)
        self.fails(2, ["--promt", "--prompt"], "generate", self.model, "--promt", "x")
        self.fails(2, "zebra", "zebra", "--help")
        self.assertIn("distill", self.succeeds("--help"))
        self.assertIn("--run-dir", self.succeeds("distill", "--help"))

    def test_a_run_stands_for_its_student(self):
        done = alambic(
            "generate", self.run_dir, "--prompt", "x", "--max-tokens", 2, "--json", "--threads", 1
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(str(self.model), done.stderr)
        direct = self.json_of(
            "generate", self.model, "--prompt", "x", "--max-tokens", 2, "--json", "--threads", 1
        )
        self.assertEqual(json.loads(done.stdout)["text"], direct["text"])
        self.fails(2, "no student yet", "generate", self.unfinished(), "--prompt", "x")

    def unfinished(self):
        run = self.path / "unfinished"
        run.mkdir()
        shutil.copy(self.run_dir / "recipe.toml", run)
        return run

    def test_what_is_no_model_is_told_by_what_it_is(self):
        empty, pipe = self.path / "empty", self.path / "pipe"
        empty.mkdir()
        os.mkfifo(pipe)
        text = write(self.path / "words.txt", "hello\n")
        for place, what in (
            (self.run_dir / "signals.sqlite", "signal store"),
            (self.recipe, "recipe"),
            (text, "text file"),
            (empty, "an empty directory"),
            (pipe, "pipe"),
            ("/dev/null", "device"),
            (self.model / "model.safetensors", str(self.model)),
            (self.model / "config.json", "JSON"),
        ):
            for verb in (
                ["generate", place, "--prompt", "x"],
                ["eval", place, "--data", text],
                ["quantize", place, "--weights", "int8", "--out", self.path / "out"],
                ["export", place, "--to", "gguf", self.path / "out"],
                ["import", place, self.path / "out"],
            ):
                self.fails(2, [place, what, "want a model"], *verb)
        for place in (
            self.recipe,
            text,
            empty,
            pipe,
            "/dev/null",
            self.model / "model.safetensors",
        ):
            line = self.fails(2, [place, "want a model, a run or a signal store"], "inspect", place)
            self.assertNotIn("SQLite file", line)
        self.fails(3, "does not exist", "generate", self.path / "nowhere", "--prompt", "x")


if __name__ == "__main__":
    program.main()
