"""Compares alambic's rendering of chat templates with Python jinja2's, byte for byte.

Run from the repository root with `jinja2` installed:
    build/oracles/bin/python tests/golden/check_chat_templates.py build/release/src/alambic/text/text_test [FOLDER ...]

The built-in templates and those of tests/golden/templates take part. Published templates are other people's and are not
stored here; name folders of *.jinja files to add them. Every template meets conversations with and without system message,
several turns, tools, tool calls and results, content in parts, add_generation_prompt and enable_thinking. Where Python
raises, alambic must refuse too.
"""

import collections
import copy
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from chat_oracle import NOW, render
from oracle import HERE

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather now, in \"plain\" words <b>&amp;</b>",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "A city: Genève, 東京"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "array", "items": {"type": "integer"}},
            "where": {"type": "object", "properties": {"lat": {"type": "number"}}}},
            "required": ["city"]}}},
    {"type": "function", "function": {
        "name": "add", "description": "a + b",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "number"}},
                       "required": ["a", "b"]},
        "return": {"type": "number", "description": "The sum"}}}]

SYSTEM = {"role": "system", "content": "You are terse.\nToday is rainy. "}
USER = {"role": "user", "content": "Hi there! "}
ASSISTANT = {"role": "assistant", "content": " Hello; how are you?\n"}
THINKING = {"role": "assistant", "content": "<think>\nLet me see…\n</think>\n\nIt is 4 ❤."}
REASONED = {"role": "assistant", "content": "It is 4.", "reasoning_content": "2 and 2"}
MORE = {"role": "user", "content": "And 2+2?\n\n"}


def calls(arguments, identity=True, content=None):
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    if identity:
        call["id"] = "abcdef123"
    return {"role": "assistant", "content": content, "tool_calls": [call]}


def conversations():
    arguments = {"city": "Paris", "days": [1, 2], "deep": {"a": None, "b": True, "c": 1.5}}
    text_arguments = json.dumps(arguments)
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"temp\": 21.5}"}
    parts = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "text", "text": "this"}]}
    two = {"role": "assistant", "content": "", "tool_calls": [
        {"id": "abcdef123", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5}}},
        {"id": "abcdef124", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]}
    yield "user", [USER]
    yield "system", [SYSTEM, USER]
    yield "turns", [USER, ASSISTANT, MORE]
    yield "system turns", [SYSTEM, USER, ASSISTANT, MORE, THINKING]
    yield "reasoning", [USER, REASONED, MORE, REASONED]
    yield "thinking", [USER, THINKING, MORE]
    yield "alternation broken", [USER, MORE]
    yield "assistant first", [ASSISTANT, USER]
    yield "empty", []
    yield "parts", [parts]
    yield "system parts", [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, parts, ASSISTANT]
    yield "call", [USER, calls(arguments)]
    yield "call and result", [SYSTEM, USER, calls(arguments), result]
    yield "call with text", [USER, calls(arguments, content="One moment."), result, ASSISTANT, MORE]
    yield "call as text", [USER, calls(text_arguments), result, ASSISTANT]
    yield "call without id", [USER, calls(arguments, identity=False), result]
    yield "two calls", [SYSTEM, USER, two, result, result | {"tool_call_id": "abcdef124"}, ASSISTANT]
    yield "developer", [{"role": "developer", "content": "Obey."}, USER]
    yield "other role", [{"role": "critic", "content": "Hm."}, USER]


def matrix():
    for (name, messages), tools, prompt in itertools.product(conversations(), (None, TOOLS), (False, True)):
        for thinking in (None, True, False):
            if thinking is not None and (name not in ("user", "system turns", "reasoning", "call and result")):
                continue
            variables = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
            if thinking is not None:
                variables["enable_thinking"] = thinking
            yield name, {"messages": messages, "tools": tools, "add_generation_prompt": prompt,
                         "variables": variables, "now": NOW}


def asked(program, test, **variables):
    subprocess.run([program, f"--gtest_filter={test}"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"TZ": "UTC"} | variables)


def main():
    program, *folders = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        asked(program, "BuiltinTemplate.IsWrittenForThePythonCheck", ALAMBIC_EXPORT_DIR=directory)
        paths = [path for folder in (directory, HERE / "templates", *folders)
                 for path in sorted(pathlib.Path(folder).rglob("*.jinja"))]
        compare(program, [(path.name, path.read_text(encoding="utf-8")) for path in paths])


def compare(program, templates):
    cases = []
    for path, source in templates:
        for name, case in matrix():
            text, spans = render(source, copy.deepcopy(case))
            cases.append((path, name, case | {"template": source}, text, spans))
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "cases.jsonl"
        file.write_text("".join(json.dumps(case[2]) + "\n" for case in cases))
        asked(program, "ChatTemplate.RendersForThePythonCheck", ALAMBIC_CHAT_CASES=str(file))
        results = [json.loads(line) for line in (file.parent / "cases.jsonl.out").read_text().splitlines()]
    count = collections.Counter()
    whole = {path for path, _ in templates}
    for (path, name, case, text, spans), result in zip(cases, results, strict=True):
        same = text == result.get("text") and (text is None or spans == result["generated"])
        count["equal" if same and text is not None else "both refuse" if same else "different"] += 1
        if same:
            continue
        whole.discard(path)
        print(f"{path}: {name}, tools {case['tools'] is not None}, prompt {case['add_generation_prompt']}, "
              f"thinking {case['variables'].get('enable_thinking')}:\n  python  {text if text is not None else spans!r}\n"
              f"  alambic {result.get('text', result.get('error'))!r}"[:1500])
    print(f"{len(whole)} of {len(templates)} templates are right in every case; cases: {dict(count)}")
    sys.exit(count["different"] > 0)


if __name__ == "__main__":
    main()
