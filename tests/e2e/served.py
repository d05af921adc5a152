"""A running `alambic serve` for the dialogues that talk to one."""

import contextlib
import http.client
import json
import re
import signal
import subprocess

import program


class Server:
    """`with Server(model, ...) as server`: the program on a free port; ended by SIGTERM, which must give exit status 0."""

    def __init__(self, model, *options, environment=None):
        self.command = [program.PROGRAM, "serve", str(model), "--port", "0", *map(str, options)]
        self.environment = environment

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
        if not found:
            raise AssertionError(f"{line!r}: {self.process.communicate(timeout=60)[1]}")
        self.port = int(found.group(1))
        self.url = found.group(0)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise AssertionError(f"exit status {self.process.returncode}: {errors}")

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, text of the body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode("utf-8")

    def post(self, path, body, **headers):
        """(status, parsed body)"""
        status, _, text = self.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        return status, json.loads(text)
