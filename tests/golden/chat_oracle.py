"""What Python makes of chat templates: jinja2 under transformers' own settings, at a fixed time.

Used by make_chat_goldens.py and check_chat_templates.py; wants `transformers` and `jinja2`.
"""

import datetime
import os
import time

os.environ["TZ"] = "UTC"
time.tzset()

from transformers.utils import chat_template_utils  # noqa: E402

NOW = 1700000000  # 14 November 2023, 22:13:20 UTC


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


chat_template_utils.datetime = FixedTime


def render(source, case):
    """The text and the [begin, end) bytes between generation markers, or None and what Python raised."""
    variables = {"messages": case["messages"], "tools": case.get("tools"), "documents": None,
                 "add_generation_prompt": case.get("add_generation_prompt", False)}
    variables |= case.get("variables", {})
    try:
        compiled = chat_template_utils._compile_jinja_template(source)
        blocks, spans = [], []
        with compiled.environment.activate_tracker(blocks, spans):
            for block in compiled.generate(**variables):
                blocks.append(block)
        text = "".join(blocks)
        text.encode()  # half a surrogate pair is no text
        spans = [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in spans]
        return text, spans
    except Exception as error:  # whatever a template runs into
        return None, f"{type(error).__name__}: {error}"
