"""Small templates, (text, variables), for make_template_golden.py: those that render, and those that must raise."""
DATA = dict(d={"b": 1, "a": [1, 2.5, None, True], "C": "x"}, s="héllo wörld", n=7, f=2.0, e=[], t=True,
            people=[{"name": "Ann", "age": 30, "in": {"city": "Rome"}}, {"name": "bob", "age": 25, "in": {"city": "Bern"}}, {"name": "Cy", "age": 30}])
# One tuple a line, so that repr is tried as well.
EXPRESSIONS = r'''
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3
7.5 // 2, -7.5 % 2, 2 ** 10, 2 ** -1, -2 ** 2, 2 ** 3 ** 2
1e16, 1e15, 123456789.5, 1e-4, 1e-5, 0.1 + 0.2, 5e-324, 100.0, -0.0
1_000 + 0x1F + 0b11 + 0o17, 1.5e3, 2E-2, 1_0.0_1
'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1, 'x'] ~ undefined_name
'ab' * 3, 2 * [0], [1] + [2], (1,) + (2,), 'x' * -1
n is odd, n is even, n is divisibleby 7, n is divisibleby(3)
[1, 'a"b', "it's", 'both "\'"', none, true, (1,), (), {'k': [1]}, {}]
"tab\tnl\nback\\ \x41 \u00e9 \101 \q"
'a' 'b' "c"
{'a': 1, 'b': {'c': 2}}.b.c, d['a'][-1], d.a.1, d.missing, s[1], s[-1], s[100]
s[1:4], s[::-1], s[-3:], s[:-3], s[::2], d.a[1:], d.a[::-2], d.a[5:], (1, 2, 3)[:2]
1 < 2 < 3, 1 < 3 < 2, 1 == 1.0, true == 1, 'a' < 'b', [1, 2] < [1, 3], (1, 2) == [1, 2]
'ell' in 'hello', 1 in [1, 2], 'b' in d, 'z' not in d, 1 in (2, 3), 'x' in undefined_name
not true, not '', not not 1, 1 and 2, 0 and 2, 0 or 'x', '' or [] or none
'yes' if t else 'no', 'yes' if e, ('yes' if e) is defined, 1 if 0 else 2 if 0 else 3
s|upper, s|title, s|capitalize, 'ABC dEF'|lower, 'straße ǆ'|upper, "it's a-b (c) [d] <e>"|title, "it's a-b".title()
'  x y '|trim ~ '|', 'xxaxx'|trim('x'), ' a '.strip() ~ '|', 'xxabxx'.lstrip('x'), '\u3000a\u00a0'.strip()
d|tojson
d|tojson(indent=2)
d|tojson(indent=0)
{}|tojson(indent=2), []|tojson(2), [{}, []]|tojson(indent=1)
d|tojson(sort_keys=true)
d|tojson(separators=(',', ':'))
('é"\\/\b\f\n\r\t\x01\x7f<>&' ~ "'😀")|tojson
'é😀'|tojson(ensure_ascii=true)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
[1.0, 1e20, 1e-7, f * 1e308, f * -1e308]|tojson
(1, 2)|tojson
'x'|tojson(indent=4)
d|tojson(indent='--')
s|length, d|length, d.a|count, e|length, undefined_name|length, range(5)|length, (1, 2)|length
[1, 'a', none]|join(', '), d|join, 'abc'|join('-'), people|join('/', attribute='name')
people|map(attribute='name')|list, people|map(attribute='in.city', default='?')|list, ['a', 'b']|map('upper')|join, ['a']|map('replace', 'a', 'b')|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|join(','), people|rejectattr('age', '>', 26)|list|length, people|selectattr('in')|list|length
[0, 1, 2, '']|select|list, [0, 1, 2, '']|reject|list, [1, 2, 3]|select('odd')|list, [1, 2, 3]|reject('in', [1])|list
undefined_name|default('x'), none|default('x'), ''|default('x', true), ''|d('x', boolean=true), 0|default(5), undefined_name
'aXbX'|replace('X', '-'), 'aXbX'|replace('X', '-', 1), 'abc'|replace('', '.'), 12|replace(1, 'x'), 'aXbX'.replace('X', '--', 1)
d|items|list, d.items()|list, d.keys()|list, d.values()|list, d.get('b'), d.get('z'), d.get('z', 9), d.keys(), d.values(), d.items()
d|dictsort, d|dictsort(true), d|dictsort(reverse=true), {'x': 2, 'y': 1}|dictsort(by='value')
[3, 1, 2]|sort, ['b', 'A', 'c']|sort, ['b', 'A', 'c']|sort(case_sensitive=true), [3, 1, 2]|sort(reverse=true), people|sort(attribute='name')|map(attribute='name')|list, people|sort(attribute='age', reverse=true)|map(attribute='name')|list
['b', 'a', 'B', 1, 1.0, true]|unique|list, [[1, 2], [3]]|map('first')|list
[1, 2]|first, [1, 2]|last, ''|first, 'héy'|last, e|first, e|last, range(3)|last, d|first
[1, 2, 3]|reverse|list, 'añb'|reverse, d|reverse|list
'a\nb\n\nc'|indent, 'a\nb'|indent(2, true), 'a\n\nb'|indent(2, blank=true), 'a\nb'|indent('> ')
'%s-%d-%5.2f|%-4s|%04d|%x|%r|%%'|format('a', 3, 2.5, 'b', 42, 255, 'q'), '%(k)s'|format(k=1), '%s' % 'x', '%s %s' % (1, 2), '%e' % 12345.678, '%g' % 0.0001, '%+d' % 5, '%.3s' % 'abcdef'
'{} {}'.format(1, 'a'), '{0}{1}{0}'.format('x', 'y'), '{k}'.format(k=none), '{{}}'.format()
'42'|int, '4_2'|int, ' -7 '|int, '42.9'|int, 'x'|int, 'x'|int(5), 3.9|int, -3.9|int, none|int, true|int, '0x1F'|int(base=16), 'ff'|int(0, 16), '1e3'|int
'1.5'|float, 'x'|float, 'x'|float(2), 1|float, '1e3'|float, ' 2 '|float, 'inf'|float
2.5|round, 3.5|round, 2.675|round(2), 2.5|round(0, 'ceil'), 2.55|round(1, 'floor'), 5|round, 15|round(-1), 1234.5|round(-2), -0.5|round
-5|abs, -2.5|abs, true|abs, [1, 2]|sum, people|sum(attribute='age'), [1, 5, 3]|max, ['b', 'A']|min, e|max, [none]|min
('<a href="x">\'&'|e) ~ '', ('<b>'|escape|safe) ~ '', 5|string ~ 'x', 'abc'|list, d|list, 'one two, three'|wordcount
'a b  c '.split(), 'a,b,c'.split(','), 'a,b,c'.split(',', 1), 'a b c'.split(none, 1), ''.split(), ''.split(','), 'a,b,c'.rsplit(',', 1), ' a b  c '.rsplit(none, 1), 'a\nb\r\nc'.splitlines()
'abc'.startswith('ab'), 'abc'.endswith(('x', 'c')), 'abc'.find('c'), 'abc'.find('z'), 'éab'.rfind('b'), 'banana'.count('an'), 'b'.join(['a', 'c']), 'abc'.index('b'), 'abc'.removeprefix('a'), 'abc'.removesuffix('c')
'AbC'.upper(), 'AbC'.lower(), 'hELLO wORLD'.capitalize(), "they're bill's".title(), '12'.isdigit(), ''.isdigit(), 'ab'.islower(), 'AB1'.isupper(), ' '.isspace()
range(3), range(1, 10, 3), range(3)|list, range(5, 0, -2)|list, range(0)|list, range(2)[1]
dict(a=1, b=2), dict({'x': 1}, y=2), dict([('p', 1)])
namespace(a=1).a, namespace(a=1).b, namespace({'x': 3}).x
undefined_name is defined, undefined_name is undefined, n is defined, d.b is defined, d.zz is defined, none is none, 0 is none
'a' is string, 1 is string, 1 is number, true is number, 1.0 is float, 1 is integer, true is integer, true is boolean, d is mapping, e is mapping
'a' is iterable, d is iterable, 1 is iterable, none is iterable, undefined_name is iterable, e is sequence, 'a' is sequence, d is sequence, 1 is sequence, d.keys() is sequence, range(2) is sequence
true is true, 1 is true, false is false, 0 is false, 1 is eq 1, 1 is equalto 2, 1 is ne 2, 3 is gt 2, 3 is lessthan 2, 1 is in [1], 2 is not in [1], 'a' is in 'abc', none is sameas none, true is sameas true
'abc' is lower, 'ABC' is upper, 'abc' is upper, 'upper' is filter, 'nope' is filter, 'odd' is test, range is callable, n is callable
x is not defined, n is not none, not n is none
(1, 2), 1, (1), (), ((1, 2), 3)
[1, 2,], {'a': 1,}, (1,)
none.foo is defined, s.foo is undefined, d['items'] is callable, people[0].name, people[0]['in']['city']
{'a': 1} == {'a': 1.0}, {'a': 1, 'b': 2} == {'b': 2, 'a': 1}, [] == (), undefined_name == other_undefined, none == false, 'a' != 'b'
-n, +n, - -n, not n == 7, -2.5 ** 2, 2 * -3
[1, 2, 3].index(2), [1, 1].count(1), (1, 2).index(2), [1, 2].copy()
'1' ~ 2 * 3, (1 + 2) ~ 3, [1 ~ 2]
('a', 'b')|join, {'a': 'b'}|join, 'x' ~ ('a', 1)
'ab'['upper'](), (s|upper)[0], s.upper()[:2]
'a' < 'B', 'é' > 'z', [] < [1], true + true, true * 'ab'
d.a|map('string')|list, d|length > 2 and s|length > 3
'''
STATEMENTS = [
    ("{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}|{{ loop.nextitem }};{% endfor %}",),
    ("{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1] %}b{% else %}no{% endfor %}",),
    ("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in s %}{{ c }}.{% endfor %}",),
    ("{% for a, (b, c) in [(1, (2, 3)), (4, [5, 6])] %}{{ a }}{{ b }}{{ c }} {% endfor %}",),
    ("{% for x in range(10) %}{% if x == 3 %}{% continue %}{% elif x > 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",),
    ("{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}",),
    ("{% for p in people if p.age > 26 %}{{ p.name }}{% if not loop.last %}, {% endif %}{% endfor %}",),
    ("{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }} {% endfor %}",),
    ("{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",),
    ("{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns }}",),
    ("{% set a, b = 1, 2 %}{% set (c, d) = (3, 4) %}{% set e = 5, %}{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}",),
    ("{% set ns = namespace() %}{% set ns.a, b = 'xy' %}{{ ns.a }}{{ b }}",),
    ("{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]{% set y | upper | trim %} q{% set x = 9 %}{{ x }} {% endset %}[{{ y }}{{ x }}]",),
    ("{% if 0 %}a{% elif '' %}b{% elif [0] %}c{% else %}d{% endif %}{% if none %}{% else %}e{% endif %}",),
    ("{% if t %}{% set inside = 1 %}{% endif %}{{ inside }}{% if not t %}{% set never = 1 %}{% endif %}{{ never is defined }}",),
    ("{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(a=5) }}{{ m() }}{{ m(1)|length }}{{ m is callable }}",),
    ("{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}",),
    ("{% macro down(n) %}{{ n }}{% if n %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(20) }}",),
    ("{% macro m() %}{{ x }}{% endmacro %}{% set x = 3 %}{{ m() }}{% for x in [7] %}{{ m() }}{% endfor %}",),
    ("{% for x in [1, 2] %}{% macro m() %}{{ x }}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}",),
    ("{% macro m(n) %}<{{ caller() }}{{ n }}>{% endmacro %}{% set y = 5 %}{% call m(1) %}in {{ y }}{% endcall %}",),
    ("{% macro m(n) %}{{ caller(n, 2) }}{% endmacro %}{% call(a, b=9) m(1) %}{{ a }}{{ b }}{% endcall %}",),
    ("{% filter upper %}a{{ 'b' }}{% endfilter %}{% filter replace('a', 'x')|trim %} aa {% endfilter %}",),
    ("{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set a = 3 %}{{ a }}{% endwith %}{{ a is defined }}{% with %}{% set q = 1 %}{% endwith %}{{ q is defined }}",),
    ("{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",),
    ("{% generation %}a{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}",),
    ("{% raw %}{{ x }}{% if %}{% endraw %}b{%- raw -%}  c {%- endraw -%}  d",),
    ("a {# comment {{ x }} #} b{#- c -#}  d  {#+ e +#}\n f",),
    ("  {% if 1 %}\n  a\n  {% endif %}\nb\n\n",),
    ("  {%+ if 1 %}\n  a\n  {%- endif +%}\nb",),
    ("x\n  {{ 1 }}\n  {{- 2 }}\n  {{ 3 -}}\n  y",),
    ("{% for i in [1, 2] -%}\n   {{ i }}\n{%- endfor %}\n",),
    ("a\r\nb\rc\n", ), ("a\n\n", ), ("\n", ), ("", ), ("{{ 'a\r\nb' }}", ),
    ("{{- 1 -}} \n {%- set x = 1 -%} \n z",),
    ("{% set x = 1 %}\n\n  {# c #}\n  {{ x }}",),
    ("a{% if 1 %}b{% endif %}\n{% if 1 %}\nc{% endif %}",),
    ("\u00a0\u2003{% if 1 %}x{% endif %}", ),
    ("{{ {'a': {'b': 1}}['a']['b'] }}{{ {} }}{{ '}}' }}{{ '%}' }}{{ \"{{\" }}",),
    ("{% set x = {'a': '%}'} %}{{ x.a }}",),
    ("{ {% if 1 %}{{ '{' }}{% endif %} } { { %} }}",),
    ("{{ 1, 2 }}{{ (1, 2)[0] }}{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",),
    ("{{ undefined_name }}{{ d.zz }}{{ none }}{{ e[0] }}{{ d.zz is defined }}",),
    ("{% for x in undefined_name %}a{% else %}b{% endfor %}{% for x in d.a|map('string')|select('equalto', '1') %}{{ x }}{% endfor %}",),
    ("{% set g = [1, 2]|map('string') %}{{ g|join }}{{ g|join }}{{ g is iterable }}{{ g is sequence }}{% if g %}t{% endif %}",),
    ("{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %y %I %p %%') }}", dict(strftime_now="2026-03-01T17:05:09")),
    ("{{ strftime_now('%d %B %Y') }}{{ strftime_now('%F %T') }}{{ strftime_now('%-d/%-m %e') }}", dict(strftime_now="2024-12-09")),
    ("{{ strftime_now is defined }}{{ strftime_now }}",),
    ("{% if messages[0].content is not string %}{% for c in messages[0].content if c.type == 'text' %}{{ c.text }}{% endfor %}{% endif %}", dict(messages=[dict(content=[dict(type="image"), dict(type="text", text="hi")])])),
    ("{{ big }} {{ -big }} {{ big - 1 }} {{ small }} {{ real }}", dict(big=2**63 - 1, small=-2**63, real=1e22)),
    ("{% set loop = 5 %}{{ loop }}{% set range = 3 %}{{ range }}",),
    ("{{ x.items() }}", dict(x={"keys": 1})), ("{{ x.keys is callable }}{{ x['keys'] }}{{ x.get('keys') }}", dict(x={"keys": 1})),
    ("{% if 'a' in d and d.a is iterable and not d.a is string %}ok{% endif %}{{ 'x' if 'tool_calls' not in d else 'y' }}",),
    ("{{ people|map(attribute='name')|map('lower')|sort|join('+') }}{{ people|selectattr('name', 'in', ['Cy', 'bob'])|map(attribute='age')|sum }}",),
    ("{{ people[-1] }}{{ people|last == people[-1] }}{{ (people|first).name }}{{ people[:2]|length }}",),
]
BROKEN = [(text,) + ((DATA,) if any(word in text for word in ("d.", "s.", "people")) else ()) for text in '''
{{ raise_exception('stop: ' ~ 1) }}|||{% if 1 %}{{ raise_exception('in a branch') }}{% endif %}|||{{ x.y.z }}|||{{ x.y }}|||{{ x['y'] }}|||{{ x() }}|||{{ d.zz.y }}|||{{ 1 + 'a' }}|||{{ 'a' + 1 }}
{{ 'a' + x }}|||{{ x + 1 }}|||{{ x < 1 }}|||{{ 1 < 'a' }}|||{{ none < 1 }}|||{{ -x }}|||{{ -'a' }}|||{{ 1 / 0 }}|||{{ 1 // 0 }}|||{{ 1 % 0 }}|||{{ 1.0 / 0 }}|||{{ [1] + (2,) }}|||{{ {} + {} }}|||{{ 'a' - 'b' }}
{{ 1 in 2 }}|||{{ 1 in 'a' }}|||{{ 1 in none }}|||{{ [] in {} }}|||{{ {[]: 1} }}|||{{ 5|length }}|||{{ none|length }}|||{{ [1]|map('upper')|length }}|||{{ none|list }}|||{{ 5|join }}|||{{ 5|first }}|||{{ [1]|map|list }}
{{ 1|nope }}|||{{ 1 is nope }}|||{{ [1]|map('nope')|list }}|||{{ [1]|select('nope')|list }}|||{{ 'a'.nope() }}|||{{ nope() }}|||{{ 'a'|replace('a') }}|||{{ 'a'|trim(1, 2, 3) }}|||{{ 'a'|indent(wide=3) }}|||{{ 'a'|round }}
{{ x|tojson }}|||{{ range|tojson }}|||{{ d.items()|tojson }}|||{{ {(1, 2): 3}|tojson }}|||{{ [1]|map('string')|tojson }}|||{{ range(0, 1, 0) }}|||{{ range('a') }}|||{{ range(100001) }}|||{{ 'a'.split('') }}|||{{ 'abc'.index('z') }}
{{ [1].append(2) }}|||{{ d.pop('a') }}|||{{ d.update({}) }}|||{{ [2, 1].sort() }}|||{{ s.upper(1) }}|||{{ 'x'.join([1]) }}|||{{ 'x'.join(5) }}|||{{ '%d' % 'a' }}|||{{ '%s %s' % 'a' }}|||{{ '%s' % (1, 2) }}|||{{ '%y' % 1 }}|||{{ '{} {}'.format(1) }}|||{{ '{'.format(1) }}
{% if %}a{% endif %}|||{% if 1 %}|||{% if 1 %}{% endfor %}|||{% endif %}|||{% for %}{% endfor %}|||{% for x in %}{% endfor %}|||{% for x of y %}{% endfor %}|||{% for x in [1] %}|||{% for 1 in [1] %}{% endfor %}|||{% nope %}|||{% %}|||{% 5 %}
{{ }}|||{{ 1 + }}|||{{ 1 2 }}|||{{ ( }}|||{{ (1 }}|||{{ 1) }}|||{{ [1 }}|||{{ [1} }}|||{{ {1} }}|||{{ {'a' 1} }}|||{{ 'a }}|||{{ 'a'|}}|||{{ 'a' is }}|||{{ 'a' is not }}|||{{ a. }}|||{{ a[ }}|||{{ a[] + }}|||{{ 1 if }}|||{{ x = 1 }}|||{{ f(a=1, 2) }}|||{{ f(1 2) }}|||{{ f(a=1, a=2) }}
{{ 1|||{% if 1|||{# a|||{% raw %}a|||{{ ! }}|||{{ a ? b }}|||{{ $x }}|||{{ 007 }}|||{{ not }}|||{{ 1 is string is string }}|||{% set 1 = 2 %}|||{% set x %}|||{% set x = %}|||{% set x.y = 1 %}|||{% set none = 1 %}|||{% set a, b = 1 %}|||{% set a, b = [1] %}|||{% set a, b = 'abc' %}
{% for a, b in [1] %}{% endfor %}|||{% for a, b in [[1]] %}{% endfor %}|||{% for x in 5 %}{% endfor %}|||{% for x in none %}{% endfor %}|||{% for x in [1] %}{% set loop = 1 %}{% endfor %}|||{% break %}|||{% if 1 %}{% continue %}{% endif %}|||{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% macro m() %}{% endmacro %}{{ m(1) }}|||{% macro m(a) %}{% endmacro %}{{ m(b=1) }}|||{% macro m(a) %}{% endmacro %}{{ m(1, a=1) }}|||{% macro m(a=1, b) %}{% endmacro %}|||{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}|||{% macro %}{% endmacro %}|||{% macro m %}{% endmacro %}|||{% call 5 %}{% endcall %}
{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}|||{% include 'x' %}|||{% import 'x' as y %}|||{% extends 'x' %}|||{% do 1 %}|||{% filter %}{% endfilter %}|||{% filter nope %}{% endfilter %}|||{{ '\\x4' }}|||{{ '\\N' }}|||{{ 'a'[::0] }}|||{{ people['a':] }}|||{{ people[0][1:] }}|||{{ x[1:] }}|||{{ s.split(1) }}|||{{ 'a'.startswith(1) }}
{{ 'a'|dictsort }}|||{{ 5|items|list }}|||{{ [1, 'a']|sort }}|||{{ [[1]]|unique|list }}|||{{ ['a']|sum }}|||{{ 'a'|abs }}|||{{ 1|round(1, 'up') }}|||{{ people|map(attribute='in.city')|list }}|||{{ people|selectattr|list }}|||{{ [{'a': 1}]|selectattr('a', 'nope')|list }}|||{{ strftime_now('%d') }}|||{{ 'a' % }}|||{{ x|int }}|||{{ 1 is divisibleby 0 }}|||{{ 1 is divisibleby }}
'''.strip().replace("\n", "|||").split("|||")]
SMALL = [("{{ " + text + " }}", DATA) for text in EXPRESSIONS.strip().split("\n")] + [
    (text, *(given or (DATA,))) for text, *given in STATEMENTS]
