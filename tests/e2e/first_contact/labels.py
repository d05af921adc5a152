"""Teachers of a closed set of labels, teachers that think aloud, and data that promise too much."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

from program import Dialogue, alambic, write
from stand_in import StandIn
from teachers import rendered, write_model

LABELS = ["card_arrival", "late delivery", "refund"]
STUDENT = """
init = "random"
tokenizer = TOKENIZER
dim = 16
layers = 1
heads = 2
kv_heads = 2
ffn = 16
[student.train]
steps = 4
[signals]
kind = "text"
texts = "teacher"
[objective]
alpha = 0.0
draft_weight = 0.0
[eval]
max_new_tokens = 8
speed_prompts = 1
dial_prompts = 0
samples = 1
decode = ["ar"]
"""


class Clerk(StandIn):
    """An endpoint whose answer to a question is what stands behind its "!", and that keeps what it was sent."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def good(self, body, prompt):
        self.bodies.append(body)
        text = prompt.split("!", 1)[1] if "!" in prompt else "?"
        return {
            "id": "x",
            "model": body["model"],
            "usage": {"prompt_tokens": 90, "completion_tokens": 3},
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
        }

    def questions(self):
        """The messages of what was asked, but for the first that finds out who is there."""
        return [b["messages"] for b in self.bodies if "Hello! How" not in b["messages"][-1]["content"]]


