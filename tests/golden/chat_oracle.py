"""What Python makes of chat templates: jinja2, set up as transformers documents it for chat templates, at a fixed time.

Used by make_chat_goldens.py and check_chat_templates.py; wants `jinja2` alone. With `transformers` at hand,
check_chat_oracle.py holds this against its own environment.
"""

import datetime
import functools
import json
import os
import time

from oracle import need

need("jinja2")
import jinja2  # noqa: E402
import jinja2.ext  # noqa: E402
import jinja2.sandbox  # noqa: E402

os.environ["TZ"] = "UTC"
time.tzset()
NOW = 1700000000  # 14 November 2023, 22:13:20 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %}: notes between which characters of the output its body stands."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("note"), [], [], body, lineno=line)

    def note(self, caller):
        text = caller()
        begin = sum(map(len, self.environment.written))
        self.environment.spans.append((begin, begin + len(text)))
        return text


class Dictionary:
    """`dict` of a template: it makes dictionaries, and has no other attributes."""

    def __call__(self, *pairs, **named):
        return dict(*pairs, **named)

    def fromkeys(self, *arguments):
        return dict.fromkeys(*arguments)


class Namespace(jinja2.utils.Namespace):
    """`namespace` of a template: no name in it begins with an underscore."""

    def __init__(*arguments, **named):
        for name in dict(*arguments[1:], **named):
            refuse_underscore(name)
        jinja2.utils.Namespace.__init__(*arguments, **named)

    def __setitem__(self, name, value):
        refuse_underscore(name)
        super().__setitem__(name, value)


def refuse_underscore(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(form):
    return datetime.datetime.fromtimestamp(NOW).strftime(form)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.lru_cache(maxsize=16)
def compiled(source):
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals.update(raise_exception=raise_exception, strftime_now=strftime_now, dict=Dictionary(), namespace=Namespace)
    made.written, made.spans = [], []
    return made.from_string(source)


def variables_of(case):
    given = {"messages": case["messages"], "tools": case.get("tools"), "documents": None,
             "add_generation_prompt": case.get("add_generation_prompt", False)}
    return given | case.get("variables", {})


def outcome(write, case):
    """The text and the [begin, end) bytes between generation markers, or None and what Python raised."""
    try:
        text, spans = write(variables_of(case))
        text.encode()  # half a surrogate pair is no text
        return text, [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in spans]
    except Exception as error:  # whatever a template runs into
        return None, f"{type(error).__name__}: {error}"


def render(source, case):
    def write(variables):
        template = compiled(source)
        written, spans = template.environment.written, template.environment.spans
        written.clear()
        spans.clear()
        for block in template.generate(**variables):
            written.append(block)
        return "".join(written), list(spans)

    return outcome(write, case)
