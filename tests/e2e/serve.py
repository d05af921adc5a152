"""The server as its user meets it: addresses, keys, names, signals, clients that leave."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from program import Dialogue, alambic, tiny_recipe, write
from served import Server


class Serve(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        path = pathlib.Path(cls.folder.name)
        done = alambic("distill", write(path / "tiny.toml", tiny_recipe(4)), "--run-dir", path / "run")
        assert done.returncode == 0, done.stderr
        cls.model = path / "run" / "student"

    def test_it_is_named_after_its_directory_or_as_told(self):
        for options, name in (((), "student"), (("--name", "mine"), "mine")):
            with Server(self.model, *options) as server:
                _, _, text = server.request("GET", "/v1/models")
                self.assertEqual(json.loads(text)["data"][0]["id"], name)

    def test_addresses_that_others_reach_want_a_key(self):
        self.fails(2, "--api-key-env", "serve", self.model, "--host", "0.0.0.0", "--port", 0)
        self.fails(2, "NO_SUCH_KEY", "serve", self.model, "--api-key-env", "NO_SUCH_KEY", "--port", 0)
        self.fails(2, "--host", "serve", self.model, "--host", "example.com", "--port", 0)
        with Server(self.model, "--api-key-env", "THE_KEY", environment={**os.environ, "THE_KEY": "sesame"}) as server:
            self.assertEqual(server.request("GET", "/v1/models")[0], 401)
            self.assertEqual(server.request("GET", "/v1/models", headers={"Authorization": "Bearer sesame"})[0], 200)

    def test_a_port_in_use_is_one_line(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.fails(5, str(port), "serve", self.model, "--port", port)

    def test_a_chat_template_by_name_and_the_context_as_told(self):
        chat = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "max_tokens": 1}
        with Server(self.model) as plain, Server(self.model, "--chat-template", "chatml", "--max-context", 120) as templated:
            counts = [server.post("/v1/chat/completions", chat)[1]["usage"]["prompt_tokens"] for server in (plain, templated)]
            self.assertLess(counts[0], counts[1])
            long = {"prompt": "0123456789" * 20}
            self.assertEqual(templated.post("/v1/completions", long)[0], 400)
            self.assertEqual(plain.post("/v1/completions", {**long, "max_tokens": 1})[0], 200)
        self.fails(3, "no-such-format", "serve", self.model, "--chat-template", "no-such-format")

    def test_overload_is_said_at_once(self):
        with Server(self.model) as server:
            body = json.dumps({"prompt": ["a"] * 8, "n": 8, "max_tokens": 300, "stream": True}).encode()
            head = (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode()
            with socket.create_connection(("127.0.0.1", server.port)) as busy:
                busy.sendall(head + body)
                busy.recv(100)
                status, headers, _ = server.request("POST", "/v1/completions", json.dumps({"prompt": ["a"] * 30}),
                                                    {"Content-Type": "application/json"})
                self.assertEqual(server.request("GET", "/health")[0], 200)
            self.assertEqual(status, 503)
            self.assertIn("Retry-After", headers)
            for _ in range(100):  # those who left make room
                if server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})[0] == 200:
                    return
                time.sleep(0.1)
            self.fail("the queue never emptied")

    def test_a_signal_lets_a_running_answer_end(self):
        server = Server(self.model)
        server.__enter__()
        body = json.dumps({"prompt": "a", "max_tokens": 300, "stream": True, "seed": 1}).encode()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                               + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            text = connection.recv(200)
            server.process.send_signal(signal.SIGINT)
            while piece := connection.recv(65536):
                text += piece
        self.assertIn(b"data: [DONE]", text)
        self.assertEqual(server.process.wait(timeout=20), 0)
        server.process.stdout.close()
        server.process.stderr.close()

    def test_a_model_that_is_none_is_one_line(self):
        self.fails(3, "nothing-here", "serve", "nothing-here")
        self.assertEqual(subprocess.run([program.PROGRAM, "serve"], capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    program.main()
