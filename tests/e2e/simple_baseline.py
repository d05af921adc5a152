"""TF-IDF with a linear model where it does as well as the student: said, kept, and opened like any classifier."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import shutil
import struct
import tempfile

from program import Dialogue, alambic, write
from served import Server
from stand_in import StandIn

WORDS = {"delivery": ["parcel", "courier", "shipping", "tracking"],
         "billing": ["invoice", "charge", "receipt", "refund"],
         "account": ["password", "login", "email", "profile"]}
LABELS = sorted(WORDS)
FRAMES = ["Where do I find my {}?", "There is something wrong with the {}.", "The {} again, please help", "{} not right",
          "I wait for news about a {}", "Who looks after my {} today?", "Could you check this {}?", "Why is the {} like that?"]

RECIPE = """\
name = "simple"
task = "accuracy"
vocabulary = 300
[data]
source = "files"
train = TRAIN
prompts = PROMPTS
test = TEST
validation = 3
[teacher]
endpoint = URL
model = "stand-in"
[signals]
kind = "text"
texts = "teacher"
[student]
dim = 16
layers = 1
heads = 2
kv_heads = 1
ffn = 32
[student.train]
steps = 1
tokens_per_step = 256
[objective]
alpha = 0
draft_weight = 0
[eval]
decode = ["ar"]
speed_prompts = 1
samples = 1
"""


def label_of(prompt):
    return next((label for label, words in WORDS.items() if any(word in prompt for word in words)), "delivery")


class Knowing(StandIn):
    """A teacher that knows every word."""

    def good(self, body, prompt):
        reply = super().good(body, prompt)
        reply["choices"][0]["message"]["content"] = label_of(prompt)
        return reply


def rows(frames, words, with_label):
    prompts = [frame.format(word) for frame in frames for known in WORDS.values() for word in known[words]]
    return "".join(json.dumps({"prompt": p, **({"completion": label_of(p)} if with_label else {})}) + "\n" for p in prompts)


class SimpleBaseline(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        # The owner knows half of the words, and the test asks for all.
        files = {"TRAIN": rows(FRAMES[:4], slice(2), True), "PROMPTS": rows(FRAMES[2:6], slice(4), False),
                 "TEST": rows(FRAMES[6:], slice(4), True)}
        text = RECIPE
        for name, content in files.items():
            text = text.replace(name, json.dumps(str(write(cls.path / f"{name.lower()}.jsonl", content))))
        cls.test = cls.path / "test.jsonl"
        cls.run_dir = cls.path / "run"
        with Knowing() as teacher:
            cls.recipe = write(cls.path / "simple.toml", text.replace("URL", json.dumps(teacher.url)))
            cls.done = alambic("--threads", 1, "distill", cls.recipe, "--run-dir", cls.run_dir)
        assert cls.done.returncode == 0, cls.done.stderr
        cls.baseline = cls.run_dir / "baseline"
        cls.report = json.loads((cls.run_dir / "report.json").read_text(encoding="utf-8"))

    def test_the_run_recommends_what_its_student_does_not_beat(self):
        majority, owner, teacher = self.report["baselines"]
        self.assertEqual(owner["name"], "TF-IDF + linear, on the owner's labels")
        self.assertEqual(teacher["name"], "TF-IDF + linear, on the teacher's answers")
        self.assertGreater(teacher["score"], owner["score"])
        self.assertGreater(teacher["score"], self.report["student"]["score"])
        self.assertEqual([b["recommended"] for b in (majority, owner, teacher)], [False, False, True])
        self.assertIn("* TF-IDF + linear, on the teacher's answers", self.done.stdout)
        said = [note for note in self.report["notes"] if "take it instead of the student" in note]
        self.assertEqual(len(said), 1)
        self.assertIn(str(self.baseline), said[0])
        self.assertIn("trained on the teacher's answers", said[0])
        self.assertIn("of resamples", said[0])
        self.assertIn("(recommended)", (self.run_dir / "report.html").read_text(encoding="utf-8"))

    def test_eval_scores_it_as_the_run_did(self):
        result = self.json_of("eval", self.baseline, "--task", "accuracy", "--data", self.test, "--json")
        self.assertEqual(result["score"], self.report["baselines"][2]["score"])
        self.assertEqual((result["n"], len(result["interval"])), (24, 2))
        self.assertGreaterEqual(result["seconds"], 0)
        self.assertEqual(result["seen_in_training"], 0)
        outputs = self.path / "out.jsonl"
        self.assertIn("accuracy", self.succeeds("eval", self.baseline, "--data", self.test, "--outputs", outputs))
        self.assertIn(json.loads(outputs.read_text(encoding="utf-8").splitlines()[0])["answer"], LABELS)
        seen = alambic("eval", self.baseline, "--data", self.path / "train.jsonl")
        self.assertIn("is a file of the training data", seen.stderr)

    def test_generate_answers_with_a_label(self):
        self.assertEqual(self.succeeds("generate", self.baseline, "--prompt", "My courier is late"), "delivery\n")
        line = self.json_of("generate", self.baseline, "--prompt", "My courier is late", "--json")
        self.assertEqual((line["text"], line["prompt"]), ("delivery", "My courier is late"))
        self.assertLess(line["log_probability"], 0)
        lines = self.succeeds("generate", self.baseline, "--prompts", self.test, "--json").splitlines()
        self.assertEqual([json.loads(line)["id"] for line in lines], [str(i + 1) for i in range(24)])

    def test_inspect_says_what_it_is(self):
        shown = self.json_of("inspect", self.baseline, "--json")
        self.assertEqual((shown["what"], shown["labels"]), ("linear classifier", LABELS))
        self.assertEqual((shown["learned_from"], shown["rows"]), ("the teacher's answers", 21 + 48 - 12))
        self.assertIn("linear classifier", self.succeeds("inspect", self.baseline))
        self.assertEqual(self.json_of("inspect", self.run_dir, "--json")["baseline"]["path"], str(self.baseline))

    def test_serve_answers_as_any_model(self):
        with Server(self.baseline) as server:
            status, _, health = server.request("GET", "/health")
            self.assertEqual((status, json.loads(health)), (200, {"status": "ok"}))
            _, _, models = server.request("GET", "/v1/models")
            self.assertEqual(json.loads(models)["data"][0]["id"], "baseline")
            messages = [{"role": "user", "content": "My invoice"}, {"role": "assistant", "content": "billing"},
                        {"role": "user", "content": "And the courier?"}]
            status, body = server.post("/v1/chat/completions", {"messages": messages, "logprobs": True, "top_logprobs": 3})
            self.assertEqual(status, 200, body)
            self.assertEqual(body["choices"][0]["message"]["content"], "delivery")
            top = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            self.assertEqual(sorted(entry["token"] for entry in top), LABELS)
            self.assertEqual(body["usage"], {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4})
            status, body = server.post("/v1/completions", {"prompt": ["my login", "a refund"]})
            self.assertEqual([c["text"] for c in body["choices"]], ["account", "billing"])
            request = json.dumps({"prompt": "my login", "stream": True})
            _, headers, events = server.request("POST", "/v1/completions", request, {"Content-Type": "application/json"})
            self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
            chunks = [json.loads(line[6:]) for line in events.split("\n\n") if line.startswith("data: {")]
            self.assertEqual("".join(c["choices"][0]["text"] for c in chunks), "account")
            self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")
            self.assertTrue(events.endswith("data: [DONE]\n\n"))
            status, body = server.post("/v1/completions", {"prompt": "my login", "echo": True})
            self.assertEqual((status, body["error"]["param"]), (400, "echo"))

    def test_verbs_that_cannot_use_it_say_which_can(self):
        can = "a linear classifier, which alambic eval, generate, serve and inspect can open"
        self.fails(2, can, "quantize", self.baseline, "--weights", "int8", "--out", self.path / "q")
        self.fails(2, can, "export", self.baseline, self.path / "x.gguf", "--to", "gguf")
        self.fails(2, can, "teach", self.baseline, "--data", self.test, "--out", self.path / "s.sqlite")
        self.fails(2, "--temperature", "generate", self.baseline, "--prompt", "a", "--temperature", 1)
        self.fails(2, "--batch", "eval", self.baseline, "--data", self.test, "--batch", 2)
        self.fails(2, "--max-context", "serve", self.baseline, "--max-context", 64)
        self.fails(6, "perplexity", "eval", self.baseline, "--data", self.test, "--task", "perplexity")

    def test_the_file_is_one_that_others_read_and_a_damaged_one_is_refused(self):
        content = (self.baseline / "linear.safetensors").read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + length])
        begin, end = header["words"]["data_offsets"]
        words = content[8 + length + begin:8 + length + end].decode("utf-8").splitlines()
        self.assertIn("courier", words)
        self.assertEqual(json.loads(header["__metadata__"]["labels"]), LABELS)
        self.assertEqual(header["weights"]["shape"][1], 3)
        broken = self.path / "broken"
        shutil.copytree(self.baseline, broken)
        (broken / "linear.safetensors").write_bytes(content[:-10])
        for verb in (["inspect"], ["generate", "--prompt", "a"], ["eval", "--data", self.test], ["serve"]):
            self.fails(4, "linear.safetensors", verb[0], broken, *verb[1:])

    def test_a_resumed_run_keeps_the_same_file(self):
        """Nothing is left to ask: the teacher may be gone."""
        before = (self.baseline / "linear.safetensors").read_bytes()
        self.succeeds("--threads", 2, "distill", self.recipe, "--run-dir", self.run_dir, "--resume")
        self.assertEqual((self.baseline / "linear.safetensors").read_bytes(), before)


if __name__ == "__main__":
    program.main()