class Labels(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.chat = write_model(cls.path / "chat", True)
        cls.plain = write_model(cls.path / "plain", False)

    def setUp(self):
        self.place = self.path / self.id().rsplit(".", 1)[-1]
        self.place.mkdir()

    def file(self, name, rows):
        return write(self.place / name, "".join(json.dumps(row) + "\n" for row in rows))

    def taught(self, *arguments):
        """Rows of the store, and what was said."""
        lines = self.place / "rows.jsonl"
        done = alambic("teach", *arguments, "--texts", "teacher", "--out", self.place / "s.sqlite", "--export", lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()[1:]], done.stderr

    def run_of(self, recipe, *more):
        """The report of a distillation, and what was said."""
        run = self.place / "run"
        done = alambic("distill", recipe, "--run-dir", run, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads((run / "report.json").read_text(encoding="utf-8")), done.stderr

    def recipe(self, task, endpoint, rows, tests, prompts, extra=""):
        data = self.file("train.jsonl", rows)
        test = self.file("test.jsonl", tests)
        asked = self.file("prompts.jsonl", prompts)
        student = STUDENT.replace("TOKENIZER", json.dumps(str(self.plain)))
        return write(
            self.place / "mine.toml",
            f"""
name = "mine"
task = "{task}"
[data]
source = "files"
train = {json.dumps(str(data))}
test = {json.dumps(str(test))}
prompts = {json.dumps(str(asked))}
validation = 0
[teacher]
endpoint = "{endpoint.url}"
model = "clerk"
{extra}
[student]{student}""",
        )

    def test_an_endpoint_is_told_the_labels_and_what_it_answers_becomes_one_of_them(self):
        answers = ["refund", "Label: Refund.", "Late-Delivery", "It is about a card arrival", "none of them", "refund or late delivery"]
        data = self.file("d.jsonl", [{"prompt": f"mail {i}!{a}"} for i, a in enumerate(answers)])
        names = write(self.place / "labels.txt", "\n".join(LABELS) + "\r\n\n")
        with Clerk() as endpoint:
            ask = ["clerk", "--endpoint", endpoint.url, "--tokenizer", self.plain, "--data", data, "--kind", "text"]
            rows, said = self.taught(*ask, "--labels", names)
            asked = endpoint.questions()[0]
            for label in LABELS:
                self.assertIn(label, json.dumps(asked))
            again = self.json_of("teach", *ask, "--labels", ",".join(LABELS), "--texts", "teacher", "--out",
                                 self.place / "s.sqlite", "--json")
            self.assertEqual(len(endpoint.questions()), len(answers))
            # Another set is another store.
            self.fails(2, "labels", "teach", *ask, "--labels", "refund,other", "--texts", "teacher", "--out",
                       self.place / "s.sqlite")
        self.assertEqual([r["text"] for r in rows], ["refund", "refund", "late delivery", "card_arrival"])
        self.assertEqual({r["prompt"] for r in rows}, {f"mail {i}!{a}" for i, a in enumerate(answers[:4])})
        for words in ("6 asked: 4 answers, 2 outside the labels", "warning: 33 % are left out", "does not keep to the labels",
                      '"none of them", "refund or late delivery"'):
            self.assertIn(words, said)
        self.assertEqual(again["reasons"], {"outside": 2})

    def test_the_words_that_tell_are_the_owners_where_they_say_so(self):
        data = self.file("d.jsonl", [{"prompt": "mail!refund"}])
        for name, options, wanted in (
            ("system", ["--system", "Only: {labels}"], [{"role": "system", "content": "Only: refund, other"},
                                                        {"role": "user", "content": "mail!refund"}]),
            ("around", ["--prompt-template", "{labels}? {prompt}"], [{"role": "user", "content": "refund, other? mail!refund"}]),
        ):
            with Clerk() as endpoint:
                self.succeeds("teach", "clerk", "--endpoint", endpoint.url, "--tokenizer", self.plain, "--data", data, "--kind",
                              "text", "--texts", "teacher", "--labels", "refund,other", *options, "--out",
                              self.place / f"{name}.sqlite")
                self.assertEqual(endpoint.questions(), [wanted])
        self.fails(2, "{prompt}", "teach", self.chat, "--data", data, "--prompt-template", "none", "--out", self.place / "x.sqlite")
        self.fails(2, "--labels", "teach", self.chat, "--data", data, "--labels", "one", "--out", self.place / "x.sqlite")

    def test_a_model_on_this_machine_writes_labels_alone_and_rows_hold_the_plain_question(self):
        data = self.file("d.jsonl", [{"prompt": f"mail {i}"} for i in range(5)])
        for model, asked in ((self.chat, rendered(("user", "mail 0"))), (self.plain, "mail 0")):
            (self.place / "s.sqlite").unlink(missing_ok=True)
            rows, said = self.taught(model, "--data", data, "--labels", ",".join(LABELS), "--kind", "topk", "--count", 3)
            self.assertEqual(len(rows), 5, said)
            self.assertTrue({r["text"] for r in rows} <= set(LABELS))
            text = "".join(chr(t) if t < 256 else ["<|endoftext|>", "<|turn|>", "<|over|>"][t - 256]
                           for t in rows[0]["tokens"][: rows[0]["prompt_tokens"]])
            self.assertEqual(text, asked)
            for row in rows:
                # The first token is one that a label begins with, the last one ends it.
                first, last = row["signals"][0], row["signals"][-1]
                self.assertEqual({i for i, p in zip(first["ids"], first["probabilities"]) if p > 0}, {ord(x[0]) for x in LABELS})
                self.assertAlmostEqual(sum(first["probabilities"]), 1, delta=1e-3)
                self.assertAlmostEqual(max(last["probabilities"]), 1, delta=1e-3)

    def test_what_a_teacher_is_told_changes_what_it_says_and_not_what_the_student_reads(self):
        data = self.file("d.jsonl", [{"prompt": "mail", "completion": "refund"}])
        read = []
        for name, options in (("plain", []), ("told", ["--system", "Be kind."])):
            lines = self.place / f"{name}.jsonl"
            self.succeeds("teach", self.chat, "--data", data, "--kind", "topk", "--count", 2, *options, "--out",
                          self.place / f"{name}.sqlite", "--export", lines)
            read.append(json.loads(lines.read_text(encoding="utf-8").splitlines()[1]))
        self.assertEqual(read[0]["tokens"], read[1]["tokens"])
        self.assertNotEqual(read[0]["signals"], read[1]["signals"])

    def test_a_classifier_by_an_endpoint_and_data_that_promise_too_much(self):
        rows = [{"prompt": f"ticket {i}!{LABELS[i % 2]}", "completion": LABELS[i % 2]} for i in range(12)]
        rows += [{"prompt": "a lone one!lonely", "completion": "lonely"}]
        tests = [{"prompt": f"a test mail {i}!refund", "completion": "card_arrival"} for i in range(5)]
        tests += [{"prompt": "what nobody learns!dunno", "completion": "unheard"}]
        prompts = [{"prompt": f"mail {i}!{'late delivery' if i % 2 else 'well, perhaps'}"} for i in range(8)]
        with Clerk() as endpoint:
            report, said = self.run_of(self.recipe("accuracy", endpoint, rows, tests, prompts))
        notes = "\n".join(report["notes"])
        for words in ("2 of 4 labels occur only once (\"lonely\", \"unheard\")", "1 row of the test set has a label that no training row has (\"unheard\")",
                      "the test set has 6 rows: the 95 % interval of a score around 50 % will be ±40 points",
                      "4 answers are outside the labels"):
            self.assertIn(words, notes)
            self.assertIn(words, said)
        store = self.json_of("inspect", self.place / "run" / "signals.sqlite", "--json", "--rows", 30)
        self.assertEqual({r["text"] for r in store["first_rows"]} - {*LABELS, "lonely"}, set())
        # Made a teacher itself, it keeps to the labels that it knows; others are said to be others.
        student = self.place / "run" / "student"
        rows, said = self.taught(student, "--data", self.place / "prompts.jsonl", "--kind", "text")
        self.assertTrue({r["text"] for r in rows} <= {*LABELS, "lonely"}, rows)
        self.assertNotIn("warning", said)
        (self.place / "s.sqlite").unlink()
        _, said = self.taught(student, "--data", self.place / "prompts.jsonl", "--kind", "text", "--labels", "refund,late delivery")
        self.assertIn("are not those of --labels: it never learned 1 of these 2 labels (\"refund\"), and 2 of its own are none of these", said)

    def test_a_student_larger_than_its_teacher_is_said(self):
        data = self.file("train.jsonl", [{"prompt": f"q {i}", "completion": f"a {i}"} for i in range(90)])
        recipe = write(self.place / "mine.toml", f"""
task = "exact"
[data]
source = "files"
train = {json.dumps(str(data))}
validation = 0
[teacher]
model = {json.dumps(str(self.chat))}
[student]
init = "random"
dim = 64
layers = 1
heads = 2
kv_heads = 2
ffn = 64
[student.train]
steps = 1
[objective]
alpha = 0.5
[eval]
max_new_tokens = 2
speed_prompts = 1
dial_prompts = 0
decode = ["ar"]
""")
        report, said = self.run_of(recipe)
        self.assertRegex(said, r"warning: \[student\] has [\d.]+ K parameters and its teacher [\d.]+ K")
        self.assertNotIn("test set has", said)

    def test_a_teacher_that_answers_nothing_is_one_line_and_what_it_cost_is_kept(self):
        rows = [{"prompt": f"ticket {i}!so so", "completion": LABELS[i % 3]} for i in range(30)]
        tests = [{"prompt": f"a test {i}!refund", "completion": "refund"} for i in range(20)]
        with Clerk() as endpoint:
            recipe = self.recipe("accuracy", endpoint, rows, tests, [{"prompt": f"mail {i}!so so"} for i in range(6)])
            done = alambic("distill", recipe, "--run-dir", self.place / "run")
            self.assertEqual(done.returncode, 2, done.stderr)
            last = done.stderr.splitlines()[-1]
            self.assertIn("there is not one answer to learn from", last)
            self.assertIn("outside the labels", last)
            asked = len(endpoint.questions())
            alambic("distill", recipe, "--run-dir", self.place / "run", "--resume")
            self.assertEqual(len(endpoint.questions()), asked)
            # Nor does the owner's own text make up for it.
            done = alambic("distill", recipe, "--run-dir", self.place / "both", "--set", "signals.texts=both")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("there is not one answer to learn from", done.stderr.splitlines()[-1])
            asked = len(endpoint.questions())
            self.assertEqual(len(endpoint.questions()), asked)

    def test_whole_traces_are_trained_and_the_answer_behind_them_is_what_counts(self):
        trace = "<think>two and two</think>\n\n"
        rows = [{"prompt": f"sum {i}!{trace}four", "completion": "four"} for i in range(20)]
        tests = [{"prompt": f"a test {i}!{trace}four", "completion": "four"} for i in range(20)]
        prompts = [{"prompt": f"mail {i}!{trace}four"} for i in range(6)]
        prompts += [{"prompt": f"open {i}!<think>two and"} for i in range(2)]
        with Clerk() as endpoint:
            recipe = self.recipe("exact", endpoint, rows, tests, prompts, 'reasoning = "keep"')
            report, said = self.run_of(recipe, "--set", "student.train.steps=250", "--set", "eval.max_new_tokens=60",
                                       "--set", "student.train.lr=0.02", "--set", "student.dim=32")
        self.assertIn("2 reasoning alone", said)
        whole = "<think>\ntwo and two\n</think>\n\nfour"
        store = self.json_of("inspect", self.place / "run" / "signals.sqlite", "--json", "--rows", 40)
        self.assertEqual([r["text"] for r in store["first_rows"]], [whole] * 26)
        self.assertEqual(report["teacher"]["score"], 1)
        # The student writes the trace, and its answer is what stands behind it.
        sample = report["samples"][0]["student"]
        self.assertTrue(sample.startswith("<think>\ntwo"), sample)
        self.assertEqual(report["student"]["score"], 1, sample)
        answer = self.succeeds("eval", self.place / "run" / "student", "--data", self.place / "test.jsonl", "--json",
                               "--max-tokens", 60)
        self.assertEqual(json.loads(answer)["score"], 1)

    def test_a_template_that_opens_the_block_itself_is_trained_and_taught_inside_it(self):
        model = write_model(self.place / "thinker", True)
        config = model / "tokenizer_config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings["chat_template"] = (
            "{%- for m in messages -%}{{- '<|turn|>' + m.role + ':' + m.content.split('</think>')[-1] + '<|over|>' -}}{%- endfor -%}"
            "{%- if add_generation_prompt -%}{{- '<|turn|>assistant:<think>\\n' -}}{%- endif -%}")
        write(config, json.dumps(settings))
        data = self.file("d.jsonl", [{"prompt": "sum", "completion": "<think>\ntwo and two\n</think>\n\nfour"},
                                     {"prompt": "other", "completion": "five"}])
        lines = self.place / "rows.jsonl"
        self.succeeds("teach", model, "--data", data, "--kind", "draws", "--out", self.place / "s.sqlite", "--export", lines)
        specials = ["<|endoftext|>", "<|turn|>", "<|over|>"]
        texts = []
        for line in lines.read_text(encoding="utf-8").splitlines()[1:]:
            row = json.loads(line)
            spelled = ["".join(chr(t) if t < 256 else specials[t - 256] for t in part).replace("\u010a", "\n") for part in
                       (row["tokens"][: row["prompt_tokens"]], row["tokens"][row["prompt_tokens"]:])]
            texts.append(spelled)
        self.assertEqual(texts, [
            ["<|turn|>user:sum<|over|><|turn|>assistant:<think>\n", "two and two\n</think>\n\nfour<|over|>"],
            ["<|turn|>user:other<|over|><|turn|>assistant:<think>\n", "\n</think>\n\nfive<|over|>"]])


if __name__ == "__main__":
    program.main()
