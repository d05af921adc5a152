"""On-policy distillation: a student writes, its teacher marks what it wrote, and the student learns the marks."""

import program  # first: it skips where the interpreter lacks what the others need
import hashlib
import http.server
import json
import pathlib
import shutil
import tempfile
import threading

from program import Dialogue, alambic, tiny_recipe, write
from served import Server
from stand_in import StandIn

STEPS = 30
ON_POLICY = ["--set=objective.on_policy=0.4", "--set=objective.on_policy_texts=20", "--set=signals.max_new_tokens=24"]


def weights(directory):
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()


class PromptScorer:
    """Says what `alambic serve` says, as vLLM does: the prompt's log-probabilities apart, and no echo."""

    def __init__(self, server):
        self.server, self.scored = server, 0

    def __enter__(self):
        scorer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = scorer.answer(body)
                StandIn.send(self, status, json.dumps(answer))

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, body):
        if "echo" in body or "messages" in body:
            return 400, {"error": {"message": "echo is not served here", "param": "echo"}}
        top = body.pop("prompt_logprobs", None)
        if top is None:
            return self.server.post("/v1/completions", body)
        status, answer = self.server.post("/v1/completions", {**body, "echo": True, "logprobs": top, "max_tokens": 0})
        if status != 200:
            return status, answer
        choice = answer["choices"][0]
        lists = choice.pop("logprobs")
        scores = []
        for token, own, others in zip(lists["tokens"], lists["token_logprobs"], lists["top_logprobs"]):
            entries = {token: own, **others} if own is not None else None
            scores.append(entries and {str(1000 - i): {"logprob": p, "decoded_token": name} for i, (name, p) in enumerate(entries.items())})
        choice["prompt_logprobs"] = scores
        with self.lock:
            self.scored += 1
        return 200, answer

    lock = threading.Lock()


class OnPolicy(Dialogue):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.recipe = write(cls.path / "tiny.toml", tiny_recipe(STEPS))
        done = alambic("distill", cls.recipe, *ON_POLICY, "--run-dir", cls.path / "local", "--json")
        assert done.returncode == 0, done.stderr
        cls.report = json.loads(done.stdout)
        cls.teacher = cls.path / "teacher"
        shutil.copytree(cls.path / "local" / "teacher", cls.teacher)

    def lines(self, run):
        text = (run / "on_policy" / "metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def note(self, report):
        notes = [n for n in report["notes"] if n.startswith("on-policy: the student wrote")]
        self.assertEqual(len(notes), 1, report["notes"])
        return notes[0]

    def cost(self, run):
        return json.loads((run / "on_policy" / "on_policy.json").read_text(encoding="utf-8"))

    def test_the_last_steps_learn_what_the_student_wrote(self):
        run = self.path / "local"
        self.assertNotEqual(weights(run / "on_policy"), weights(run / "student"))
        cost = self.cost(run)
        self.assertEqual(cost["texts"], 20 * cost["rounds"])
        self.assertGreaterEqual(cost["rounds"], 1)
        self.assertEqual(cost["marked"], cost["written"])  # its own tokens: all of them
        self.assertGreater(cost["teacher_tokens"], cost["written"])
        self.assertIn("on_policy", [arm["name"] for arm in self.report["arms"]])
        note = self.note(self.report)
        self.assertIn(f"{cost['texts']} texts", note)
        self.assertIn(f"{cost['teacher_tokens']} tokens", note)
        for line in self.lines(run):
            on_policy = line["step"] > 0.6 * STEPS
            self.assertEqual("round" in line, on_policy, line)
            if line["step"] > 0.6 * STEPS + 10:
                self.assertIn("on_policy", line)
                self.assertNotIn("kl", line)
        stored = self.json_of("inspect", run / "on_policy" / "on_policy.sqlite", "--json", "--rows", 100)
        self.assertEqual(stored["header"]["kind"], "topk")
        self.assertEqual(len(stored["first_rows"]), 20)
        # What is finished is found again, its cost as well.
        again = self.json_of("distill", self.recipe, *ON_POLICY, "--run-dir", run, "--resume", "--json")
        self.assertEqual(self.note(again), note)

    def test_another_vocabulary_is_marked_by_bytes(self):
        mine = ["--set=signals.kind=topk", "--set=student.init=random", "--set=student.tokenizer=train",
                "--set=vocabulary=330", f"--set=teacher.model={json.dumps(str(self.teacher))}"]
        run = self.path / "bytes"
        report = self.json_of("distill", self.recipe, *ON_POLICY, *mine, "--set=objective.on_policy_divergence=jsd", "--run-dir", run,
                              "--json")
        cost = self.cost(run)
        self.assertLess(cost["marked"], cost["written"])
        self.assertGreater(cost["marked"], 0.2 * cost["written"])
        self.assertIn("its marks reach", self.note(report))

    def endpoint(self, url, *more):
        return [f"--set=teacher.endpoint={json.dumps(url)}", "--set=teacher.model=tiny",
                f"--set=teacher.tokenizer={json.dumps(str(self.teacher))}", "--set=signals.kind=text", "--set=signals.count=5",
                "--set=signals.texts=both", "--set=signals.cut=keep", "--set=objective.alpha=0",
                "--set=student.init=random", *more]

    def test_an_endpoint_marks_where_it_scores_given_texts(self):
        run = self.path / "endpoint"
        with Server(self.teacher, "--name", "tiny") as server:
            report = self.json_of("distill", self.recipe, *ON_POLICY, *self.endpoint(server.url), "--run-dir", run, "--json")
        cost = self.cost(run)
        self.assertGreater(cost["marked"], 0)
        self.assertGreater(cost["requests"], cost["rounds"])
        self.assertEqual(cost["teacher_tokens"], cost["prompt_tokens"] + cost["completion_tokens"])
        self.assertIn(f"read {cost['teacher_tokens']} tokens", self.note(report))

    def test_an_endpoint_that_scores_prompts_apart_marks_alike(self):
        run = self.path / "apart"
        with Server(self.teacher, "--name", "tiny") as server, PromptScorer(server) as endpoint:
            self.succeeds("distill", self.recipe, *ON_POLICY, *self.endpoint(endpoint.url, "--set=teacher.api=completions"), "--run-dir", run)
            self.assertGreater(endpoint.scored, 20)
        self.assertGreater(self.cost(run)["marked"], 0)

    def test_an_endpoint_without_log_probabilities_is_refused_before_any_work(self):
        run = self.path / "refused"
        with StandIn() as endpoint:
            self.fails(2, ["does not score given texts", "objective.on_policy = 0"], "distill", self.recipe, *ON_POLICY,
                       *self.endpoint(endpoint.url), "--run-dir", run)
            self.assertEqual(sum(endpoint.asked.values()), 0)
        self.assertFalse(run.exists())

    def test_training_without_a_teacher_has_nobody_to_mark(self):
        self.fails(2, ["on_policy", "alambic distill"], "train", self.recipe, "--set=objective.on_policy=0.4", "--out",
                   self.path / "trained")


if __name__ == "__main__":
    program.main()
