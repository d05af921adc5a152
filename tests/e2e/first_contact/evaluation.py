"""`eval` reads rows as training does, names what it cannot read, and goes on."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from program import Dialogue, alambic, write
from rendering import CHATML, END, START, byte_tokenizer, tiny_model, turns


class Evaluation(Dialogue):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def model(self, name="m", positions=256, **card):
        return tiny_model(
            self.path / name,
            self.tokenizer(),
            None,
            {"alambic": card} if card else None,
            {"eos_token": END},
            positions,
        )

    @staticmethod
    def tokenizer():
        """Bytes, and a space that joins the letter behind it."""
        tokenizer = byte_tokenizer([START, END])
        space, letter = "\u0120", "B"
        tokenizer["model"]["vocab"][space + letter] = 258
        tokenizer["model"]["merges"] = [[space, letter]]
        return tokenizer

    def scored(self, model, task, *rows, **more):
        data = write(self.path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        options = [
            word for key, value in more.items() for word in ("--" + key.replace("_", "-"), value)
        ]
        done = alambic(
            "--threads", 1, "eval", model, "--task", task, "--data", data, "--json", *options
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def test_turns_are_turns(self):
        model = self.model(chat_template=CHATML)
        apart, _ = self.scored(model, "perplexity", turns("a", "b", "c", "d"))
        joined, _ = self.scored(model, "perplexity", {"prompt": "a\nb\nc", "completion": "d"})
        self.assertNotEqual(apart["score"], joined["score"])
        # Two answers and what ends each of them.
        self.assertEqual((apart["tokens"], joined["tokens"]), (4, 2))

    def test_a_trailing_space_of_the_prompt_changes_no_score(self):
        model = self.model(labels=["A", "B"])
        for task in ("perplexity", "accuracy", "exact"):
            with self.subTest(task):
                more = {} if task == "perplexity" else {"max_tokens": 2}
                spaced, _ = self.scored(
                    model, task, {"prompt": "Answer: ", "completion": "B"}, **more
                )
                joined, _ = self.scored(
                    model, task, {"prompt": "Answer:", "completion": " B"}, **more
                )
                self.assertEqual(spaced["score"], joined["score"])
                self.assertEqual(spaced["tokens"], joined["tokens"])

    def test_texts_beyond_the_positions_are_read_in_windows(self):
        model = self.model(positions=32)
        fits, _ = self.scored(model, "perplexity", {"text": "x" * 20})
        self.assertNotIn("windows", fits)
        # 1 + 75 + 1 tokens: 32, then 16 more in each window.
        long, _ = self.scored(model, "perplexity", {"text": "ab " * 25}, {"text": "x" * 20})
        self.assertEqual((long["long_texts"], long["windows"]), (1, 4))
        self.assertEqual(long["tokens"], 76 + 21)

    def test_rows_that_cannot_be_read_are_wrong_and_named(self):
        model = self.model(positions=24, labels=["y", "a much longer label"])
        good = {"prompt": "q", "completion": "y"}
        scored, said = self.scored(
            model,
            "accuracy",
            good,
            {"prompt": "q" * 40, "completion": "y"},
            {"prompt": "q" * 10, "completion": "y"},
        )
        self.assertEqual(scored["n"], 3)
        self.assertEqual(scored["unread"], 2)
        self.assertIn(
            "t.jsonl:2: too long (a prompt of 40 tokens; the model has 24 positions)", said
        )
        self.assertIn("t.jsonl:3: too long (a choice has 19 tokens; there is room for 14)", said)
        self.assertEqual([row["reason"] for row in scored["unread_rows"]], ["too long", "too long"])
        self.assertLessEqual(scored["score"], 1 / 3)

    def test_a_template_error_is_a_row_and_not_the_end(self):
        template = (
            "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}"
            + CHATML
        )
        scored, said = self.scored(
            self.model(chat_template=template),
            "perplexity",
            turns("a", "b"),
            turns("a", "b", "c", "d"),
        )
        self.assertEqual((scored["n"], scored["unread"]), (1, 1))
        self.assertIn("t.jsonl:2: not valid", said)
        self.assertIn("one question only", said)


if __name__ == "__main__":
    program.main()
