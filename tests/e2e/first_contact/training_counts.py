"""What a run counts: how often a document is read, what a loss is a mean of, what may change."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import random
import struct
import tempfile

from program import Dialogue, alambic, write

SHAPE = """\
dim = 16
layers = 1
heads = 2
kv_heads = 1
ffn = 32
"""
RECIPE = f"""\
name = "counts"
task = "exact"
vocabulary = 300
[data]
source = "files"
train = "TRAIN"
test = "TEST"
validation = 0
max_tokens = 96
[teacher]
{SHAPE}
[teacher.train]
epochs = 2
[student]
init = "random"
{SHAPE}
[student.train]
precision = "fp32"
epochs = 3
tokens_per_step = 100
[eval]
decode = ["ar"]
max_new_tokens = 4
speed_prompts = 1
samples = 1
dial_prompts = 0
"""
DOCUMENTS = 31
SYLLABLES = ("ba", "den", "gor", "ki", "lum", "ne", "pas", "rith", "so", "tuv", "wex", "zo")


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbers(count):
    return [{"prompt": f"say {i}", "completion": f"number {i}"} for i in range(count)]


def pair(prompt, completion):
    return {"prompt": prompt, "completion": completion}


def said(role, content):
    return {"role": role, "content": content}


def set_all(settings):
    return [word for setting in settings for word in ("--set", setting)]


def metrics(model):
    text = (model / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


class Counts(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        longer = [pair("more", "word " * n) for n in range(1, DOCUMENTS - 22)]
        self.data = write(self.path / "train.jsonl", jsonl(numbers(23) + longer))
        test = write(self.path / "test.jsonl", jsonl([pair("unlike any other", "nothing")]))
        text = RECIPE.replace("TRAIN", str(self.data)).replace("TEST", str(test))
        self.recipe = write(self.path / "recipe.toml", text)

    def train(self, name, *settings, more=()):
        """What metrics.jsonl says of a model that is trained into a directory of this name."""
        out = self.path / name
        self.succeeds("--threads", 1, "train", self.recipe, "--out", out, *set_all(settings), *more)
        return metrics(out)

    def teach(self, teacher, name, *options):
        store = self.path / name
        self.succeeds("teach", self.path / teacher, "--data", self.data, "--kind", "topk",
                      "--out", store, *options)
        return store


class Epochs(Counts):
    def test_every_document_is_read_as_often_as_there_are_epochs(self):
        once = self.train("once", "student.train.epochs=1")[-1]
        for tokens, pieces in ((7, 1), (100, 1), (100, 8), (64, 3), (5000, 1), (5000, 50)):
            last = self.train(f"t{tokens}p{pieces}", f"student.train.tokens_per_step={tokens}",
                              f"student.train.accumulation={pieces}")[-1]
            self.assertEqual(last["tokens"], 3 * once["tokens"], (tokens, pieces))
            self.assertEqual(last["learned_tokens"], 3 * once["learned_tokens"])
            self.assertEqual(last["epoch"], 3)

    def test_accumulation_does_not_change_what_a_step_holds(self):
        one, *others = [self.train(f"a{n}", f"student.train.accumulation={n}") for n in (1, 4, 99)]
        for other in others:
            for left, right in zip(one, other, strict=True):
                self.assertEqual([left["step"], left["tokens"]], [right["step"], right["tokens"]])
                self.assertAlmostEqual(left["loss"], right["loss"], delta=0.01)

    def test_half_an_epoch_is_half_of_the_documents(self):
        half = self.train("half", "student.train.epochs=0.5", "student.train.tokens_per_step=1")
        self.assertEqual(half[-1]["step"], 16)  # each document is longer than a step
        self.assertAlmostEqual(half[-1]["epoch"], 16 / DOCUMENTS)

    def test_a_number_of_steps_is_kept(self):
        self.assertEqual(self.train("steps", "student.train.steps=5")[-1]["step"], 5)

    def test_student_and_control_read_the_same(self):
        run = self.path / "run"
        self.succeeds("--threads", 1, "distill", self.recipe, "--run-dir", run)
        teacher, student, control = [metrics(run / name)[-1]["tokens"]
                                     for name in ("teacher", "student", "control")]
        self.assertEqual(student, control)
        self.assertEqual(2 * student, 3 * teacher)


class Losses(Counts):
    def test_what_a_user_says_between_two_answers_is_no_part_of_the_mean(self):
        turns = [said("user", "hello there, how are you?"), said("assistant", "fine"),
                 said("user", "and what did you do all day long, if I may ask?")]
        write(self.data, jsonl([{"messages": [*turns, said("assistant", word)]}
                                for word in ("slept", "ate", "ran", "read")]))
        for line in self.train("talk", "data.chat_template=chatml", "data.max_tokens=512"):
            self.assertAlmostEqual(line["loss"], line["ar"], places=5)
            self.assertLess(line["learned_tokens"], line["tokens"] / 2)

    def test_the_divergence_of_the_log_is_that_of_the_loss(self):
        self.train("teacher")
        for temperature in (1, 2):
            store = self.teach("teacher", f"s{temperature}", "--temperature", temperature)
            for line in self.train(f"k{temperature}", "objective.alpha=0.25",
                                   f"objective.temperature={temperature}.0",
                                   f"signals.temperature={temperature}.0",
                                   more=("--signals", store)):
                self.assertAlmostEqual(line["loss"], 0.75 * line["ar"] + 0.25 * line["kl"],
                                       places=4)


def pad_head(model, rows):
    """Gives a model with a tied head so many rows more, which no token stands for."""
    file = model / "model.safetensors"
    data = file.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    noise, packed, tensors = random.Random(3), b"", {}
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    for name, tensor in header.items():
        if name == "__metadata__":
            tensors[name] = tensor
            continue
        begin, end = tensor["data_offsets"]
        content, shape = body[begin:end], tensor["shape"]
        if shape[0] == config["vocab_size"]:
            shape = [shape[0] + rows, shape[1]]
            content += b"".join(struct.pack("<f", noise.gauss(0, 1))[2:]  # bf16
                                for _ in range(rows * shape[1]))
        offsets = [len(packed), len(packed) + len(content)]
        tensors[name] = {**tensor, "shape": shape, "data_offsets": offsets}
        packed += content
    text = json.dumps(tensors).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + packed)
    config["vocab_size"] += rows
    write(model / "config.json", json.dumps(config))


class Itself(Counts):
    """A student that starts as its teacher, whose head has rows without a token."""

    def setUp(self):
        super().setUp()
        self.train("model", "student.train.epochs=1")
        pad_head(self.path / "model", 60)
        model = self.path / "model"
        self.settings = [f"teacher.model={model}", f"student.model={model}", "objective.alpha=1.0",
                         "student.train.steps=1", "student.train.tokens_per_step=5000"]

    def test_has_nothing_to_learn_from_a_store(self):
        for count in (3, 300):
            store = self.teach("model", f"s{count}", "--precision", "fp32", "--count", count)
            first = self.train(f"from{count}", *self.settings, more=("--signals", store))[0]
            self.assertLess(first["grad_norm"], 1e-4)
            self.assertLess(abs(first["kl"]), 1e-5)

    def test_has_nothing_to_learn_in_memory(self):
        run = self.path / "run"
        self.succeeds("--threads", 1, "distill", self.recipe, "--run-dir", run,
                      *set_all([*self.settings, "signals.kind=memory"]))
        self.assertLess(metrics(run / "student")[0]["grad_norm"], 1e-4)


class Vocabularies(Counts):
    def setUp(self):
        super().setUp()
        words = random.Random(5)
        lines = [" ".join(words.choice(SYLLABLES) + words.choice(SYLLABLES) for _ in range(4))
                 for _ in range(60)]
        write(self.data, jsonl([pair(line, line) for line in lines]))
        self.train("teacher", "vocabulary=330")
        self.store = self.teach("teacher", "signals.sqlite")
        self.ask = ["train", self.recipe, "--signals", self.store, "--overwrite",
                    "--set", "objective.alpha=0.5", "--out"]

    def test_a_student_with_a_vocabulary_of_its_own_learns_from_a_store(self):
        out = self.path / "own"
        for size in (300, 360):
            own = ("student.tokenizer=train", "signals.align=bytes", f"vocabulary={size}")
            self.succeeds(*self.ask, out, *set_all(own))
            self.assertIn("kl", metrics(out)[-1])
        self.succeeds("generate", out, "--prompt", "say 3", "--max-tokens", 3)

    def test_another_vocabulary_is_refused_with_its_first_token(self):
        own = ("student.tokenizer=train", "vocabulary=360")
        line = self.fails(2, "align", *self.ask, self.path / "no", *set_all(own))
        self.assertRegex(line, r'token \d+ is .* for the teacher and ".+" for the student')
        self.train("other", "vocabulary=310")
        named = f"teacher.tokenizer={self.path / 'other'}"
        line = self.fails(2, "teacher.tokenizer", *self.ask, self.path / "no", "--set", named)
        self.assertRegex(line, r"token \d+ is .* here, where the store's text goes on")

    def test_probabilities_of_another_temperature_are_refused(self):
        self.fails(2, ["temperature 1", "objective.temperature = 2"], *self.ask,
                   self.path / "no", "--set", "objective.temperature=2.0",
                   "--set", "signals.temperature=2.0")


class GoingOn(Counts):
    def refused(self, mentions, *arguments):
        """As fails(), behind the lines that tell of the data."""
        done = alambic(*arguments)
        self.assertEqual([done.returncode, done.stdout], [2, ""], done.stderr)
        last = done.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("alambic: "), last)
        for mention in mentions:
            self.assertIn(mention, last)

    def begun(self):
        ask = ["--threads", 1, "distill", self.recipe, "--run-dir", self.path / "run"]
        self.succeeds(*ask)
        return [*ask, "--resume", "--set"]

    def test_what_is_only_measured_may_change_and_what_is_trained_stays(self):
        ask, run = self.begun(), self.path / "run"
        weights = (run / "student" / "model.safetensors").read_bytes()
        others = jsonl([pair(f"something else {i}", "x") for i in range(3)])
        test = write(self.path / "other.jsonl", others)
        self.succeeds(*ask, f"data.test={test}", *set_all(("eval.samples=3", "eval.block=4")))
        self.assertEqual(weights, (run / "student" / "model.safetensors").read_bytes())
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        self.assertEqual(len(report["samples"]), 3)
        self.fails(2, "student.dim was 16 and is 32", *ask, "student.dim=32")
        self.fails(2, ["another recipe", "student.train.lr was 0.002 and is 0.1"],
                   *ask, "student.train.lr=0.1")

    def test_a_test_file_that_takes_training_rows_out_is_refused(self):
        test = write(self.path / "other.jsonl", jsonl(numbers(4)))
        self.refused(["training rows", "31 rows then", "27 now"], *self.begun(),
                     f"data.test={test}")

    def test_training_alone_goes_on_under_its_own_recipe_only(self):
        out = self.path / "alone"
        self.train("alone")
        ask = ["--threads", 1, "train", self.recipe, "--out", out, "--resume", "--set"]
        self.succeeds(*ask, "eval.samples=2")
        self.refused(["student.train.lr was 0.002 and is 0.1"], *ask, "student.train.lr=0.1")

    def test_a_model_reads_more_than_its_longest_row(self):
        out = self.path / "long"
        self.train("long")
        self.assertGreaterEqual(self.json_of("inspect", out, "--json")["model"]["positions"], 2048)
        self.succeeds("generate", out, "--prompt", "say " * 300, "--max-tokens", 3)


if __name__ == "__main__":
    program.main()
