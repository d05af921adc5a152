"""GGUF files in and out: export, import, everything that takes a model, and what is refused."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import os
import signal
import subprocess
import time

import students
from program import DATA, Dialogue

STORIES = DATA / "weights_tinystories656K"


class Exported(students.WithRun):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = cls.path / "student.gguf"
        done = program.alambic("export", cls.student, "--to", "gguf", "--type", "f32", cls.file, "--json")
        assert done.returncode == 0, done.stderr
        cls.said = json.loads(done.stdout)

    def tokens(self, model, *more):
        return self.json_of("generate", model, "--prompt", students.PROMPT, "--max-tokens", 20, "--json", *more)["tokens"]

    def test_the_copy_was_compared(self):
        self.assertLessEqual(self.said["checked"]["logits_difference"], 1e-5)
        self.assertEqual(self.said["checked"]["same_greedy_choice"], 1)
        self.assertGreater(self.said["checked"]["tokens"], 50)

    def test_it_writes_what_the_student_writes_in_every_mode(self):
        for mode in ("ar", "speculative", "diffusion"):
            self.assertEqual(self.tokens(self.file, "--decode", mode), self.tokens(self.student, "--decode", mode))

    def test_a_directory_made_of_it_is_the_student_again(self):
        said = self.json_of("import", self.file, self.path / "back", "--json")
        self.assertEqual(said["checked"]["logits_difference"], 0)
        self.assertEqual(self.tokens(self.path / "back"), self.tokens(self.student))
        self.assertEqual(self.json_of("inspect", self.path / "back", "--json")["card"]["block"],
                         self.json_of("inspect", self.student, "--json")["card"]["block"])

    def test_it_is_inspected_quantised_and_scored(self):
        found = self.json_of("inspect", self.file, "--json")
        self.assertEqual(found["model"]["family"], "llama")
        self.assertEqual(list(found["weights"]["stored_as"]), ["F32"])
        self.assertEqual(found["unusual"], [])
        self.succeeds("quantize", self.file, "--weights", "int8", "--out", self.path / "int8")
        self.tokens(self.path / "int8")
        again = self.json_of("export", self.path / "int8", "--to", "hf", "--type", "f32", self.path / "floats", "--json")
        self.assertEqual(again["checked"]["logits_difference"], 0)

    def test_every_type_is_written(self):
        for kind in ("f16", "bf16", "q8_0", "q4_0"):
            self.succeeds("export", self.student, "--to", "gguf", "--type", kind, self.path / f"{kind}.gguf")
            self.tokens(self.path / f"{kind}.gguf")

    def test_mistakes_are_named_and_nothing_is_left(self):
        self.fails(2, "exists already", "export", self.student, "--to", "gguf", self.file)
        self.fails(2, "exists already", "import", self.file, self.student)
        self.fails(2, "want f32, f16 or bf16", "export", self.student, "--to", "hf", "--type", "q8_0", self.path / "x")
        self.fails(3, "no/such", "export", "no/such", "--to", "gguf", self.path / "x.gguf")
        cut = self.path / "cut.gguf"
        cut.write_bytes(self.file.read_bytes()[:-100])
        self.fails(4, ["cut.gguf", "truncated"], "generate", cut, "--prompt", "x")
        other = self.path / "other.gguf"
        other.write_bytes(self.file.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba"))
        self.fails(6, ["mamba", "supported: llama, qwen2"], "generate", other, "--prompt", "x")
        self.assertFalse((self.path / "x").exists())
        self.assertEqual([p.name for p in self.path.iterdir() if ".part" in p.name or ".tmp" in p.name], [])

    def test_an_interrupt_leaves_nothing(self):
        out = self.path / "stopped.gguf"
        with subprocess.Popen([program.PROGRAM, "export", str(self.student), "--to", "gguf", str(out)],
                              stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
            time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            status = running.wait(60)
        left = [name for name in os.listdir(self.path) if name.startswith("stopped")]
        self.assertEqual(left, ["stopped.gguf"] if status == 0 else [])


class Stories(Dialogue):
    def test_real_weights_lose_nothing_in_half_precision(self):
        if not (STORIES / "model.safetensors").exists():
            self.skipTest(f"there is no {STORIES}")
        with students.tempfile.TemporaryDirectory() as folder:
            said = self.json_of("export", STORIES, "--to", "gguf", "--type", "f16", folder + "/s.gguf", "--json")
            self.assertEqual(said["checked"]["logits_difference"], 0)
            options = ["--prompt", "Once upon a time, ", "--max-tokens", 60, "--json"]
            self.assertEqual(self.json_of("generate", folder + "/s.gguf", *options)["tokens"],
                             self.json_of("generate", STORIES, *options)["tokens"])


if __name__ == "__main__":
    program.main()
