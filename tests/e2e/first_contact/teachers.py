"""Teachers are asked as they want to be asked; what is no answer is told apart and kept out."""

import program  # first: it skips where the interpreter lacks what the others need
import array
import json
import pathlib
import random
import struct
import tempfile

from program import Dialogue, alambic, write
from stand_in import StandIn

SPECIALS = ["<|endoftext|>", "<|turn|>", "<|over|>"]
TEMPLATE = (
    "{%- for m in messages -%}"
    "{{- '<|turn|>' + m.role + ':' + m.content + '<|over|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|turn|>assistant:' -}}{%- endif -%}"
)


def byte_letters():
    """The 256 characters that byte-level tokenizers write bytes as, in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, spare = [], 256
    for byte in range(256):
        if byte in plain:
            letters.append(chr(byte))
        else:
            letters.append(chr(spare))
            spare += 1
    return letters


def write_model(folder, chat):
    """A random model of one layer that reads bytes, with a chat template where `chat`."""
    folder.mkdir()
    letters = byte_letters()
    specials = [
        {
            "id": 256 + i,
            "content": name,
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for i, name in enumerate(SPECIALS)
    ]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    tokenizer = {
        "version": "1.0",
        "added_tokens": specials,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "post_processor": None,
        "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(letters)}, "merges": []},
    }
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|over|>" if chat else "<|endoftext|>",
    }
    if chat:
        settings["chat_template"] = TEMPLATE
    write(folder / "tokenizer_config.json", json.dumps(settings))
    dim, ffn, vocabulary = 16, 32, 256 + len(SPECIALS)
    write(
        folder / "config.json",
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_size": dim,
                "intermediate_size": ffn,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "vocab_size": vocabulary,
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-5,
                "rope_theta": 10000.0,
                "tie_word_embeddings": False,
                "hidden_act": "silu",
                "eos_token_id": 258 if chat else 256,
            }
        ),
    )
    layer = "model.layers.0."
    shapes = {
        "model.embed_tokens.weight": [vocabulary, dim],
        "lm_head.weight": [vocabulary, dim],
        "model.norm.weight": [dim],
        layer + "input_layernorm.weight": [dim],
        layer + "post_attention_layernorm.weight": [dim],
        **{f"{layer}self_attn.{x}_proj.weight": [dim, dim] for x in "qkvo"},
        layer + "mlp.gate_proj.weight": [ffn, dim],
        layer + "mlp.up_proj.weight": [ffn, dim],
        layer + "mlp.down_proj.weight": [dim, ffn],
    }
    rng, header, data = random.Random(7), {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array.array(
            "f", [1.0] * count if len(shape) == 1 else [rng.gauss(0, 0.3) for _ in range(count)]
        )
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + 4 * count],
        }
        data += values.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def rendered(*turns):
    return (
        "".join(f"<|turn|>{role}:{content}<|over|>" for role, content in turns)
        + "<|turn|>assistant:"
    )


class Moods(StandIn):
    """An endpoint that answers by the first word of the question, and keeps what it was sent."""

    def __init__(self, prompt_tokens=40):
        super().__init__()
        self.prompt_tokens, self.bodies = prompt_tokens, []

    def good(self, body, prompt):
        mood = prompt.split()[0]
        self.bodies.append(body)
        message, finish = {
            "silent": ({"content": ""}, "stop"),
            "null": ({"content": None}, "stop"),
            "long": ({"content": "and so on and"}, "length"),
            "secret": ({"content": ""}, "content_filter"),
            "prim": ({"content": None, "refusal": "I would rather not."}, "stop"),
            "busy": (
                {
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                "tool_calls",
            ),
            "dreamy": ({"content": "<think>What if"}, "stop"),
            "mute": ({"content": "", "reasoning_content": "I know."}, "stop"),
            "wise": ({"content": "<think>Quietly.</think>\n\nYes."}, "stop"),
            "parts": (
                {"content": [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}]},
                None,
            ),
        }.get(mood, ({"content": "Yes."}, "stop"))
        answer = {
            "id": "x",
            "model": body["model"],
            "choices": [
                {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
            ],
        }
        if mood == "nothing":
            answer["choices"] = []
        if mood != "uncounted":
            answer["usage"] = {"prompt_tokens": self.prompt_tokens, "completion_tokens": 3}
        return answer


class Teachers(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.chat = write_model(cls.path / "chat", True)
        cls.plain = write_model(cls.path / "plain", False)

    def setUp(self):
        self.store = self.path / f"{self.id().rsplit('.', 1)[-1]}.sqlite"

    def rows_file(self, *rows):
        return write(
            self.store.with_suffix(".data.jsonl"), "".join(json.dumps(row) + "\n" for row in rows)
        )

    def exported(self, *arguments):
        lines = self.store.with_suffix(".jsonl")
        done = alambic(*arguments, "--out", self.store, "--export", lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [
            json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()[1:]
        ], done.stderr

    def ask(self, endpoint, data, *more):
        return [
            "teach",
            "stand-in",
            "--endpoint",
            endpoint.url,
            "--tokenizer",
            self.plain,
            "--data",
            data,
            "--texts",
            "teacher",
            "--kind",
            "text",
            *more,
        ]

    def text_of(self, tokens):
        return "".join(chr(t) if t < 256 else SPECIALS[t - 256] for t in tokens)

    def test_answers_of_no_use_are_counted_and_kept_out_and_not_asked_again(self):
        moods = [
            "fine",
            "silent",
            "null",
            "long",
            "secret",
            "prim",
            "busy",
            "dreamy",
            "mute",
            "wise",
            "parts",
            "nothing",
            "uncounted",
        ]
        data = self.rows_file(*({"prompt": f"{mood} question"} for mood in moods))
        with Moods() as endpoint:
            rows, said = self.exported(*self.ask(endpoint, data))
            self.assertEqual(
                [r["prompt"].split()[0] for r in rows], ["fine", "wise", "parts", "uncounted"]
            )
            self.assertEqual({r["text"] for r in rows}, {"Yes."})
            for words in (
                "13 asked: 4 answers",
                "1 cut off at 512 tokens (raise --max-tokens)",
                "3 empty",
                "2 filtered",
                "1 tool call",
                "2 reasoning alone",
                "warning:",
            ):
                self.assertIn(words, said)
            first = dict(endpoint.asked)
            again = self.json_of(*self.ask(endpoint, data, "--out", self.store, "--json"))
            self.assertEqual(dict(endpoint.asked), first)
        self.assertEqual((again["rows"], again["left_out"]), (4, 9))
        self.assertEqual(
            again["reasons"], {"empty": 3, "cut": 1, "filtered": 2, "tool_calls": 1, "reasoning": 2}
        )
        self.assertEqual(
            self.json_of("inspect", self.store, "--json")["left_out"], again["reasons"]
        )

    def test_whole_traces_are_kept_where_the_user_wants_them(self):
        data = self.rows_file(
            {"prompt": "wise question"}, {"prompt": "dreamy question"}, {"prompt": "fine question"}
        )
        with Moods() as endpoint:
            rows, _ = self.exported(*self.ask(endpoint, data, "--reasoning", "keep"))
        self.assertEqual([r["text"] for r in rows], ["<think>\nQuietly.\n</think>\n\nYes.", "Yes."])

    def test_not_one_answer_is_an_error(self):
        data = self.rows_file({"prompt": "long question"}, {"prompt": "silent question"})
        with Moods() as endpoint:
            done = alambic(*self.ask(endpoint, data, "--out", self.store))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("2 asked: 0 answers, 1 cut off at 512 tokens", done.stderr.splitlines()[-1])

    def test_conversations_are_asked_turn_by_turn(self):
        turns = [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
        data = self.rows_file(
            {"messages": [*turns, {"role": "assistant", "content": "four"}]},
            {"messages": turns[1:], "tools": [{"name": "f", "parameters": {}}]},
        )
        with Moods() as endpoint:
            self.exported(*self.ask(endpoint, data, "--concurrency", 1))
            asked = [
                b for b in endpoint.bodies if not b["messages"][-1]["content"].startswith("Hello!")
            ]
        self.assertEqual(asked[0]["messages"], turns)
        self.assertEqual(asked[1]["messages"], turns[1:])
        self.assertEqual(asked[1]["tools"][0]["function"]["name"], "f")

    def test_an_endpoint_that_cuts_prompts_is_named(self):
        data = self.rows_file({"prompt": "fine " + "words of a long question " * 20})
        with Moods(prompt_tokens=9) as endpoint:
            _, said = self.exported(*self.ask(endpoint, data))
        self.assertRegex(said, r"read 9 prompt tokens where about 12\d were sent")
        with Moods(prompt_tokens=110) as endpoint:
            done = alambic(*self.ask(endpoint, data, "--out", self.path / "whole.sqlite"))
        self.assertNotIn("prompt tokens where", done.stderr)

    def test_a_server_that_only_streams_is_one_clear_line(self):
        class Stream(Moods):
            def reply(self, handler, body, prompt, fault):
                self.send(
                    handler,
                    200,
                    'data: {"choices":[{"delta":{"content":"Yes."}}]}\n\ndata: [DONE]\n\n',
                    "text/event-stream",
                )
                return True

        data = self.rows_file({"prompt": "fine question"})
        with Stream() as endpoint:
            done = alambic(*self.ask(endpoint, data, "--out", self.store))
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("stream of events", done.stderr.splitlines()[-1])

    def test_a_model_with_a_chat_template_is_asked_through_it(self):
        conversation = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
        data = self.rows_file({"prompt": "hello"}, {"messages": conversation})
        common = [
            "teach",
            self.chat,
            "--data",
            data,
            "--texts",
            "teacher",
            "--kind",
            "text",
            "--max-tokens",
            3,
            "--cut",
            "keep",
        ]
        rows, _ = self.exported(*common)
        asked = [self.text_of(r["tokens"][: r["prompt_tokens"]]) for r in rows]
        self.assertEqual(asked[0], rendered(("user", "hello")))
        self.assertEqual(
            asked[1], rendered(("user", "one"), ("assistant", "two"), ("user", "three"))
        )
        self.fails(2, "chat_template", *common, "--chat-template", "none", "--out", self.store)
        self.store = self.path / "raw.sqlite"
        rows, said = self.exported(*common, "--chat-template", "none")
        self.assertEqual([self.text_of(r["tokens"][: r["prompt_tokens"]]) for r in rows], ["hello"])
        self.assertIn("1 not asked: several turns and the model has no chat template", said)

    def test_what_has_no_template_is_read_raw_and_inspect_says_which(self):
        for model, through in ((self.chat, "its own"), (self.plain, "none")):
            self.assertEqual(
                self.json_of("inspect", model, "--json")["card"]["chat_template"], through
            )
        ask = ["--prompt", "hello", "--max-tokens", 4, "--json"]
        said = {
            name: self.json_of("generate", *model, *ask)["tokens"]
            for name, model in {
                "chat": [self.chat],
                "none": [self.chat, "--chat-template", "none"],
                "raw": [self.chat, "--raw"],
            }.items()
        }
        self.assertEqual(said["none"], said["raw"])
        self.assertNotEqual(said["chat"], said["raw"])

    def test_texts_that_a_teacher_here_does_not_end_are_cut_off(self):
        data = self.rows_file({"prompt": "hello"})
        self.fails(
            2,
            ["1 asked: 0 answers, 1 cut off at 2 tokens", "--max-tokens"],
            "teach",
            self.plain,
            "--data",
            data,
            "--texts",
            "teacher",
            "--kind",
            "text",
            "--max-tokens",
            2,
            "--out",
            self.store,
        )

    def test_a_distillation_asks_its_teacher_through_the_template_and_the_student_is_asked_so(self):
        data = self.rows_file(
            *({"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(12))
        )
        recipe = write(
            self.path / "mine.toml",
            f"""
