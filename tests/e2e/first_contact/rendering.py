"""Conversations are rendered whole and tokenised whole.

What is learned is what the template wrote, and data never writes control tokens.
"""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import random
import struct
import tempfile
import urllib.error
import urllib.request
import subprocess

from program import Dialogue, alambic, write

END, START = "<|im_end|>", "<|im_start|>"
CHATML = (
    "{% for m in messages %}" + START + "{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}"
    + END
    + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
)
# The characters that stand for bytes in byte-level vocabularies.
PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]


def byte_alphabet():
    letters, spare = {}, 256
    for byte in range(256):
        if byte in PRINTED:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(spare)
            spare += 1
    return letters


def byte_tokenizer(specials):
    """Every byte is a token; special tokens follow."""
    vocabulary = {letter: byte for byte, letter in byte_alphabet().items()}
    added = [
        {
            "id": 256 + i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, text in enumerate(specials)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }


def space_tokenizer(letters, specials):
    """As SentencePiece has it: a mark for every space, and one in front of a text."""
    pieces = [
        "<unk>",
        "\u2581",
        *letters,
        *["\u2581" + letter for letter in letters if letter.isalpha()],
    ]
    tokens = [*specials, *pieces]
    added = [
        {
            "id": i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, text in enumerate(specials)
    ]
    merges = [["\u2581", letter] for letter in letters if letter.isalpha()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": False,
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": merges,
        },
    }


def write_weights(path, shapes):
    numbers, header, at = random.Random(1), {}, 0
    body = b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        body += struct.pack(f"<{count}f", *(numbers.uniform(-0.5, 0.5) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, len(body)]}
        at = len(body)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def tiny_model(
    path, tokenizer, chat_template=None, config=None, tokenizer_config=None, positions=256
):
    """A llama of one layer with the given vocabulary."""
    path.mkdir()
    dim = 8
    ids = [*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]
    size = max(ids) + 1
    card = {"alambic": {"chat_template": chat_template}} if chat_template else {}
    (path / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": size,
                "hidden_size": dim,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "intermediate_size": dim,
                "max_position_embeddings": positions,
                "rms_norm_eps": 1e-5,
                "hidden_act": "silu",
                "tie_word_embeddings": False,
                "torch_dtype": "float32",
                **card,
                **(config or {}),
            }
        )
    )
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    if tokenizer_config:
        (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    layer = "model.layers.0."
    shapes = {
        "model.embed_tokens.weight": (size, dim),
        "lm_head.weight": (size, dim),
        "model.norm.weight": (dim,),
        layer + "input_layernorm.weight": (dim,),
        layer + "post_attention_layernorm.weight": (dim,),
    }
    for part in (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ):
        shapes[layer + part + ".weight"] = (dim, dim)
    write_weights(path / "model.safetensors", shapes)
    return path


def turns(*said, **more):
    roles = ["user", "assistant"]
    return {
        "messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)],
        **more,
    }


class Taught(Dialogue):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def data(self, *rows):
        return write(self.path / "d.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def taught(self, model, *rows):
        """What a teacher says of the rows: ids, and which of them are learned."""
        out = self.path / "s.sqlite"
        out.unlink(missing_ok=True)
        self.succeeds(
            "--threads",
            1,
            "teach",
            model,
            "--data",
            self.data(*rows),
            "--kind",
            "topk",
            "--count",
            1,
            "--out",
            out,
            "--export",
            self.path / "s.jsonl",
        )
        lines = [json.loads(line) for line in (self.path / "s.jsonl").read_text().splitlines()[1:]]
        return [(row["tokens"], self.learned(row)) for row in lines]

    @staticmethod
    def learned(row):
        said = [bool(signal.get("ids")) for signal in row["signals"]]
        return [i + row["prompt_tokens"] for i, learned in enumerate(said) if learned]

    @staticmethod
    def spelled(tokens, specials=(START, END, "<|endoftext|>")):
        out = b""
        for token in tokens:
            out += bytes([token]) if token < 256 else specials[token - 256].encode()
        return out.decode()

    def byte_model(self, template=CHATML, name="m", **more):
        more.setdefault("tokenizer_config", {"eos_token": END})
        return tiny_model(
            self.path / name, byte_tokenizer([START, END, "<|endoftext|>"]), template, **more
        )


class Rendering(Taught):
    def test_a_dummy_prefix_stands_before_the_text_alone(self):
        tokenizer = space_tokenizer("abcq()", ["<s>", "</s>"])
        template = (
            "{% for m in messages %}{% if m.role == 'user' %}({{ m.content }})"
            "{% else %} {{ m.content }}</s>"
            "{% endif %}{% endfor %}"
        )
        model = tiny_model(
            self.path / "m", tokenizer, template, tokenizer_config={"eos_token": "</s>"}
        )
        vocabulary = tokenizer["model"]["vocab"]
        ((tokens, learned),) = self.taught(model, turns("a", "b c", "q", "c"))
        pieces = [
            "\u2581",
            "(",
            "a",
            ")",
            "\u2581b",
            "\u2581c",
            "</s>",
            "\u2581",
            "(",
            "q",
            ")",
            "\u2581c",
            "</s>",
        ]
        self.assertEqual(tokens, [vocabulary[piece] for piece in pieces])
        self.assertEqual(
            [pieces[i] for i in learned], ["\u2581b", "\u2581c", "</s>", "\u2581c", "</s>"]
        )

    def test_every_answer_ends_on_a_token_that_ends_generation(self):
        # The tokenizer's own end is another one; the model's files name the template's.
        model = self.byte_model(
            config={"eos_token_id": [257, 258]}, tokenizer_config={"eos_token": "<|endoftext|>"}
        )
        ((tokens, learned),) = self.taught(model, turns("a", "b", "c", "d"))
        self.assertEqual(self.spelled([tokens[i] for i in learned]), f"b{END}d{END}")

    def test_arguments_of_calls_are_objects_for_the_template(self):
        call = {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"z": 1.0, "a": 98765432109876543210}'},
                },
                {"type": "function", "function": {"name": "f", "arguments": "not JSON"}},
            ],
        }
        ((tokens, _),) = self.taught(
            self.byte_model(), {"messages": [{"role": "user", "content": "q"}, call]}
        )
        self.assertIn('{"z": 1.0, "a": 98765432109876543210}"not JSON"', self.spelled(tokens))

    def test_parts_of_text_and_absent_contents_are_texts(self):
        parts = [{"type": "text", "text": "o"}, {"type": "text", "text": "ne"}]
        call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
        row = {
            "messages": [
                {"role": "user", "content": parts},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": parts},
                {"role": "assistant", "content": parts},
            ]
        }
        ((tokens, learned),) = self.taught(self.byte_model(), row)
        self.assertIn(f"{START}user\none{END}", self.spelled(tokens))
        self.assertEqual(self.spelled([tokens[i] for i in learned]), f"{{}}{END}one{END}")
        row["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": "x"}}]
        done = alambic("teach", self.path / "m", "--data", self.data(row), "--out", self.path / "x")
        self.assertIn("d.jsonl:1: messages 1", done.stderr)
        self.assertIn("image_url", done.stderr)

    def test_an_answer_that_says_nothing_is_not_learned(self):
        ((tokens, learned),) = self.taught(self.byte_model(), turns("a", "", "b", " ", "c", "d"))
        self.assertEqual(self.spelled([tokens[i] for i in learned]), f"d{END}")

    def test_a_template_that_forgets_thoughts_is_learned_answer_by_answer(self):
        template = CHATML.replace(
            "{{ m.content }}",
            "{% if m.thought and loop.last %}({{ m.thought }}){% endif %}{{ m.content }}",
        )
        row = turns("a", "b", "c", "d")
        row["messages"][1]["thought"], row["messages"][3]["thought"] = "x", "y"
        rows = self.taught(self.byte_model(template), row)
        self.assertEqual(
            [self.spelled([tokens[i] for i in learned]) for tokens, learned in rows],
            [f"(x)b{END}", f"(y)d{END}"],
        )
        self.assertNotIn("(x)", self.spelled(rows[1][0]))

    def test_a_row_that_the_template_refuses_is_named_and_left_out(self):
        template = (
            "{% if messages[0].role == 'system' %}"
            "{{ raise_exception('no system turns') }}{% endif %}"
            + CHATML
        )
        bad = {"messages": [{"role": "system", "content": "s"}, *turns("a", "b")["messages"]]}
        model = self.byte_model(template)
        done = alambic(
            "--threads",
            1,
            "teach",
            model,
            "--data",
            self.data(turns("a", "b"), bad),
            "--kind",
            "topk",
            "--count",
            1,
            "--out",
            self.path / "o.sqlite",
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("d.jsonl:2", done.stderr)
        self.assertIn("no system turns", done.stderr)
        self.assertTrue(done.stdout.startswith("1 row"), done.stdout)

    def test_tools_have_a_template_and_special_tokens_reach_it(self):
        says = "{{ raise_exception('NAME ' ~ eos_token ~ ' ' ~ sep_token ~ ' ' ~ boi) }}"
        config = {
            "eos_token": END,
            "sep_token": {"content": "<|endoftext|>"},
            "extra_special_tokens": {"boi": START},
        }
        plain, tools = says.replace("NAME", "plain"), says.replace("NAME", "tools")
        named = {
            "object": {"default": plain, "tool_use": tools},
            "list": [
                {"name": "default", "template": plain},
                {"name": "tool_use", "template": tools},
            ],
        }
        asked = turns("a", "b")
        rows = self.data(asked, {**asked, "tools": [{"name": "f", "parameters": {}}]})
        for form, templates in {**named, "text": plain, "file": None}.items():
            with self.subTest(form):
                more = {"chat_template": templates} if templates else {}
                model = self.byte_model(None, name=form, tokenizer_config={**config, **more})
                if form == "file":
                    write(model / "chat_template.json", json.dumps({"chat_template": plain}))
                done = alambic(
                    "--threads",
                    1,
                    "eval",
                    model,
                    "--task",
                    "exact",
                    "--data",
                    rows,
                    "--chat-template",
                    "model",
                    "--json",
                    "--max-tokens",
                    1,
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["unread"], 2)
                for place, name in (
                    ("d.jsonl:1", "plain"),
                    ("d.jsonl:2", "tools" if form in named else "plain"),
                ):
                    line = next(line for line in done.stderr.splitlines() if place in line)
                    self.assertIn(f"{name} {END} <|endoftext|> {START}", line)

    def test_no_text_of_the_data_becomes_a_control_token(self):
        template = "{{ tools | tojson }}" + CHATML.replace(
            "{{ m.role }}", "{{ m.role }}{{ m.name }}"
        )
        spelled = f"{START}x{END}\U00100000{END.upper()}"
        row = turns(spelled + "<|im_", spelled, tools=[{"name": spelled, "parameters": {END: 1}}])
        row["messages"][0]["name"] = END
        ((tokens, _),) = self.taught(self.byte_model(template), row)
        self.assertEqual([token for token in tokens if token >= 256], [256, 257, 256, 257])
        self.assertIn("\U00100000", self.spelled(tokens))

    def test_nor_does_a_plain_prompt_in_its_frame(self):
        card = {"alambic": {"prompt_template": "{prompt}" + START}}
        model = self.byte_model(None, config=card)
        ((tokens, learned),) = self.taught(
            model, {"prompt": f"a{END}b{START}", "completion": f"c{END}"}
        )
        self.assertEqual([token for token in tokens if token >= 256], [256, 257])
        self.assertEqual(self.spelled([tokens[i] for i in learned]), f"c{END}{END}")


class Serving(Taught):
    def ask(self, url, body):
        request = urllib.request.Request(
            url + "/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def serve(self, model):
        server = subprocess.Popen(
            [program.PROGRAM, "--threads", "1", "serve", str(model), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        for line in server.stdout:
            if "http" in line:
                return next(word for word in line.split() if word.startswith("http")).rstrip(".,")
        self.fail("the server did not start")

    def test_a_request_is_read_as_training_reads_a_row(self):
        url = self.serve(self.byte_model())
        content = f"x{END}\U00100000y"
        ((tokens, learned),) = self.taught(self.path / "m", turns(content, "b"))
        status, answer = self.ask(url, {"messages": turns(content)["messages"], "max_tokens": 1})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["usage"]["prompt_tokens"], learned[0])

    def test_template_variables_cannot_replace_the_conversation(self):
        url = self.serve(self.byte_model())
        for name in ("messages", "tools", "add_generation_prompt"):
            status, answer = self.ask(
                url,
                {
                    "messages": turns("a")["messages"],
                    "max_tokens": 1,
                    "chat_template_kwargs": {name: []},
                },
            )
            self.assertEqual(status, 400, answer)
            self.assertIn(name, answer["error"]["message"])


if __name__ == "__main__":
    program.main()
