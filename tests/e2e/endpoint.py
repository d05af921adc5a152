"""A teacher behind an endpoint: `alambic serve` itself, and one that drops, delays, truncates and garbles."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import os
import pathlib
import subprocess
import tempfile
import time

from program import Dialogue, alambic, tiny_recipe, write
from served import Server
from stand_in import StandIn, answer_to

FAULTS = ["drop", None, None, "half", None, "busy", None, None, "html", None, "types", None, None, "short", None, "broken", None, None,
          "garbled", None, "late", None, None]


class Endpoint(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.recipe = write(cls.path / "tiny.toml", tiny_recipe(40))
        done = alambic("distill", cls.recipe, "--run-dir", cls.path / "made")
        assert done.returncode == 0, done.stderr
        cls.model = cls.path / "made" / "student"
        cls.prompts = [f"Where is order {i}?" for i in range(40)]
        cls.data = write(cls.path / "prompts.jsonl", "".join(json.dumps({"prompt": p}) + "\n" for p in cls.prompts))

    def setUp(self):
        self.store = self.path / f"{self.id().rsplit('.', 1)[-1]}.sqlite"

    def teach(self, endpoint, *more):
        usual = {"--endpoint": endpoint.url, "--tokenizer": self.model, "--data": self.data, "--texts": "teacher",
                 "--kind": "text", "--out": self.store}
        rest = [item for name, value in usual.items() if name not in more for item in (name, value)]
        return ["teach", "stand-in", *rest, *more]

    def rows(self, store=None):
        return self.json_of("inspect", store or self.store, "--json", "--rows", 1000)["first_rows"]


    def test_it_says_what_the_same_model_says_as_a_directory(self):
        """Texts, tokens and probabilities: written by the teacher, and of given texts."""
        data = write(self.path / "both.jsonl", "".join(
            json.dumps({"prompt": p, "completion": f"{i} is on its way."}) + "\n" for i, p in enumerate(self.prompts)))
        with Server(self.model, "--name", "tiny") as server:
            for texts in ("teacher", "gold"):
                shared = ["--data", data, "--texts", texts, "--kind", "topk", "--count", 4, "--max-tokens", 24, "--cut", "keep"]
                exports = [self.path / f"{texts}-{name}.jsonl" for name in ("local", "endpoint")]
                self.succeeds("teach", self.model, *shared, "--precision", "fp32", "--out", self.path / f"{texts}-l.sqlite",
                              "--export", exports[0])
                self.succeeds("teach", "tiny", "--endpoint", server.url, "--tokenizer", self.model, "--api",
                              "completions" if texts == "gold" else "chat", *shared,
                              "--out", self.path / f"{texts}-e.sqlite", "--export", exports[1])
                local, endpoint = ([json.loads(line) for line in e.read_text(encoding="utf-8").splitlines()[1:]] for e in exports)
                self.assertEqual(len(local), len(self.prompts))
                compared = 0
                for a, b in zip(local, endpoint):
                    self.assertEqual((a["text"], a["prompt_tokens"]), (b["text"], b["prompt_tokens"]))
                    if texts == "gold":
                        self.assertEqual(a["tokens"], b["tokens"])
                    if texts == "gold" or a["tokens"] != b["tokens"]:
                        continue  # a given text is scored behind the bare prompt, without the student's template
                    for x, y in zip(a["signals"], b["signals"]):
                        if not y["ids"]:
                            continue
                        self.assertEqual(x["ids"], y["ids"])
                        # The server gives a mask, which nobody can write, no share of the probability.
                        for p, q in zip(x["probabilities"], y["probabilities"]):
                            self.assertAlmostEqual(p / sum(x["probabilities"]), q / sum(y["probabilities"]), delta=1e-3)
                        compared += 1
                if texts == "teacher":
                    self.assertGreater(compared, 200)

    def test_a_run_with_an_endpoint_as_its_teacher(self):
        with Server(self.model, "--name", "tiny") as server:
            run = self.path / "by-endpoint"
            settings = [f"--set=teacher.endpoint={json.dumps(server.url)}", "--set=teacher.model=tiny", f"--set=teacher.tokenizer={json.dumps(str(self.model))}",
                        "--set=signals.kind=topk", "--set=signals.count=5", "--set=signals.max_new_tokens=16", "--set=signals.cut=keep"]
            report = self.json_of("distill", self.recipe, *settings, "--run-dir", run, "--json")
            self.assertEqual(report["teacher"]["name"], "tiny")
            self.assertIsNotNone(report["teacher"]["score"])
            self.assertIn(server.url, " ".join(report["notes"]))
            header = self.json_of("inspect", run / "signals.sqlite", "--json")["header"]
            self.assertEqual((header["teacher_id"], header["endpoint"]), ("tiny", server.url))
            self.fails(2, "alpha", "distill", self.recipe, *settings, "--set=signals.kind=text", "--run-dir", self.path / "no")
            self.fails(2, "draws", "distill", self.recipe, *settings, "--set=signals.kind=draws", "--run-dir", self.path / "no")

    def test_faults_lose_nothing_and_nothing_good_is_asked_for_twice(self):
        with StandIn(FAULTS) as endpoint:
            self.succeeds(*self.teach(endpoint, "--timeout", 1.5, "--concurrency", 8))
            self.assertEqual(set(endpoint.answered), set(self.prompts))
            self.assertEqual(max(endpoint.answered.values()), 1)
            self.assertLessEqual(endpoint.most_running, 9)  # a late one is still asleep there
        rows = self.rows()
        self.assertEqual([r["text"] for r in rows], [answer_to(p) for p in self.prompts])

    def measured(self, *arguments):
        """Standard error, the exit status, seconds and the most memory that the program held, in MiB."""
        begin = time.monotonic()
        with subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True) as child:
            said = child.stderr.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        return said, child.returncode, time.monotonic() - begin, usage.ru_maxrss / 1024

    def test_bodies_that_never_end_cost_one_attempt_and_little_memory(self):
        with StandIn() as endpoint:
            _, status, _, usual = self.measured(*self.teach(endpoint, "--out", self.path / "usual.sqlite"))
            self.assertEqual(status, 0)
        with StandIn(["endless", None, None, "drip", None, None, None]) as endpoint:
            said, status, _, peak = self.measured(*self.teach(endpoint, "--timeout", 1.5, "--concurrency", 2))
            self.assertEqual(status, 0, said)
            self.assertEqual(set(endpoint.answered), set(self.prompts))
            self.assertEqual(max(endpoint.answered.values()), 1)
        self.assertEqual([r["text"] for r in self.rows()], [answer_to(p) for p in self.prompts])
        # An answer is cut off at 16 MiB; a buffer that grows may be twice that, for two calls at once.
        if not program.sanitised():
            self.assertLess(peak - usual, 2 * 2 * 16 + 8)

    def test_an_endpoint_that_never_ends_an_answer_is_one_clear_line_in_time(self):
        import http.server
        import threading

        for slow, mention in ((False, "longer than 16777216 bytes"), (True, "imeout")):
            class Endless(http.server.BaseHTTPRequestHandler):
                never_slow = slow

                def do_GET(self):
                    StandIn.never_end(self, self.never_slow)

                def log_message(self, *_):
                    pass

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            # Without a name, the endpoint is asked for its models, once.
            said, status, seconds, _ = self.measured(
                "teach", "", "--endpoint", f"http://127.0.0.1:{server.server_port}/v1", "--tokenizer", self.model, "--data",
                self.data, "--texts", "teacher", "--kind", "text", "--timeout", 1, "--out", self.path / f"endless-{slow}.sqlite")
            server.shutdown()
            server.server_close()
            self.assertEqual(status, 5, said)
            self.assertIn(mention, said.splitlines()[-1])
            self.assertLess(seconds, 1 + 5)

    def stored_prompts(self):
        """Of a store whose writer was killed, perhaps before there was anything to read."""
        done = alambic("inspect", self.store, "--json", "--rows", 1000)
        if done.returncode == 0:
            return {r["prompt"] for r in json.loads(done.stdout)["first_rows"]}
        self.assertRegex(done.stderr, "does not exist|holds nothing yet|no such file")
        return set()

    def test_kill_9_keeps_every_stored_answer_and_asks_for_none_of_them_again(self):
        with StandIn(delay=0.05) as endpoint:
            command = [program.PROGRAM, *map(str, self.teach(endpoint, "--concurrency", 2))]
            for _ in range(4):
                child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(0.4)
                child.kill()
                child.wait()
                stored = self.stored_prompts()
                before = dict(endpoint.asked)
            self.succeeds(*self.teach(endpoint))
            for prompt in stored:
                self.assertEqual(endpoint.asked[prompt], before[prompt])
            # An answer on its way when the process died is the most that is paid twice.
            self.assertLessEqual(max(endpoint.asked.values()), 2 + 3)
        self.assertGreater(len(stored), 4)
        self.assertEqual(len(self.rows()), len(self.prompts))

    def test_caps_end_the_gathering_and_keep_what_is_stored(self):
        with StandIn() as endpoint:
            self.fails_after_output(7, "max_total_tokens", *self.teach(endpoint, "--max-total-tokens", 700, "--max-tokens", 20))
            spent = self.json_of("inspect", self.store, "--json")["spent"]
            self.assertLessEqual(spent["prompt_tokens"] + spent["completion_tokens"], 700)
            first = len(self.rows())
            self.assertGreater(first, 10)
            self.fails_after_output(7, "max_cost", *self.teach(
                endpoint, "--max-cost", 0.0003, "--price-in", 1, "--price-out", 1, "--max-tokens", 20))
            self.assertEqual(max(endpoint.answered.values()), 1)
            self.succeeds(*self.teach(endpoint, "--max-tokens", 20))
        self.assertEqual(len(self.rows()), len(self.prompts))

    def fails_after_output(self, status, mention, *arguments):
        """As fails(), where progress or findings may come before the one line of the error."""
        done = alambic(*arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        errors = [line for line in done.stderr.splitlines() if line.startswith("alambic: ")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertIn(mention, errors[0])
        return errors[0]

    def test_a_key_is_sent_and_neither_stored_nor_shown(self):
        key = "sk-very-secret-0123456789"
        environment = {**os.environ, "STAND_IN_KEY": key}
        with StandIn(["quoting", None], key=key) as endpoint:
            done = alambic(*self.teach(endpoint, "--api-key-env", "STAND_IN_KEY", "--concurrency", 1), env=environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("you sent Bearer ****", done.stderr)
            self.assertNotIn(key, done.stderr + done.stdout)
            for file in self.path.rglob("*"):
                if file.is_file():
                    self.assertNotIn(key.encode(), file.read_bytes(), file)
            error = self.fails_after_output(5, "401", *self.teach(endpoint, "--out", self.path / "keyless.sqlite"))
            self.assertIn("no key", error)
            self.fails(2, "NOT_THERE", *self.teach(endpoint, "--api-key-env", "NOT_THERE"))

    def test_what_is_no_endpoint_is_one_clear_line(self):
        import http.server
        import threading

        class Page(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                StandIn.send(self, 404, "<html>not here</html>", "text/html")

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        arguments = ["teach", "x", "--endpoint", url, "--tokenizer", self.model, "--data", self.data, "--texts", "teacher",
                     "--kind", "text", "--out", self.store]
        self.fails_after_output(5, "404: <html>not here</html>", *arguments)
        server.shutdown()
        server.server_close()
        self.fails_after_output(2, "http", *arguments[:3], "ftp://x", *arguments[4:])
        self.fails_after_output(2, "name and password", *arguments[:3], "http://me:secret@host/v1", *arguments[4:])

    def test_an_endpoint_with_fewer_alternatives_says_how_many(self):
        with StandIn(top=5) as endpoint:
            self.fails_after_output(2, "signals.count = 5", *self.teach(endpoint, "--kind", "topk", "--count", 12))
        with StandIn(top=0) as endpoint:
            self.fails_after_output(2, "no log-probabilities", *self.teach(
                endpoint, "--kind", "topk", "--count", 12, "--out", self.path / "none.sqlite"))

    def test_requests_per_minute_are_kept_to(self):
        data = write(self.path / "few.jsonl", "".join(json.dumps({"prompt": p}) + "\n" for p in self.prompts[:6]))
        with StandIn() as endpoint:
            self.succeeds(*self.teach(endpoint, "--data", data, "--requests-per-minute", 240))
            gaps = [b - a for a, b in zip(endpoint.starts[1:], endpoint.starts[2:])]
        self.assertGreater(min(gaps), 0.2)


if __name__ == "__main__":
    program.main()
