"""Every command opens what `generate` opens: one file, shards, GGUF, adapters, quantised weights."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

import tiny_models
from program import Dialogue

RECIPE = """\
name = "doors"
task = "perplexity"
[data]
source = "files"
train = "DATA"
max_tokens = 32
validation = 2
test_limit = 2
[student]
dim = 8
layers = 1
heads = 1
kv_heads = 1
ffn = 8
[student.train]
steps = 1
tokens_per_step = 64
[eval]
max_new_tokens = 2
speed_prompts = 1
samples = 1
"""


class Doors(Dialogue):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name)
        one = tiny_models.write_model(cls.path / "one")
        cls.forms = {
            "one": one,
            "shards": tiny_models.write_shards(cls.path / "shards"),
            "gguf": cls.path / "m.gguf",
            "adapters": tiny_models.write_adapters(cls.path / "adapters", one),
            "int8": cls.path / "int8",
        }
        for command in (
            ["export", one, "--to", "gguf", "--type", "f32", cls.forms["gguf"]],
            ["quantize", one, "--weights", "int8", "--out", cls.forms["int8"]],
        ):
            done = program.alambic(*command, "--threads", 1)
            assert done.returncode == 0, done.stderr
        cls.data = program.write(
            cls.path / "d.jsonl",
            "".join(
                json.dumps({"prompt": f"say {i}", "completion": f"number {i} it is"}) + "\n"
                for i in range(12)
            ),
        )
        cls.recipe = program.write(cls.path / "r.toml", RECIPE.replace("DATA", str(cls.data)))

    def every_form(self, *without):
        return [(name, model) for name, model in self.forms.items() if name not in without]

    def test_what_answers(self):
        for name, model in self.every_form():
            self.succeeds("generate", model, "--prompt", "a", "--max-tokens", 2, "--threads", 1)
            self.succeeds(
                "eval", model, "--task", "perplexity", "--data", self.data, "--threads", 1
            )
            self.succeeds("inspect", model)
            self.succeeds(
                "teach",
                model,
                "--data",
                self.data,
                "--kind",
                "topk",
                "--count",
                1,
                "--out",
                self.path / f"{name}.sqlite",
                "--threads",
                1,
            )

    def test_what_makes_other_forms(self):
        for name, model in self.every_form():
            for form, type_ in (("hf", "f16"), ("gguf", "f16")):
                self.succeeds(
                    "export",
                    model,
                    "--to",
                    form,
                    "--type",
                    type_,
                    self.path / f"{name}-{form}",
                    "--threads",
                    1,
                )
            self.succeeds("import", model, self.path / f"{name}-import", "--threads", 1)
        for name, model in self.every_form(
            "int8"
        ):  # of which the program says that it is quantised already
            self.succeeds(
                "quantize",
                model,
                "--weights",
                "int8",
                "--out",
                self.path / f"{name}-int8",
                "--threads",
                1,
            )

    def test_teachers(self):
        for name, model in self.every_form():
            self.succeeds(
                "distill",
                self.recipe,
                "--set",
                f"teacher.model={model}",
                "--set",
                "signals.kind=topk",
                "--run-dir",
                self.path / f"run-{name}",
                "--threads",
                1,
            )

    def test_students(self):
        for name, model in self.every_form("int8"):
            self.succeeds(
                "train",
                self.recipe,
                "--set",
                f"student.model={model}",
                "--set",
                "objective.alpha=0",
                "--out",
                self.path / f"trained-{name}",
                "--threads",
                1,
            )
        for name, model in self.every_form(
            "adapters"
        ):  # of which the program says that they are to be merged
            self.succeeds(
                "train",
                self.recipe,
                "--set",
                f"student.model={model}",
                "--set",
                "objective.alpha=0",
                "--set",
                "student.lora.rank=1",
                "--out",
                self.path / f"lora-{name}",
                "--threads",
                1,
            )
            self.succeeds(
                "generate",
                self.path / f"lora-{name}",
                "--prompt",
                "a",
                "--max-tokens",
                2,
                "--threads",
                1,
            )

    def test_hybrids(self):
        for name, model in self.every_form("int8"):
            self.succeeds(
                "train",
                self.recipe,
                "--adapt",
                model,
                "--out",
                self.path / f"hybrid-{name}",
                "--threads",
                1,
            )

    def test_signals_of_two_forms_of_one_name_are_told_apart(self):
        out = self.path / "apart.sqlite"
        self.succeeds(
            "teach",
            self.forms["one"],
            "--data",
            self.data,
            "--kind",
            "text",
            "--out",
            out,
            "--threads",
            1,
        )
        self.fails(
            2,
            "teacher",
            "teach",
            self.forms["adapters"],
            "--data",
            self.data,
            "--kind",
            "text",
            "--out",
            out,
        )


if __name__ == "__main__":
    program.main()
