"""HTTP as other people's clients speak it, and requests that ask for what the server cannot do."""

import program  # first: it skips where the interpreter lacks what the others need
import contextlib
import http.client
import json
import pathlib
import shutil
import socket
import tempfile

from program import Dialogue, alambic, tiny_recipe, write
from served import Server

JSON = {"Content-Type": "application/json"}


class Manners(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        path = pathlib.Path(cls.folder.name)
        done = alambic(
            "distill", write(path / "tiny.toml", tiny_recipe(4)), "--run-dir", path / "run"
        )
        assert done.returncode == 0, done.stderr
        cls.path, cls.model = path, path / "run" / "student"
        cls.server = Server(cls.model, "--name", "tiny", "--threads", 1)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=60)

    def talk(self, data, half_close=False):
        """Everything that comes until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            text = b""
            while piece := client.recv(65536):
                text += piece
            return text.decode()

    def complete(self, body, headers=None):
        return self.server.request(
            "POST", "/v1/completions", json.dumps(body), {**JSON, **(headers or {})}
        )

    def chat(self, messages, **more):
        return self.server.post(
            "/v1/chat/completions", {"messages": messages, "max_tokens": 1, **more}
        )

    def head(self, body, *lines, version="1.1", path="/v1/completions"):
        fields = "".join(
            f"{line}\r\n"
            for line in (
                "Host: localhost",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                *lines,
            )
        )
        return f"POST {path} HTTP/{version}\r\n{fields}\r\n".encode()

    # The connection

    def test_a_word_before_the_body(self):
        body = json.dumps({"prompt": "a", "max_tokens": 1, "stop": ["x" * 200]}).encode()
        with self.connect() as client:
            client.sendall(self.head(body, "Expect: 100-continue", "Connection: close"))
            self.assertEqual(client.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            client.sendall(body)
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
        self.assertTrue(self.talk(self.head(body, "Expect: 200-ok")).startswith("HTTP/1.1 417"))
        self.assertTrue(
            self.talk(self.head(range(5 << 20), "Expect: 100-continue")).startswith("HTTP/1.1 413")
        )

    def test_a_body_that_is_too_large_is_heard_out(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/completions", body=b" " * (12 << 20), headers=JSON)
            response = connection.getresponse()
            self.assertEqual(response.status, 413)
            self.assertIn("bytes", json.loads(response.read())["error"]["message"])

    def test_a_client_that_closes_its_half_is_answered(self):
        for stream in (False, True):
            body = json.dumps(
                {"prompt": "a b c", "max_tokens": 60, "n": 4, "stream": stream}
            ).encode()
            for version in ("1.0", "1.1"):
                text = self.talk(self.head(body, version=version) + body, half_close=True)
                self.assertTrue(text.startswith(f"HTTP/{version} 200"), text)
                self.assertIn("data: [DONE]" if stream else '"completion_tokens"', text)
        self.assertTrue(
            self.talk(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=True
            ).startswith("HTTP/1.1 200")
        )

    def test_a_connection_is_kept(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            sockets = set()
            for stream in (False, True, False):
                connection.request(
                    "POST",
                    "/v1/completions",
                    json.dumps({"prompt": "a", "max_tokens": 2, "stream": stream}),
                    JSON,
                )
                sockets.add(connection.sock)
                response = connection.getresponse()
                self.assertEqual(response.status, 200)
                if stream:
                    self.assertEqual(
                        response.headers["Content-Type"], "text/event-stream; charset=utf-8"
                    )
                response.read()
            self.assertEqual(len(sockets), 1)

    def test_methods_and_hosts(self):
        for method, path, allowed in (
            ("GET", "/v1/completions", "POST"),
            ("PUT", "/v1/chat/completions", "POST"),
            ("POST", "/v1/models", "GET, HEAD"),
            ("DELETE", "/health", "GET, HEAD"),
        ):
            status, headers, _ = self.server.request(method, path)
            self.assertEqual((status, headers["Allow"]), (405, allowed))
        self.assertEqual(self.server.request("GET", "/v1/nothing")[0], 404)
        self.assertEqual(self.server.request("HEAD", "/v1/models")[::2], (200, ""))
        for hosts in ("", "Host: localhost\r\nHost: localhost\r\n"):
            self.assertTrue(
                self.talk(f"GET /health HTTP/1.1\r\n{hosts}\r\n".encode()).startswith(
                    "HTTP/1.1 400"
                )
            )

    def test_headers_as_people_write_them(self):
        body = {"prompt": "a", "max_tokens": 1}
        for kind in ("application/json ; charset=utf-8", "APPLICATION/JSON;charset=UTF-8"):
            self.assertEqual(self.complete(body, {"Content-Type": kind})[0], 200, kind)
        host = f"127.0.0.1:{self.server.port}"
        for origin, status in (
            (f"http://{host}", 200),
            (f"https://{host}", 200),
            ("https://127.0.0.1", 403),
            ("https://page.example", 403),
        ):
            self.assertEqual(self.complete(body, {"Origin": origin})[0], status, origin)
        self.assertEqual(
            self.complete(
                body, {"Origin": "https://page.example", "X-Forwarded-Host": "page.example"}
            )[0],
            200,
        )

    def test_health_above_the_limit_of_connections(self):
        with contextlib.ExitStack() as stack:
            for _ in range(256):
                stack.enter_context(self.connect())
            status, headers, _ = self.server.request("GET", "/v1/models")
            self.assertEqual((status, "Retry-After" in headers), (503, True))
            self.assertEqual(self.server.request("GET", "/health")[0], 200)

    # The request

    def test_an_assistant_that_said_nothing(self):
        counts = []
        for silent in (
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": None},
            {"role": "assistant"},
        ):
            status, answer = self.chat(
                [{"role": "user", "content": "one"}, silent, {"role": "user", "content": "two"}]
            )
            self.assertEqual(status, 200, answer)
            counts.append(answer["usage"]["prompt_tokens"])
        self.assertEqual(len(set(counts)), 1)
        status, answer = self.chat([{"role": "user", "content": None}])
        self.assertEqual((status, answer["error"]["param"]), (400, "messages[0].content"))

    def test_what_would_bind_the_answer_is_never_ignored(self):
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        for field, value in {
            "json_schema": schema,
            "grammar": "root ::= [a-z]+",
            "regex": "[0-9]+",
            "structured_outputs": {"regex": "a"},
            "format": schema,
            "response_format": {"type": "json_object"},
            "guided_choice": ["a", "b"],
            "bad_words": ["a"],
            "repeat_penalty": 1.1,
            "min_p": 0.05,
            "logit_bias": {"7": -100},
            "ignore_eos": True,
            "min_tokens": 4,
            "stop_token_ids": [1],
            "thinking_budget": 10,
        }.items():
            for path, body in (
                ("/v1/completions", {"prompt": "a"}),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ):
                status, answer = self.server.post(path, {**body, "max_tokens": 1, field: value})
                self.assertEqual((status, answer["error"]["param"]), (400, field))
        for field, value in {
            "continue_final_message": True,
            "add_generation_prompt": False,
            "tool_choice": "required",
        }.items():
            status, answer = self.chat([{"role": "user", "content": "a"}], **{field: value})
            self.assertEqual((status, answer["error"]["param"]), (400, field))

    def test_what_asks_for_nothing_passes(self):
        status, answer = self.chat(
            [{"role": "user", "content": "a", "name": "ann"}],
            n=1.0,
            seed=3.0,
            presence_penalty=0,
            frequency_penalty=0.0,
            logit_bias={},
            min_p=0,
            top_k=-1,
            response_format={"type": "text"},
            tools=[],
            user="u",
            metadata={"k": "v"},
            store=False,
            parallel_tool_calls=True,
            service_tier="auto",
            continue_final_message=False,
            grammar="",
            regex=None,
        )
        self.assertEqual(status, 200, answer)
        self.assertEqual(self.complete({"prompt": "a", "max_tokens": 1000.0, "top_k": 5.0})[0], 200)
        self.assertEqual(self.complete({"prompt": "a", "max_tokens": 10.5})[0], 400)

    def test_variables_of_the_template_are_not_the_conversation(self):
        for key in ("messages", "tools", "add_generation_prompt", "eos_token"):
            status, answer = self.chat(
                [{"role": "user", "content": "a"}], chat_template_kwargs={key: []}
            )
            self.assertEqual(
                (status, answer["error"]["param"]), (400, f"chat_template_kwargs.{key}")
            )

    def test_usage_in_a_stream_is_null_until_it_comes(self):
        _, _, text = self.complete(
            {
                "prompt": "a",
                "max_tokens": 3,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
        usage = [
            json.loads(line[6:])["usage"]
            for line in text.split("\n\n")
            if line.startswith("data: {")
        ]
        self.assertTrue(all(u is None for u in usage[:-1]))
        self.assertEqual(usage[-1]["completion_tokens"], 3)

    # The model

    def test_a_prompt_goes_into_the_template_it_was_trained_in(self):
        """As generate has it, which knows the model's card."""
        card = json.loads((self.model / "config.json").read_text())["alambic"]
        self.assertNotEqual(card["prompt_template"], "{prompt}")
        written = self.json_of(
            "generate", self.model, "--prompt", "hello there", "--max-tokens", 12, "--json"
        )["text"]
        _, _, text = self.complete({"prompt": "hello there", "max_tokens": 12, "temperature": 0})
        self.assertEqual(json.loads(text)["choices"][0]["text"], written)

    def test_a_classifier_answers_with_a_label(self):
        labels = ["spring tide", "spring", "autumn"]
        model = self.path / "classifier"
        shutil.copytree(self.model, model)
        config = json.loads((model / "config.json").read_text())
        config["alambic"]["labels"] = labels
        write(model / "config.json", json.dumps(config))
        with Server(model, "--threads", 1) as server:
            for seed in range(4):
                body = {"seed": seed, "temperature": 1.5}
                texts = [
                    server.post("/v1/completions", {"prompt": "when?", **body})[1]["choices"][0][
                        "text"
                    ],
                    server.post(
                        "/v1/chat/completions",
                        {"messages": [{"role": "user", "content": "when?"}], **body},
                    )[1]["choices"][0]["message"]["content"],
                ]
                self.assertEqual(texts[0], texts[1])
                self.assertIn(texts[0], labels)


if __name__ == "__main__":
    program.main()
