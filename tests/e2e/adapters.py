"""Adapters beside a model, quantised or not: trained, asked, exported, merged, and what is refused."""

import program  # first: it skips where the interpreter lacks what the others need
import json

import students
from program import tiny_recipe, write

TUNE = ["--set", "student.lora.rank=2", "--set", "student.train.steps=6", "--set", "student.train.lr=0.02",
        "--set", "objective.draft_weight=0.0", "--set", "objective.alpha=0.0", "--set", "data.chat_template=chatml"]


class Adapters(students.WithRun):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recipe = write(cls.path / "tune.toml", tiny_recipe(6))
        cls.tuned = cls.path / "tuned"
        done = program.alambic("train", cls.recipe, "--out", cls.tuned, "--set", f"student.model={json.dumps(str(cls.student))}", *TUNE)
        assert done.returncode == 0, done.stderr

    def tokens(self, model):
        return self.json_of("generate", model, "--prompt", students.PROMPT, "--max-tokens", 20, "--json")["tokens"]

    def test_they_are_peft_files_and_open_as_a_model(self):
        self.assertEqual(json.loads((self.tuned / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"], "LORA")
        self.assertFalse((self.tuned / "model.safetensors").exists())
        found = self.json_of("inspect", self.tuned, "--json")
        self.assertEqual(found["adapters_of"], str(self.student))
        self.tokens(self.tuned)
        self.succeeds("eval", self.tuned, "--data", self.tuned / "held_out.jsonl", "--limit", 4)

    def test_merged_or_exported_they_say_the_same(self):
        for verb, more in (("import", []), ("export", ["--to", "peft"])):
            said = self.json_of(verb, self.tuned, self.path / verb, "--json", *more)
            self.assertLessEqual(said["checked"]["logits_difference"], 1e-4)
            self.assertEqual(self.tokens(self.path / verb), self.tokens(self.tuned))

    def test_a_quantised_base_takes_adapters_and_nothing_else(self):
        base = self.path / "int4"
        self.succeeds("quantize", self.student, "--weights", "int4", "--out", base)
        model = f"student.model={json.dumps(str(base))}"
        self.succeeds("train", self.recipe, "--out", self.path / "qlora", "--set", model, *TUNE)
        self.tokens(self.path / "qlora")
        self.fails(2, "student.lora.rank", "train", self.recipe, "--out", self.path / "never", "--set", model, *TUNE, "--set", "student.lora.rank=0")

    def test_mistakes_are_named(self):
        self.fails(2, "holds no adapters", "export", self.student, self.path / "nothing", "--to", "peft")
        self.fails(2, "no chat template", "generate", self.student, "--chat-template", "model", "--prompt", "x")


if __name__ == "__main__":
    program.main()
