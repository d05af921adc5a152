"""An OpenAI-compatible endpoint that misbehaves on purpose, for the dialogues of the endpoint teacher."""

import collections
import http.server
import json
import threading
import time


def answer_to(prompt):
    return f"The answer to {prompt} is {len(prompt)}."


class StandIn:
    """`with StandIn(faults) as endpoint`: faults[i % len(faults)] happens to the i-th question; None is a good answer.

    `asked` counts questions by prompt, `answered` those that got a whole, good answer.
    """

    def __init__(self, faults=(None,), top=5, delay=0.0, key=None):
        self.faults, self.top, self.delay, self.key = list(faults), top, delay, key
        self.asked, self.answered = collections.Counter(), collections.Counter()
        self.running = self.most_running = self.count = 0
        self.starts = []
        self.lock = threading.Lock()

    def __enter__(self):
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                stand_in.handle(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def handle(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if not handler.path.endswith("/chat/completions"):
            self.send(handler, 404, "")
            return
        prompt = body["messages"][-1]["content"]
        probe = prompt.startswith("Hello!")
        with self.lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.starts.append(time.monotonic())
            fault = None
            if not probe:
                self.asked[prompt] += 1
                fault = self.faults[self.count % len(self.faults)]
                self.count += 1
        try:
            time.sleep(self.delay)
            if self.key is not None and handler.headers.get("Authorization") != f"Bearer {self.key}":
                self.send(handler, 401, json.dumps({"error": {"message": "no key"}}))
            elif self.reply(handler, body, prompt, fault) and not probe:
                with self.lock:
                    self.answered[prompt] += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.running -= 1

    @staticmethod
    def send(handler, status, text, content_type="application/json", length=None, headers=()):
        data = text.encode("utf-8")
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def reply(self, handler, body, prompt, fault):
        """True where the answer is whole and good."""
        good = json.dumps(self.good(body, prompt))
        if fault is None:
            self.send(handler, 200, good)
            return True
        if fault == "drop":
            handler.close_connection = True
        elif fault == "late":
            time.sleep(3)
        elif fault == "short":  # says more than it sends
            self.send(handler, 200, good[: len(good) // 2], length=len(good))
        elif fault == "half":
            self.send(handler, 200, good[: len(good) // 2])
        elif fault == "html":
            self.send(handler, 200, "<!DOCTYPE html><html><body>gateway</body></html>", "text/html")
        elif fault == "types":
            self.send(handler, 200, json.dumps({"choices": [{"message": {"content": ["no", 1]}}]}))
        elif fault == "garbled":
            self.send(handler, 200, good.replace('"choices"', '"choi\\u0000ces"'))
        elif fault == "busy":
            self.send(handler, 429, json.dumps({"error": {"message": "slow down"}}), headers=[("Retry-After", "1")])
        elif fault == "broken":
            self.send(handler, 500, "oops")
        elif fault == "quoting":
            self.send(handler, 400, json.dumps({"error": {"message": "you sent " + str(handler.headers.get("Authorization"))}}))
        elif fault in ("endless", "drip"):
            self.never_end(handler, slow=fault == "drip")
        return False

    @staticmethod
    def never_end(handler, slow):
        """A body without an end: as fast as it is read, or a byte now and then. Returns when the reader is gone."""
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * (1 if slow else 65536))
                if slow:
                    time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    def good(self, body, prompt):
        text = answer_to(prompt)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
        if body.get("logprobs") and self.top:
            wanted = min(self.top, body.get("top_logprobs", 0))
            choice["logprobs"] = {"content": [
                {"token": c, "logprob": -0.1, "bytes": [ord(c)],
                 "top_logprobs": [{"token": chr(97 + k), "logprob": -0.1 - 3 * k, "bytes": [97 + k]} for k in range(wanted)]}
                for c in text]}
        return {"id": "x", "object": "chat.completion", "model": body["model"], "system_fingerprint": "fp_1", "choices": [choice],
                "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}}
