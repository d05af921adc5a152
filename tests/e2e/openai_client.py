"""A conversation of the official `openai` client (PyPI) with `alambic serve`. Skips without that package or the weights."""

import program  # first: it skips where the interpreter lacks what the others need
import sys

from program import DATA, Dialogue
from served import Server

try:
    import openai
except ImportError:
    print("skipped: this Python has no openai package; python3 -m pip install openai, and run with that interpreter")
    sys.exit(program.SKIPPED)

MODEL = DATA / "weights_tinystories656K"
START = "Once upon a time"


class Conversation(Dialogue):
    @classmethod
    def setUpClass(cls):
        server = Server(MODEL, "--name", "tiny")
        server.__enter__()
        cls.addClassCleanup(server.__exit__)
        cls.client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)

    def chat(self, **more):
        arguments = {"model": "tiny", "messages": [{"role": "user", "content": START}], "max_tokens": 24, "temperature": 0}
        return self.client.chat.completions.create(**{**arguments, **more})

    def complete(self, **more):
        return self.client.completions.create(**{"model": "tiny", "prompt": START, "max_tokens": 24, "temperature": 0, **more})

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["tiny"])
        self.assertEqual(self.client.models.retrieve("tiny").owned_by, "alambic")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_a_completion_is_what_generate_writes(self):
        written = self.json_of("generate", MODEL, "--prompt", START, "--max-tokens", 24, "--json")["text"]
        answer = self.complete()
        self.assertEqual(answer.choices[0].text, written)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 24)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 24)

    def test_streamed_and_whole_chats_are_the_same(self):
        for more in ({}, {"temperature": 1, "seed": 5}, {"temperature": 1, "seed": 5, "stop": ["e ", "little"]}, {"n": 3, "temperature": 1, "seed": 2}):
            with self.subTest(more=more):
                whole = self.chat(**more)
                texts, ends = {}, {}
                for chunk in self.chat(stream=True, **more):
                    for choice in chunk.choices:
                        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
                        ends[choice.index] = choice.finish_reason or ends.get(choice.index)
                self.assertEqual([texts[c.index] for c in whole.choices], [c.message.content for c in whole.choices])
                self.assertEqual([ends[c.index] for c in whole.choices], [c.finish_reason for c in whole.choices])

    def test_streamed_and_whole_completions_are_the_same(self):
        whole = self.complete(temperature=1, seed=9, logprobs=2)
        chunks = list(self.complete(temperature=1, seed=9, logprobs=2, stream=True))
        self.assertEqual("".join(c.choices[0].text for c in chunks), whole.choices[0].text)
        tokens = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.tokens]
        self.assertEqual(tokens, whole.choices[0].logprobs.tokens)

    def test_usage_in_a_stream_comes_last_and_only_when_asked(self):
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 24)
        self.assertTrue(all(c.usage is None for c in self.chat(stream=True)))

    def test_the_same_seed_is_the_same_text_and_another_is_not(self):
        texts = [self.chat(temperature=1, seed=seed).choices[0].message.content for seed in (7, 7, 8)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_a_stop_string_ends_the_text_and_is_not_part_of_it(self):
        whole = self.chat().choices[0].message.content
        stop = whole[10:14]
        cut = self.chat(stop=stop).choices[0]
        self.assertEqual(cut.message.content, whole[:whole.index(stop)])
        self.assertEqual(cut.finish_reason, "stop")

    def test_log_probabilities_of_a_chat(self):
        choice = self.chat(logprobs=True, top_logprobs=5).choices[0]
        entries = choice.logprobs.content
        self.assertEqual(b"".join(bytes(e.bytes or []) for e in entries).decode(), choice.message.content)
        for entry in entries:
            self.assertEqual(len(entry.top_logprobs), 5)
            self.assertEqual(entry.top_logprobs[0].token, entry.token)  # greedy
            self.assertAlmostEqual(entry.top_logprobs[0].logprob, entry.logprob, places=9)

    def test_echo_scores_the_prompt_as_writing_it_did(self):
        written = self.complete(logprobs=1)
        tokens = written.choices[0].logprobs
        echoed = self.complete(prompt=START + written.choices[0].text, max_tokens=0, echo=True, logprobs=1).choices[0]
        self.assertEqual(echoed.text, START + written.choices[0].text)
        self.assertEqual(echoed.logprobs.text_offset[0], 0)
        # The text may be cut into other tokens; where it is not, the numbers are the same.
        if echoed.logprobs.tokens[-len(tokens.tokens):] == tokens.tokens:
            for a, b in zip(echoed.logprobs.token_logprobs[-len(tokens.tokens):], tokens.token_logprobs):
                self.assertAlmostEqual(a, b, places=4)

    def test_echo_scores_token_ids(self):
        answer = self.complete(prompt=[1, 5, 300, 7], max_tokens=0, echo=True, logprobs=3).choices[0]
        self.assertEqual(len(answer.logprobs.tokens), 4)
        self.assertIsNone(answer.logprobs.token_logprobs[0])
        self.assertTrue(all(p <= 0 for p in answer.logprobs.token_logprobs[1:]))

    def test_several_prompts_are_answered_as_if_alone(self):
        prompts = [START, "The dog", "Lily and"]
        together = self.complete(prompt=prompts, temperature=1, seed=3)
        for prompt, choice in zip(prompts, together.choices):
            self.assertEqual(choice.text, self.complete(prompt=prompt, temperature=1, seed=3).choices[0].text)

    def test_mistakes_are_named(self):
        cases = [({"temperature": 7}, "temperature"), ({"n": 9}, "n"), ({"stop": ["a"] * 5}, "stop"),
                 ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"presence_penalty": 1}, "presence_penalty"),
                 ({"response_format": {"type": "json_object"}}, "response_format"),
                 ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
                 ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role")]
        for more, param in cases:
            with self.subTest(param=param), self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**more)
            self.assertEqual(caught.exception.param, param)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "word " * 5000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError):
            self.chat(model="gpt-4")


if __name__ == "__main__":
    if not (MODEL / "model.safetensors").exists():
        print(f"skipped: there is no {MODEL}")
        sys.exit(program.SKIPPED)
    program.main()
