"""Who waits for whom: short questions beside long ones, and clients that left."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import socket
import tempfile

from program import Dialogue, alambic, tiny_recipe, write
from served import Server

LONG = "a note on the order of the day " * 12


class Pace(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        path = pathlib.Path(cls.folder.name)
        done = alambic(
            "distill", write(path / "tiny.toml", tiny_recipe(4)), "--run-dir", path / "run"
        )
        assert done.returncode == 0, done.stderr
        cls.model = path / "run" / "student"

    def events(self, server, body):
        """The choices of a stream's chunks, in the order in which they came."""
        status, _, text = server.request(
            "POST",
            "/v1/completions",
            json.dumps({**body, "stream": True}),
            {"Content-Type": "application/json"},
        )
        self.assertEqual(status, 200, text)
        chunks = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
        return [choice for chunk in chunks for choice in chunk["choices"]]

    def ids(self, length):
        return [5 + i % 90 for i in range(length)]

    def test_a_short_prompt_is_answered_while_a_long_one_is_read(self):
        with Server(self.model, "--threads", 1) as server:
            context = json.loads(server.request("GET", "/v1/models")[2])["data"][0]["meta"]["n_ctx"]
            prompts = [self.ids(context - 5), self.ids(context - 5), self.ids(2)]
            choices = self.events(server, {"prompt": prompts, "max_tokens": 2, "temperature": 0})
            ends = [c["index"] for c in choices if c["finish_reason"]]
            self.assertEqual(sorted(ends), [0, 1, 2])
            self.assertEqual(ends[0], 2, "the short one ends first")
            # Alone, read in other pieces, each has the same text.
            for index, prompt in enumerate(prompts):
                together = "".join(c["text"] for c in choices if c["index"] == index)
                alone = server.post(
                    "/v1/completions", {"prompt": prompt, "max_tokens": 2, "temperature": 0}
                )[1]
                self.assertEqual(together, alone["choices"][0]["text"])

    def test_who_left_is_neither_read_nor_scored(self):
        """More work than the queue holds, of clients that are gone: the next one is served."""
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        with Server(self.model, "--threads", 1) as server:
            for more in (
                {"max_tokens": 0, "echo": True, "logprobs": 5},
                {"max_tokens": 200},
                {"max_tokens": 200, "stream": True},
            ):
                body = json.dumps({"prompt": [LONG] * 8, "n": 8, **more})
                for _ in range(4):
                    with socket.create_connection(("127.0.0.1", server.port)) as client:
                        client.sendall((head.format(len(body)) + body).encode())
            self.assertEqual(server.request("GET", "/health")[0], 200)
            for _ in range(200):  # a connection that is closed is noticed a moment later
                status, answer = server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
                if status == 200:
                    self.assertEqual(answer["usage"]["completion_tokens"], 1)
                    return
                self.assertEqual(status, 503)
            self.fail("the places were never freed")


if __name__ == "__main__":
    program.main()
