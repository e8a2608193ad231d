#!/usr/bin/env python3
"""Writes tests/text/golden/templates.json: templates, variables, and what Python's Jinja makes of them.

    python3 -m venv env && env/bin/pip install jinja2
    env/bin/python tests/text/make_template_golden.py

The templates of model families are in tests/text/templates, written anew from the formats that the families document; the
small cases are in template_cases.py; "template" is the name of a file or the text. Written with Jinja 3.1.6 and Python 3.11. "expected" is null where Jinja raises; "says" is
then what the template itself raised. "sorted" is the text with the keys of all objects sorted, where that differs.
"""
import json
import pathlib

from jinja2.exceptions import TemplateError
from template_cases import BROKEN, SMALL
from template_environment import render

HERE = pathlib.Path(__file__).parent
HELLO = [{"role": "user", "content": "Hello!"}]
TURNS = HELLO + [{"role": "assistant", "content": " Hi, how may I help? "}, {"role": "user", "content": "  Tell me\n\"a joke\" ✓ 日本 "}]
SYSTEM = [{"role": "system", "content": "Be brief.\n"}] + TURNS
THOUGHT = TURNS[:1] + [{"role": "assistant", "content": "<think>\nEasy.\n</think>\n\nFour."}, {"role": "user", "content": "Sure?"},
                       {"role": "assistant", "content": "Yes", "reasoning_content": "\nI am.\n"}]
TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather <now> & then: 'é'", "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "Where"}, "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "days": {"type": "array", "items": {"type": "integer"}, "nullable": True}, "limit": {"type": ["number", "null"], "default": 1.5},
        "area": {"type": "object", "properties": {"north": {"type": "number"}, "deep": {"type": "array", "items": {"type": "boolean"}}}, "required": ["north"]},
        "other": {"oneOf": [{"type": "string", "description": "a"}, {"type": "object"}]}}}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"place": "Zürich", "days": [1, 2], "zoom": 1e-05}}}
CALLS = HELLO + [{"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "{\"t\": 3}", "tool_call_id": "abcdefghi"},
                 {"role": "assistant", "content": "3 degrees."}]
OPEN_CALLS = HELLO + [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "3", "tool_call_id": "abcdefghi"}]
LISTS = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"role": "assistant", "content": " c "}]
CONVERSATIONS = {
    "hello": dict(messages=HELLO), "turns": dict(messages=TURNS), "system": dict(messages=SYSTEM),
    "closed": dict(messages=TURNS[:2], add_generation_prompt=False), "thought": dict(messages=THOUGHT),
    "no thinking": dict(messages=HELLO, enable_thinking=False), "dated": dict(messages=HELLO, strftime_now="2026-03-01T17:05:09"),
    "tools": dict(messages=SYSTEM, tools=[TOOL, CLOCK], strftime_now="2024-12-31"),
    "calls": dict(messages=CALLS, tools=[TOOL], strftime_now="2024-02-29"), "open calls": dict(messages=OPEN_CALLS, strftime_now="2024-02-29"),
    "out of turn": dict(messages=HELLO + HELLO), "unknown role": dict(messages=[{"role": "robot", "content": "beep"}]),
    "empty": dict(messages=[]), "lists": dict(messages=LISTS),
}


def sorted_keys(value):
    return json.loads(json.dumps(value, sort_keys=True))


def case(name, template, variables):
    entry = dict(name=name, template=template, variables=json.dumps(variables, ensure_ascii=False), expected=None)
    try:
        entry["expected"] = render(template, variables)
        sorted_text = render(template, sorted_keys(variables))
        if sorted_text != entry["expected"]:
            entry["sorted"] = sorted_text
    except TemplateError as error:
        if type(error) is TemplateError:
            entry["says"] = error.message
    except (ArithmeticError, TypeError, ValueError, LookupError, RecursionError, SyntaxError, AttributeError):
        pass
    return entry


def main():
    cases = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        for name, variables in CONVERSATIONS.items():
            given = dict(add_generation_prompt=True, bos_token="<s>", eos_token="</s>", tools=None, documents=None) | variables
            cases.append(case(f"{path.stem}, {name}", path.read_text(encoding="utf-8"), given) | {"template": path.name})
    for i, (template, *variables) in enumerate(SMALL + BROKEN):
        cases.append(case(f"{'small' if i < len(SMALL) else 'broken'} {i}: {template[:60]}", template, variables[0] if variables else {}))
        raised = cases[-1]["expected"] is None
        assert raised == (i >= len(SMALL)), (template, cases[-1])
    (HERE / "golden").mkdir(exist_ok=True)
    (HERE / "golden/templates.json").write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(len(cases), "cases,", sum(c["expected"] is None for c in cases), "of which raise")


if __name__ == "__main__":
    main()
