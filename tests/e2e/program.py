"""What the dialogues share: running the built program, a tiny recipe, and where real data may lie.

Each dialogue is called as `python3 NAME.py PROGRAM`; 77 is the exit status of a dialogue that had to skip everything.
"""

import os
import pathlib
import subprocess
import sys
import unittest

SKIPPED = 77
try:
    import json
except ImportError:  # the minimal interpreter
    print("skipped: this Python has no json module; install python3")
    sys.exit(SKIPPED)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("ALAMBIC_DATA", SOURCE.parent / "shared" / "data"))
PROGRAM = None  # set by main()


def sanitised():
    """Whether the program was built to watch its own memory, and so takes more of it."""
    return b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()


TINY_RECIPE = """\
name = "tiny"
task = "exact"
vocabulary = 400
[data]
limit = 60
validation = 10
test_limit = 8
max_tokens = 400
[teacher]
dim = 32
layers = 1
heads = 2
kv_heads = 2
ffn = 64
[teacher.train]
steps = STEPS
tokens_per_step = 1024
checkpoint_seconds = 0.02
[student]
dim = 16
layers = 1
heads = 2
kv_heads = 1
ffn = 32
[student.train]
steps = STEPS
tokens_per_step = 1024
checkpoint_seconds = 0.02
[objective]
alpha = 0.5
draft_weight = 0.5
block = 4
[eval]
max_new_tokens = 12
speed_prompts = 2
samples = 1
block = 4
"""


def tiny_recipe(steps):
    return TINY_RECIPE.replace("STEPS", str(steps))


def alambic(*arguments, timeout=300, **keywords):
    """The finished program, its output as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=timeout, text=True,
                          errors="surrogateescape", check=False, **keywords)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


class Dialogue(unittest.TestCase):
    def succeeds(self, *arguments, **keywords):
        done = alambic(*arguments, **keywords)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def json_of(self, *arguments, **keywords):
        return json.loads(self.succeeds(*arguments, **keywords))

    def fails(self, status, mentions, *arguments, **keywords):
        """One line on standard error that names what is wrong, nothing on standard output, and the exit status."""
        done = alambic(*arguments, **keywords)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stderr}")
        self.assertEqual(done.stdout, "")
        # What became of the data is said before work begins, whatever happens then.
        said = ("note: ", "data: ", "plan: ", "teacher: ", "left out", "not used: ", "contamination: ", "warning: [")
        lines = [line for line in done.stderr.splitlines() if not line.startswith(said)]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("alambic: "), lines[0])
        for mention in [mentions] if isinstance(mentions, str) else mentions:
            self.assertIn(str(mention), lines[0])
        return lines[0]


def main():
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