name = "mine"
task = "exact"
[data]
source = "files"
train = {json.dumps(str(data))}
validation = 0
test_limit = 2
[teacher]
model = {json.dumps(str(self.chat))}
[student]
init = "random"
dim = 16
layers = 1
heads = 2
kv_heads = 2
ffn = 16
[student.train]
steps = 1
[eval]
max_new_tokens = 2
speed_prompts = 1
dial_prompts = 0
decode = ["ar"]
""",
        )
        for name, settings, wanted in (
            ("chat", [], "<|turn|>user:question"),
            ("told", ["--set", "data.prompt_template=Q: {prompt} A:"], "Q: question"),
            ("none", ["--set", "data.chat_template=none"], "question"),
        ):
            run = self.path / f"run-{name}"
            done = alambic("distill", recipe, *settings, "--run-dir", run)
            self.assertEqual(done.returncode, 0, done.stderr)
            first = self.json_of("inspect", run / "signals.sqlite", "--json", "--rows", 1)
            self.assertEqual(first["header"].get("chat_template", "") != "", name == "chat")
            card = self.json_of("inspect", run / "student", "--json")["card"]
            self.assertEqual(card["chat_template"] != "none", name == "chat")
            tokens = self.tokens_of(run / "signals.sqlite")
            self.assertTrue(self.text_of(tokens).startswith(wanted), self.text_of(tokens))

    @staticmethod
    def tokens_of(store):
        import sqlite3

        blob = (
            sqlite3.connect(store).execute("select tokens from rows order by example").fetchone()[0]
        )
        tokens, value, shift = [], 0, 0
        for byte in blob:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                tokens.append(value)
                value = shift = 0
        return tokens


if __name__ == "__main__":
    program.main()
