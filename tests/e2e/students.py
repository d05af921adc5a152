"""A tiny student from the first recipe to the last verb, and hostile files in its place."""

import program  # first: it skips where the interpreter lacks what the others need
import hashlib
import json
import pathlib
import shutil
import tempfile

from program import Dialogue, alambic, tiny_recipe, write

PROMPT = "Hello, my kettle is broken. Please send me a new one. Claire Dupont"


class WithRun(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.run_dir = cls.path / "run"
        recipe = write(cls.path / "tiny.toml", tiny_recipe(20))
        cls.done = alambic("distill", recipe, "--run-dir", cls.run_dir, "--json")
        assert cls.done.returncode == 0, cls.done.stderr
        cls.student = cls.run_dir / "student"


class Student(WithRun):
    def test_the_report_holds_what_scripts_read(self):
        report = json.loads(self.done.stdout)
        self.assertEqual(report, json.loads((self.run_dir / "report.json").read_text(encoding="utf-8")))
        for role in ("teacher", "student", "control"):
            for key in ("parameters", "bytes", "score", "interval"):
                self.assertIn(key, report[role])
        for key in ("task", "baselines", "gap_closed", "seconds"):
            self.assertIn(key, report)
        for mode in ("ar", "speculative", "diffusion"):
            for key in ("tokens_per_s", "tokens_per_forward", "score"):
                self.assertIn(key, report["decode"][mode])
        page = (self.run_dir / "report.html").read_text(encoding="utf-8")
        self.assertNotIn("http://", page.replace("http://www.w3.org", ""))
        self.assertNotIn("<script", page)

    def test_conversations_of_several_answers_are_taught(self):
        rows = [{"messages": [{"role": "user", "content": f"Where is order {i}?"},
                              {"role": "assistant", "content": f"Order {i} is on its way."},
                              {"role": "user", "content": "And when?"},
                              {"role": "assistant", "content": f"In {i % 9 + 1} days."}]} for i in range(60)]
        data = write(self.path / "talks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        source = f'source = "files"\nformat = "jsonl"\ntrain = "{data}"\nchat_template = "chatml"\n'
        recipe = write(self.path / "talks.toml", tiny_recipe(5).replace("limit = 60\n", source))
        for kind, alpha in (("draws", 0.5), ("text", 0)):
            run = self.path / f"talks-{kind}"
            self.succeeds("distill", recipe, "--run-dir", run, "--set", f"signals.kind={kind}", "--set", f"objective.alpha={alpha}")
            stored = self.json_of("inspect", run / "signals.sqlite", "--json", "--rows", 1)
            self.assertGreater(stored["rows"], 30)
            self.assertIn("And when?", stored["first_rows"][0]["prompt"])

    def test_every_decoder_writes_an_object_a_line(self):
        lines = {}
        for mode in ("ar", "speculative", "diffusion"):
            lines[mode] = self.json_of("generate", self.student, "--prompt", PROMPT, "--decode", mode, "--max-tokens", 20,
                                       "--json")
            self.assertEqual(lines[mode]["prompt"], PROMPT)
            self.assertEqual(lines[mode]["decode"], mode)
            self.assertLessEqual(len(lines[mode]["tokens"]), 20)
            self.assertGreater(lines[mode]["forwards"], 0)
            self.assertGreaterEqual(lines[mode]["seconds"], 0)
        self.assertEqual(lines["ar"]["tokens"], lines["speculative"]["tokens"])

    def test_a_seed_repeats_a_draw_and_threads_do_not_change_it(self):
        def draw(*more):
            return self.json_of("generate", self.student, "--prompt", PROMPT, "--temperature", 1, "--max-tokens", 20,
                                "--json", *more)["tokens"]

        self.assertEqual(draw("--seed", 5), draw("--seed", 5, "--threads", 1))
        self.assertNotEqual(draw("--seed", 5), draw("--seed", 6))

    def test_text_for_people_is_the_text_for_programs(self):
        text = self.succeeds("generate", self.student, "--prompt", PROMPT, "--max-tokens", 20)
        line = self.json_of("generate", self.student, "--prompt", PROMPT, "--max-tokens", 20, "--json")
        self.assertEqual(text, line["text"] + "\n")

    def test_a_file_of_prompts_is_answered_in_order(self):
        prompts = write(self.path / "p.jsonl", "".join(json.dumps({"prompt": f"Order {i}"}) + "\n" for i in range(40)))
        lines = self.succeeds("generate", self.student, "--prompts", prompts, "--max-tokens", 3, "--json").splitlines()
        self.assertEqual([json.loads(line)["prompt"] for line in lines], [f"Order {i}" for i in range(40)])

    def test_eval_scores_and_writes_the_answers(self):
        answer = json.dumps({"intent": "ask", "slots": {"what": "kettle"}})
        data = write(self.path / "e.jsonl", (json.dumps({"prompt": "a", "completion": answer}) + "\n") * 4)
        outputs = self.path / "o.jsonl"
        for task in ("bleu", "accuracy", "exact", "slots", "rouge"):
            score = self.json_of("eval", self.student, "--task", task, "--data", data, "--max-tokens", 4, "--json",
                                 "--outputs", outputs)
            self.assertEqual(score["n"], 4)
            self.assertLessEqual(score["interval"][0], score["score"])
            self.assertGreaterEqual(score["interval"][1], score["score"])
            self.assertEqual(len(outputs.read_text(encoding="utf-8").splitlines()), 4)
        score = self.json_of("eval", self.student, "--task", "perplexity", "--data", data, "--json")
        self.assertGreater(score["score"], 1)
        self.assertEqual(self.json_of("eval", self.student, "--data", data, "--max-tokens", 4, "--json")["task"], "exact")

    def test_eval_without_answers_says_so(self):
        data = write(self.path / "n.jsonl", '{"prompt": "a"}\n')
        self.fails(2, ["n.jsonl", "answer"], "eval", self.student, "--data", data)

    def test_inspect_tells_models_runs_and_signals_apart(self):
        model = self.json_of("inspect", self.student, "--json")
        self.assertEqual(model["what"], "model")
        self.assertEqual(model["decode"], ["ar", "speculative", "diffusion"])
        self.assertEqual(model["model"]["parameters"], json.loads(self.done.stdout)["student"]["parameters"])
        self.assertEqual(self.json_of("inspect", self.run_dir, "--json")["what"], "run")
        self.assertEqual(self.json_of("inspect", self.run_dir / "signals.sqlite", "--json")["what"], "signals")
        for path in (self.student, self.run_dir, self.run_dir / "signals.sqlite"):
            self.assertIn("what", self.succeeds("inspect", path))

    def test_signals_leave_as_json_lines(self):
        data = write(self.path / "t.jsonl", '{"prompt": "a", "completion": "b c"}\n')
        lines = self.path / "s.jsonl"
        said = self.json_of("teach", self.run_dir / "teacher", "--data", data, "--out", self.path / "t.sqlite", "--kind", "topk",
                            "--count", 5, "--export", lines, "--json")
        self.assertEqual(said["rows"], 1)
        rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[1]["prompt"], "a")

    def test_broken_utf_8_is_refused_and_no_other_text_is_answered(self):
        self.fails(2, ["--prompt", "UTF-8", "byte 4"], "generate", self.student, "--prompt", "caf\udce9",
                   "--max-tokens", 5, "--json")


class Hostile(WithRun):
    def copy(self):
        place = self.path / "copy"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.student, place)
        return place

    def test_truncated_weights(self):
        model = self.copy()
        weights = model / "model.safetensors"
        whole = weights.read_bytes()
        for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
            weights.write_bytes(whole[:size])
            for command in (["generate", model, "--prompt", "x"], ["inspect", model], ["bench", model, "--quick"]):
                self.fails(4, "model.safetensors", *command)

    def test_a_header_that_promises_the_moon(self):
        model = self.copy()
        header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": [1 << 40, 1 << 20],
                                                           "data_offsets": [0, 1 << 62]}}).encode()
        (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        self.fails(4, "model.safetensors", "generate", model, "--prompt", "x")
        (model / "model.safetensors").write_bytes(b"\xff" * 64)
        self.fails(4, "model.safetensors", "generate", model, "--prompt", "x")

    def test_impossible_sizes(self):
        model = self.copy()
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        for key, value in (("hidden_size", -1), ("hidden_size", 10**12), ("num_hidden_layers", "two"),
                           ("num_key_value_heads", 7), ("model_type", "abacus")):
            write(model / "config.json", json.dumps({**config, key: value}))
            done = alambic("generate", model, "--prompt", "x")
            self.assertIn(done.returncode, (4, 6), done.stderr)
            self.assertIn("config.json", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_tokenizer_that_is_none(self):
        model = self.copy()
        write(model / "tokenizer.json", '{"model": {"type": "BPE", "vocab": 7}}')
        self.fails(4, "tokenizer.json", "generate", model, "--prompt", "x")
        (model / "tokenizer.json").unlink()
        self.fails(3, "tokenizer.json", "generate", model, "--prompt", "x")

    def test_a_tokenizer_of_another_model(self):
        model = self.copy()
        tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 100_000, "content": "<|extra|>"})
        write(model / "tokenizer.json", json.dumps(tokenizer))
        done = alambic("generate", model, "--prompt", "x")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_rows_that_are_no_examples(self):
        data = write(self.path / "bad.jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt": \n')
        self.fails(4, "bad.jsonl:2", "eval", self.student, "--data", data)
        self.fails(4, "bad.jsonl:2", "generate", self.student, "--prompts", data)
        self.fails(3, "none.jsonl", "teach", self.student, "--data", "none.jsonl", "--out", self.path / "x.sqlite")
        self.assertFalse((self.path / "x.sqlite").exists())

    def test_a_damaged_signal_store(self):
        whole = (self.run_dir / "signals.sqlite").read_bytes()
        store = self.path / "damaged.sqlite"
        store.write_bytes(b"not a database, however long it is" * 100)
        self.fails(4, "damaged.sqlite", "inspect", store)
        store.write_bytes(whole[: len(whole) // 2])
        self.fails(4, "damaged.sqlite", "inspect", store)
        damaged = bytearray(whole)
        for at in range(9000, len(whole), 4096):
            damaged[at : at + 64] = bytes(64)
        store.write_bytes(damaged)
        recipe = self.path / "tiny.toml"
        self.fails(4, "damaged.sqlite", "inspect", store)
        self.fails(4, "damaged.sqlite", "train", recipe, "--signals", store, "--out", self.path / "never")

    def test_a_damaged_checkpoint_is_refused_and_kept(self):
        run = self.path / "again"
        shutil.copytree(self.run_dir, run)
        (run / "student" / "model.safetensors").unlink()
        (run / "report.json").unlink()
        checkpoint = run / "student" / "checkpoint.safetensors"
        cut = checkpoint.read_bytes()[:-100]
        checkpoint.write_bytes(cut)
        digest = hashlib.sha256(cut).hexdigest()
        self.fails(4, "checkpoint.safetensors", "distill", self.path / "tiny.toml", "--run-dir", run, "--resume")
        self.assertEqual(hashlib.sha256(checkpoint.read_bytes()).hexdigest(), digest)


if __name__ == "__main__":
    program.main()
