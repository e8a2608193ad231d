"""Jinja as transformers sets it up for chat templates; strftime_now tells the date that a caller gave (and is undefined without one)."""
import datetime
import json

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("passed"), [], [], body).set_lineno(line)

    def passed(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception
for unwanted in ("lipsum", "cycler", "joiner"):
    del ENVIRONMENT.globals[unwanted]


def render(template, variables):
    variables = dict(variables)
    date = variables.pop("strftime_now", None)
    if date:
        variables["strftime_now"] = datetime.datetime.fromisoformat(date).strftime
    return ENVIRONMENT.from_string(template).render(**variables)
