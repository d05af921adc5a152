"""A student's weights in 8 and 4 bits: written, told to write, scored, inspected; and what is refused."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import shutil

import students
from program import DATA, Dialogue, alambic, write

STORIES = DATA / "weights_tinystories656K"


class Quantized(students.WithRun):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = write(cls.path / "text.jsonl", "".join(
            json.dumps({"prompt": students.PROMPT, "completion": f"Order {i} for a kettle"}) + "\n" for i in range(40)))
        cls.said = {}
        for weights, more in (("int8", []), ("int4", ["--calibrate", cls.text, "--calibrate-rows", 30])):
            done = alambic("quantize", cls.student, "--weights", weights, "--out", cls.path / weights, "--json", *more)
            assert done.returncode == 0, done.stderr
            cls.said[weights] = json.loads(done.stdout)

    def test_what_it_cost_is_said(self):
        for weights, calibrated, rows in (("int8", False, None), ("int4", True, 10)):
            said = self.said[weights]
            self.assertEqual(said["weights"], weights)
            self.assertEqual(said["calibrated"], calibrated)
            self.assertGreater(said["bytes"]["after"], 0)
            self.assertLessEqual(said["cost"]["agreement"], 1)
            self.assertLessEqual(said["cost"]["greedy_texts_identical"], said["cost"]["greedy_texts"])
            self.assertGreater(said["cost"]["greedy_text_kept"], 0.5)
            self.assertGreater(said["cost"]["perplexity_before"], 1)
            self.assertGreater(said["cost"]["perplexity_after"], 1)
            if rows is not None:
                self.assertEqual(said["cost"]["rows"], rows)
        self.assertEqual(self.said["int4"]["cost"]["task"], "exact")
        self.assertGreater(self.said["int4"]["calibration_tokens"], 30)

    def test_every_decoder_works_on_it_and_speculation_stays_lossless(self):
        for weights in ("int8", "int4"):
            tokens = {mode: self.json_of("generate", self.path / weights, "--prompt", students.PROMPT, "--decode", mode,
                                         "--max-tokens", 20, "--json")["tokens"]
                      for mode in ("ar", "speculative", "diffusion")}
            self.assertEqual(tokens["ar"], tokens["speculative"])

    def test_threads_change_nothing(self):
        def draw(*more):
            return self.json_of("generate", self.path / "int4", "--prompt", students.PROMPT, "--max-tokens", 20,
                                "--json", *more)

        one, all_of_them = draw("--threads", 1), draw()
        self.assertEqual(one["tokens"], all_of_them["tokens"])
        self.assertEqual(one["log_probability"], all_of_them["log_probability"])

    def test_it_is_scored_and_inspected(self):
        self.json_of("eval", self.path / "int8", "--task", "perplexity", "--data", self.text, "--json")
        found = self.json_of("inspect", self.path / "int4", "--json")
        self.assertEqual(found["quantized"], "int4")
        self.assertGreater(found["weights"]["stored_as"]["U8"], 0)
        self.assertEqual(found["unusual"], [])
        self.assertEqual(list(found["needs"]["decode"])[-1], "int4")  # no other form, and no training
        self.assertNotIn("train", found["needs"])

    def test_it_is_benchmarked_in_its_own_format(self):
        measured = self.json_of("bench", "--quick", "--json", "--only", "generate,train", self.path / "int4")["results"]
        self.assertEqual([(r["what"], r["dtype"]) for r in measured], [("generate", "int4")])
        self.fails(2, ["--dtype", "int4", "bf16"], "bench", "--quick", "--dtype", "bf16", self.path / "int4")

    def test_people_are_told_the_same(self):
        text = self.succeeds("quantize", self.student, "--weights", "int8", "--out", self.path / "again", "--check", self.text)
        for words in ("int8 weights, rounded plainly", "perplexity", "greedy choice", "greedy texts"):
            self.assertIn(words, text)

    def test_mistakes_are_named(self):
        self.fails(2, "--weights", "quantize", self.student, "--weights", "int3", "--out", self.path / "x")
        self.fails(2, "holds a model already", "quantize", self.student, "--weights", "int8", "--out", self.path / "int8")
        self.fails(2, "quantised already", "quantize", self.path / "int8", "--weights", "int4", "--out", self.path / "x")
        self.fails(3, "no/such", "quantize", self.student, "--weights", "int8", "--out", self.path / "x", "--check",
                   "no/such.jsonl")
        self.assertFalse((self.path / "x").exists())

    def test_broken_files_are_named(self):
        broken = self.path / "broken"
        shutil.copytree(self.path / "int8", broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        self.fails(4, "model.safetensors", "generate", broken, "--prompt", "x")
        shutil.copy(self.path / "int8" / "model.safetensors", weights)
        config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
        config["quantization_config"]["quant_method"] = "gptq"
        write(broken / "config.json", json.dumps(config))
        self.fails(6, "gptq", "generate", broken, "--prompt", "x")


class Stories(Dialogue):
    """The bounds that the documentation states, on real weights and text that was not calibrated on."""

    def test_the_stated_bounds_hold(self):
        if not (STORIES / "model.safetensors").exists():
            self.skipTest(f"there is no {STORIES}")
        text = DATA / "tinystories" / "tinystories_first900.json"
        for weights, bound in (("int8", 0.005), ("int4", 0.03)):
            with students.tempfile.TemporaryDirectory() as folder:
                said = self.json_of("quantize", STORIES, "--weights", weights, "--out", folder + "/q", "--calibrate", text,
                                    "--json")
            self.assertLess(said["cost"]["perplexity_change"], bound, weights)


if __name__ == "__main__":
    program.main()
