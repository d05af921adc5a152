"""Holds chat_oracle.py against transformers' own environment: every recorded template, and those of tests/golden/templates.

    build/oracles-torch/bin/python tests/golden/check_chat_oracle.py
Wants `transformers` and `jinja2`.
"""

import copy
import datetime
import json
import sys

from oracle import HERE, need

need("transformers", by="make oracles-torch")
from transformers.utils import chat_template_utils  # noqa: E402

from chat_oracle import NOW, outcome, render  # noqa: E402
from check_chat_templates import matrix  # noqa: E402


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


chat_template_utils.datetime = FixedTime


def render_there(source, case):
    def write(variables):
        compiled = chat_template_utils._compile_jinja_template(source)
        blocks, spans = [], []
        with compiled.environment.activate_tracker(blocks, spans):
            for block in compiled.generate(**variables):
                blocks.append(block)
        return "".join(blocks), spans

    return outcome(write, case)


def cases():
    recorded = json.loads((HERE / "chat_templates.json").read_text())
    for context, source, *_ in recorded["cases"]:
        yield source, recorded["contexts"][context]
    for path in sorted((HERE / "templates").glob("*.jinja")):
        for _, case in matrix():
            yield path.read_text(encoding="utf-8"), case


def main():
    count = wrong = 0
    for source, case in cases():
        want, got = (f(source, copy.deepcopy(case)) for f in (render_there, render))
        count += 1
        if want != got and (want[0] is not None or got[0] is not None):
            wrong += 1
            print(f"{source[:300]!r}\n  transformers {want!r}\n  here         {got!r}"[:1500])
    print(f"{count} cases, {wrong} differ")
    sys.exit(wrong > 0)


main()
