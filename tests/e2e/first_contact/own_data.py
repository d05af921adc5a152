"""Data of one's own: what does not fit is counted and named, and ends nothing that took hours."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from program import Dialogue, alambic, write
from rows import RECIPE

NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hana", "Ivo", "Jo", "Kai", "Lea"]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def asked(name):
    return {"prompt": f"Who is {name}?", "completion": f"{name} is a friend"}


class OwnData(Dialogue):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name)
        cls.train = write(cls.path / "train.jsonl", lines(map(asked, NAMES)))
        long = {"prompt": "never ends " * 3000, "completion": "no"}
        cls.test = write(cls.path / "test.jsonl", lines([long, asked("Mia"), asked("Noa")]))
        text = RECIPE.replace("TRAIN", str(cls.train)).replace("TEST", str(cls.test))
        cls.recipe = write(cls.path / "r.toml", text)
        cls.run_dir = cls.path / "run"
        cls.done = alambic("--threads", 1, "distill", cls.recipe, "--run-dir", cls.run_dir)
        assert cls.done.returncode == 0, cls.done.stderr
        cls.model = cls.run_dir / "student"

    def test_a_test_prompt_beyond_the_positions_is_wrong_and_ends_no_run(self):
        notes = json.loads((self.run_dir / "report.json").read_text())["notes"]
        unread = [note for note in notes if "of the test set" in note]
        self.assertEqual(len(unread), 2, notes)
        for who, note in zip(["the teacher", "student and control"], unread):
            self.assertIn(f"{who} cannot read 1 row of the test set, which counts as wrong", note)
            self.assertIn("test.jsonl:1: too long", note)

    def test_a_mode_that_is_none_is_refused_before_training(self):
        self.fails(2, ['eval.decode = "beam"', "speculative"], "distill", self.recipe,
                   "--run-dir", self.path / "never", "--set", 'eval.decode=["ar", "beam"]')
        self.assertFalse((self.path / "never").exists())

    def test_eval_leaves_out_rows_without_an_answer_by_name(self):
        data = write(self.path / "some.jsonl",
                     lines([asked("Mia"), {"prompt": "And who is this?", "completion": ""}]))
        done = alambic("--threads", 1, "eval", self.model, "--data", data, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["n"], 1)
        self.assertIn("left out: 1 no answer: ", done.stderr)
        self.assertIn("some.jsonl:2", done.stderr)
        self.assertEqual(done.stderr.count("no answer"), 1)
        none = write(self.path / "none.jsonl", lines([{"prompt": "And who is this?"}]))
        self.fails(2, ["no row has an answer", "--completion-field"], "eval", self.model, "--data",
                   none)

    def test_the_lines_of_a_text_file_are_said_to_be_texts_of_their_own(self):
        data = write(self.path / "two.txt", "Ada is a friend\n\nBen is a friend\n")
        done = alambic("--threads", 1, "eval", self.model, "--task", "perplexity", "--data", data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("each of its 2 lines is a text of its own", done.stderr)

    def test_prompts_alone_are_told_where_they_belong(self):
        alone = write(self.path / "alone.jsonl", lines({"prompt": f"Say {n}"} for n in NAMES))
        self.fails(2, ["12 rows are only a prompt", "data.prompts"], "distill", self.recipe,
                   "--run-dir", self.path / "alone", "--set", f"data.train={alone}")

    def test_generate_takes_every_row_as_the_prompt_that_it_is(self):
        turns = [{"role": "user", "content": "I am Mia."},
                 {"role": "assistant", "content": "Hello."},
                 {"role": "user", "content": "Who am I?"}]
        data = write(self.path / "p.jsonl", lines([{"text": "Once upon"}, {"messages": turns},
                                                   {"prompt": "", "completion": "x"}]))
        done = alambic("--threads", 1, "generate", self.model, "--prompts", data, "--max-tokens",
                       2, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        prompts = [json.loads(line)["prompt"] for line in done.stdout.splitlines()]
        self.assertEqual(prompts, ["Once upon", "I am Mia.\nHello.\nWho am I?"])
        self.assertIn("left out: 1 empty prompt: ", done.stderr)
        self.assertIn("p.jsonl:3", done.stderr)

    def test_a_store_goes_on_only_as_its_texts_were_written(self):
        data = write(self.path / "q.jsonl", lines({"prompt": f"Say {n}"} for n in NAMES))
        teach = ["--threads", 1, "teach", self.model, "--data", data, "--texts", "teacher",
                 "--cut", "keep", "--out", self.path / "s.sqlite", "--max-tokens"]
        for _ in range(2):
            self.succeeds(*teach, 4)
        self.fails(2, ["max_new_tokens", "name another file"], *teach, 9)

    def test_what_a_built_in_template_marks_turns_with_is_never_spelled_out(self):
        rows = [{"messages": [{"role": "user", "content": f"I am {name}"},
                              {"role": "assistant", "content": "Hello"},
                              {"role": "user", "content": "Bye"},
                              {"role": "assistant", "content": f"Bye {name}"}]} for name in NAMES]
        data = write(self.path / "chat.jsonl", lines(rows))
        for name, end in [("chatml", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("phi3", "<|end|>"),
                          ("gemma", "<end_of_turn>"), ("zephyr", "<|endoftext|>")]:
            chat = self.path / name
            done = alambic("--threads", 1, "train", self.recipe, "--out", chat, "--set",
                           f"data.train={data}", "--set", f"data.chat_template={name}", "--set",
                           "data.max_tokens=200")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("no token that ends", done.stderr, name)
            special = self.json_of("inspect", chat, "--json")["tokenizer"]["special"]
            self.assertEqual(special["eos"]["content"], end)

    def test_a_row_of_a_table_with_other_fields_is_told_what_to_do(self):
        table = write(self.path / "t.csv", "prompt;completion\nWho?;Ada\nWhen;why;how?\n")
        self.fails(4, ["t.csv:3] has 3 fields; want 2", "double quotes"], "eval",
                   self.model, "--data", table)

    def test_a_port_that_is_none(self):
        self.fails(2, ["--port", "65535"], "serve", self.model, "--port", 70000)


if __name__ == "__main__":
    program.main()
