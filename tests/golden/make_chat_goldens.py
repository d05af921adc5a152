"""Records what Python's jinja2, set up as by transformers, makes of templates, for chat_template_test.cc.

Run from the repository root with `jinja2` (recorded with 3.1.6):
    build/oracles/bin/python tests/golden/make_chat_goldens.py

Writes chat_templates.json beside itself: {"contexts": {name: input}, "cases": [...]}, a case being
[context, template, text, spans], where text is null for a template that Python refuses, and spans, the
bytes between generation markers, are left out where there are none.
"""

import copy
import json
import pathlib
import re

from chat_oracle import NOW, render

HERE = pathlib.Path(__file__).parent

TOOL = {"type": "function", "function": {"name": "weather", "description": "It's <b>\"now\"</b> & later: é, 東京, 🙂",
                                         "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                                                        "required": ["city"]}}}
CHAT = [{"role": "system", "content": "Be kind.\n"}, {"role": "user", "content": "  Hé, who're \"you\"? 🙂 "},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nA friend.", "extra": None},
        {"role": "user", "content": "Good\tbye"}]
CONTEXTS = {
    "chat": {"messages": CHAT, "tools": None, "add_generation_prompt": True,
             "variables": {"bos_token": "<s>", "eos_token": "</s>", "flag": True, "zero": 0, "number": 42,
                           "big": 18446744073709551615, "ratio": 2.5, "small": 1e-07, "name": "Ada Lovelace",
                           "words": ["pear", "Apple", "fig", "apple"], "nothing": None, "blank": "",
                           "nested": {"b": {"c": [1, {"d": "deep"}]}, "a": [True, None, 1.0], "items": "key"},
                           "people": [{"name": "Eve", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25},
                                      {"name": "Al", "age": 30, "tags": []}],
                           "lines": "one\r\ntwo\n\nthree\u2028four", "html": "<a href='x'>&amp;</a>"}},
    "tools": {"messages": [{"role": "user", "content": "Weather?"},
                           {"role": "assistant", "content": None, "tool_calls": [
                               {"id": "c1", "type": "function",
                                "function": {"name": "weather", "arguments": {"city": "Genève", "n": [1, 2.0, None]}}}]},
                           {"role": "tool", "tool_call_id": "c1", "content": "rain"}],
              "tools": [TOOL], "add_generation_prompt": False, "variables": {"enable_thinking": False}},
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
(1 + 2) * 3
7 / 2
8 / 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 // 2
-7.5 // 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
2.0 ** 0.5
1 / 3
10 ** 15 / 1.0
10 ** 16 / 1.0
1e16
1e-4
1e-5
123456789.123456789
1.0
100.0 * 3
0.1 + 0.2
1e300 * 1e10
-0.0
5e-324
1_000 + 0x1F + 0b101 + 0o17
1 / 0
1 // 0
1 % 0
1.5 % 0
'a' + 1
1 + 'a'
'a' * 3
3 * 'ab'
'a' * -1
[1, 2] + [3]
[1] * 3
(1, 2) + (3,)
[1] + (2,)
'a' ~ 1 ~ none ~ true ~ 2.0 ~ [1, 'x']
'x' ~ undefined_thing ~ 'y'
1 + 2 ~ 3
'a' 'b' "c"
true
True
none
None
false and 1 or 2
0 or '' or 'last'
1 and 2
not 1
not ''
not not []
1 < 2 < 3
1 < 3 < 2
1 == 1.0
true == 1
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1] == (1,)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
none == none
none < 1
'é' > 'z'
1 in [1, 2]
1 not in [1, 2]
'b' in 'abc'
1 in 'abc'
'a' in {'a': 1}
'x' in undefined_thing
not 'x' in 'xyz'
1 if flag else 2
1 if zero else 2
1 if zero
(1 if zero) is defined
'a' if zero else 'b' if flag else 'c'
[1, 2, 3][0]
[1, 2, 3][-1]
[1, 2, 3][5]
[1, 2, 3][5] is defined
[1, 2, 3][1:]
[1, 2, 3][:-1]
[1, 2, 3][::-1]
[1, 2, 3, 4, 5][1:4:2]
[1, 2, 3, 4, 5][-2:]
[1, 2, 3, 4, 5][4:1:-2]
[1, 2, 3][10:]
[1, 2, 3][::0]
[1, 2, 3][none:2]
'abcdef'[1:3]
'abcdef'[::-1]
'héllo🙂'[1]
'héllo🙂'[-1]
'héllo🙂'[1:]
'héllo🙂'[::-2]
'abc'[7]
(1, 2, 3)[1:]
range(5)[1]
range(3) | list
range(1, 4) | list
range(10, 0, -3) | list
range(0) | list
range(5)[1:3] | list
range(200000) | list
range(1, 2, 0) | list
nested.b.c[1].d
nested['b']['c'][1]['d']
nested.b.c.1.d
nested.items
nested['items']
nested.items()
nested.keys()
nested.values() | list
nested.missing
nested.missing.more
nested['missing'] is defined
nested.get('a')
nested.get('z')
nested.get('z', 'fallback')
nested.a
messages[0].role
messages[0]['content']
messages | length
messages[1:] | length
messages[-1]['role'] == 'user'
(messages | last).content
(messages | first).role
messages.0.role
name.split()
name.split(' ')
name.split('a')
name.split('a', 1)
name.split(sep='a', maxsplit=1)
name.rsplit('a', 1)
' a  b '.split()
' a  b '.split(' ')
' a  b  c '.split(none, 1)
' a  b  c '.rsplit(none, 1)
''.split()
''.split('x')
'abc'.split('')
'a,b,c'.split(',')[-1]
'</think>'.join(['a', 'b'])
','.join([1, 2])
','.join('abc')
name.upper() ~ name.lower()
'hello wORLD'.capitalize()
'hello wORLD it\'s'.title()
'hello wORLD it\'s (ok) [x]-y' | title
'hElLo'.swapcase()
'straße ŉ ǆ'.upper()
'ÀÉÎ'.lower()
'ǆ'.title()
'İ'.lower() | length
'  x '.strip() ~ '|'
'  x '.lstrip() ~ '|'
'  x '.rstrip() ~ '|'
'xxaxx'.strip('x')
'abcba'.strip('ab')
'\u00a0\u3000x\x1c'.strip()
'\n\nx\n'.strip('\n')
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.startswith('b', 1)
'abc'.endswith('bc')
'abc'.endswith(('x', 'c'))
'abc'.endswith('')
'abcabc'.find('c')
'abcabc'.find('c', 3)
'abcabc'.find('z')
'abcabc'.rfind('c')
'é🙂x'.find('x')
'abc'.index('c')
'abc'.index('z')
'banana'.count('an')
'banana'.count('')
'banana'.replace('an', 'AN')
'banana'.replace('an', 'AN', 1)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.removeprefix('a').removesuffix('c')
'abc'.center(8) ~ '|'
'abc'.center(9, '*')
'ab'.center(5, '*')
'abc'.ljust(5, '.') ~ 'abc'.rjust(5)
'-42'.zfill(6)
lines.splitlines()
lines.splitlines(true)
'123'.isdigit() and 'a1'.isalnum() and 'ab'.isalpha() and ' '.isspace()
''.isdigit()
'²'.isdigit() ~ '²'.isdecimal() ~ '½'.isnumeric()
'AB'.isupper() ~ 'ab'.islower() ~ 'a1'.islower() ~ '1'.islower()
'é'.isascii() ~ 'x_1'.isidentifier()
[1, 2, 1].count(1)
[1, 2, 1].index(2)
[1, 2].append(3)
{'a': 1}.update({'b': 2})
{'a': 1}.pop('a')
[].__class__
''.__class__.__mro__
'abc'.foo
'abc'.foo()
undefined_thing
undefined_thing.x
undefined_thing[0]
undefined_thing()
undefined_thing + 1
1 + undefined_thing
undefined_thing == undefined_other
undefined_thing < 1
undefined_thing | length
undefined_thing | list
undefined_thing | default('d')
blank | default('d')
blank | default('d', true)
nothing | default('d')
nothing | d('e', boolean=true)
messages[0].nope | default('none there')
nothing.x
flag.x
number.x
number()
name | upper | lower | trim
'abc' | capitalize
name | replace('a', 'o')
name | replace('a', 'o', 1)
123 | replace(2, 'x')
words | join(', ')
words | join
[1, none, true, 2.5] | join('-')
people | join(', ', attribute='name')
people | map(attribute='name') | join(',')
people | map(attribute='tags') | list
people | map(attribute='tags', default=[]) | list
people | map(attribute='tags.0') | list
people | map(attribute='tags.0', default='-') | join
words | map('upper') | list
words | map('replace', 'p', 'P') | list
words | map('length') | sum
words | map('nofilter') | list
people | selectattr('tags') | map(attribute='name') | list
people | selectattr('tags', 'defined') | map(attribute='name') | list
people | rejectattr('tags', 'defined') | map(attribute='name') | list
people | selectattr('age', 'equalto', 30) | list | length
people | selectattr('age', '==', 30) | map(attribute='name') | join
people | selectattr('age', '>', 26) | list | length
people | selectattr('age', 'in', [25]) | first
people | selectattr('age', 'notest', 1) | list
[1, 2, 3, 4] | select('odd') | list
[1, 2, 3, 4] | reject('even') | list
[0, 1, '', 'x', none] | select | list
[0, 1, '', 'x', none] | reject | list
[1, 2, 3, 4, 5] | select('divisibleby', 2) | list
(messages | selectattr('role', 'equalto', 'nobody')) is true
1 if messages | selectattr('role', 'equalto', 'nobody') else 2
messages | selectattr('role', 'equalto', 'user') | length
messages | selectattr('role', 'equalto', 'user') | last
words | sort
words | sort(reverse=true)
words | sort(case_sensitive=true)
people | sort(attribute='age,name') | map(attribute='name') | list
people | sort(attribute='age', reverse=true) | map(attribute='name') | list
[3, 'a'] | sort
words | unique | list
words | unique(case_sensitive=true) | list
people | unique(attribute='age') | map(attribute='name') | list
words | min
words | max
people | max(attribute='age')
[] | max
[] | max is defined
[3, 1, 2] | min
[1, 2, 3] | sum
[1.5, 2] | sum
people | sum(attribute='age')
[[1], [2]] | sum(start=[])
['a'] | sum
nested | dictsort
nested | dictsort(reverse=true) | first
{'b': 1, 'A': 2} | dictsort
{'b': 1, 'A': 2} | dictsort(true)
{'b': 1, 'a': 2} | dictsort(by='value')
{'b': 1, 'a': 2} | dictsort(false, 'other')
nested | items | list
undefined_thing | items | list
'x' | items | list
[1, 2, 3] | first
[1, 2, 3] | last
'héy' | first ~ ('héy' | last)
[] | first
[] | last is defined
{'a': 1, 'b': 2} | first
[1, 2, 3] | reverse | list
'héy' | reverse
[1, 2, 3] | length
'héy🙂' | length
number | length
nested | count
'abc' | list
{'a': 1} | list
(1, 2) | list
number | string ~ (ratio | string)
'42' | int + 1
'42.9' | int
'x' | int
'x' | int(7)
' 12 ' | int
'1_000' | int
'0x1f' | int(0, 16)
'ff' | int(base=16)
'z' | int(base=36)
'0b11' | int(0, 0)
none | int
undefined_thing | int
true | int
1e3 | int
-2.7 | int
'inf' | int
'1.5' | float
'1e3' | float
'abc' | float
'abc' | float(1.5)
' -2.5 ' | float
'nan' | float
'infinity' | float
3 | float
none | float
42.55 | round
42.55 | round(1)
42.45 | round(1)
2.675 | round(2)
2.5 | round
3.5 | round
42.55 | round(1, 'floor')
42.55 | round(1, 'ceil')
42 | round
42.1 | round(0, 'ceil')
42.55 | round | int
1.5 | round(method='other')
-3 | abs ~ (-2.5 | abs)
'x' | abs
'one\ntwo\n\nthree' | indent
'one\ntwo\n\nthree' | indent(2, true)
'one\ntwo\n\nthree' | indent(2, blank=true)
'one\ntwo' | indent('> ')
'one\ntwo' | indent(width=1, first=true)
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, false, '…', 0)
'foo bar, baz_qux 1é' | wordcount
'x' | center(5) ~ '|'
'%s of %s' | format(1, 'x')
'%(a)s' | format(a=3)
'%s and %d and %5.2f|%-5s|%05d|%x|%r|%%' % ('s', 3, 3.14159, 'ab', 42, 255, 'q')
'%s' % 'one'
'%s' % [1, 2]
'%s %s' % 'one'
'%s' % (1, 2)
'plain' % ()
'%d' % 'x'
'%d' % 3.9
'%i|%+d|% d|%e|%g|%G' % (5, 5, 5, 12345.678, 0.00001, 1e20)
'%10.3s|' % 'abcdef'
'%*d' % (5, 42)
'%c' % 'x'
'%(name)s is %(age)d' % people[0]
'{} {}'.format('a', 1)
'{0} {1} {0}'.format('a', 'b')
'{name}: {age:>5}|'.format(name='x', age=3)
'{:<5}|{:^5}|{:>5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:05d} {:,} {:.2f} {:x} {:e} {:%}'.format(42, 1234567, 3.14159, 255, 12345.678, 0.25)
'{:+} {: } {:5.1f}|'.format(3, 4, 2.25)
'{0.role} {0[content]}'.format(messages[0])
'{!r} {!s}'.format('a', 'b')
'{{}} {}'.format(1)
'{} {}'.format(1)
'{x}'.format(y=1)
'{'.format(1)
'{} {0}'.format(1)
html | escape
html | e | upper
html | safe
(html | safe) + '<x>'
'<x>' + (html | safe)
(html | safe) ~ '<x>'
('a<b' | safe).replace('a', '<')
('%s' | safe) % '<x>'
('{}' | safe).format('<x>')
('a' | safe).join(['<', '>'])
[('a' | safe), '<'] | join
('<a>' | safe) | upper | trim
[html | safe]
('ab' | safe)[0] + '<'
html | forceescape
nested | tojson
nested | tojson(indent=2)
nested | tojson(indent=0)
[] | tojson(indent=2)
{'a': [], 'b': {}} | tojson(indent=4)
nested | tojson(sort_keys=true)
[1, 2] | tojson(separators=(',', ':'))
{'a': 1} | tojson(indent=1, separators=(' ,', ' : '))
'é"\\\n\t\x07\x7f🙂' | tojson
'é🙂\x7f' | tojson(ensure_ascii=true)
html | tojson
[1.0, 1e20, 1e-7, none, true, -0.0] | tojson
(1, 2) | tojson
{1: 'a', none: 'b', true: 'c', 2.5: 'd'} | tojson
undefined_thing | tojson
nested.items() | tojson
nested | tojson | length
messages | tojson
big
big | tojson
big + 1
small
ratio
number
nested
people
words
(1,)
()
{}
{'a': 'b', 'c': ['d', {'e': none}]}
{'a': 1, 'a': 2}
{1: 2, 1.0: 3}
{[1]: 2}
{'it\'s': "say \"hi\"", 'both': '\'"'}
['\n\t\\', 'é', '\x00\x7f', '🙂', '\u200b', '\xa0', '\u2028']
'\x41\u00e9\U0001F642\101\q\/'
'a\
b'
"\a\b\f\v\r\n" | tojson
number is number and number is integer and number is not float
ratio is float and ratio is number and ratio is not integer
flag is boolean and flag is true and zero is not false
true is number
true is integer
name is string and name is sequence and name is iterable
nested is mapping and nested is iterable and nested is sequence
words is sequence and words is not mapping
(1,) is sequence
range(2) is sequence
(words | map('upper')) is sequence
(words | map('upper')) is iterable
number is iterable
none is none and nothing is none
undefined_thing is undefined and undefined_thing is not defined
undefined_thing is none
undefined_thing is sequence
undefined_thing is string
4 is even and 3 is odd and 9 is divisibleby 3
9 is divisibleby(3)
'x' is odd
'abc' is lower and 'ABC' is upper
1 is eq 1 and 1 is ne 2 and 1 is lt 2 and 2 is ge 2
1 is equalto 1
1 is sameas 1
none is sameas none
'a' is in 'abc'
2 is in [1, 2]
2 is not in [1, 2]
name.upper is callable
name is callable
range is callable
'upper' is filter
'nope' is filter
'odd' is test
1 is nosuchtest
1 | nosuchfilter
(1 | nosuchfilter) if zero else 'fine'
1 is defined is defined
not undefined_thing is defined
-number | abs
-3 | string
number | string | length
(words | length) * 2 + 1
words | length > 3 and words | first == 'pear'
'a' == 'a' and 'b' or 'c'
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1)])
dict(a=1).a
namespace(a=1)
namespace(a=1).a
namespace(a=1).b
namespace({'x': [1]}, y=2)
range
words | map('upper')
loop
strftime_now('%d %B %Y, %H:%M')
strftime_now('%Y-%m-%d %%')
raise_exception('no ' ~ number)
messages | map(attribute='role') | join(' ') | upper
messages | map('attr', 'x') | list
name | attr('upper')
nested | attr('b') is defined
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3] | batch(2, 'x') | list
[1, 2, 3, 4, 5] | slice(2) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
words.copy()
{'a': 1}.copy()
2.5.is_integer()
(2.0).is_integer()
"{}".format(none)
"%s" % none
'ab' in ['ab'] and 'ab' not in 'b'
[[1, 2], [3, 4]] | map('first') | list
[[1, 2], [3]] | map('join', '+') | list
{'a': {'b': 1}}['a'].b
'%.3f' % 2
'x'.__len__()
(1, 2,)
[1, 2,]
{'a': 1,}
[[]]
'a' if true
2 - -2
+3
- -3
1.e5
1 2
{'a' 1}
[1, 2
(1
'unterminated
a b
foo..bar
1 +
$
""".strip("\n")

STATEMENTS = {
    "chat": [
        "{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
        "{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}"
        "/{{ loop.last }}/{{ loop.length }}/{{ loop.depth }}/{{ loop.depth0 }}\n{% endfor %}",
        "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}>"
        "{{ loop.nextitem.role if not loop.last else '-' }} {% endfor %}",
        "{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content | trim }}{{ loop.length }};{% endfor %}",
        "{% for m in [] %}x{% else %}none{% endfor %}",
        "{% for m in messages if m.role == 'nobody' %}x{% else %}none{% endfor %}",
        "{% for k, v in nested.items() %}{{ k }}={{ v }};{% endfor %}",
        "{% for k, v in nested | dictsort %}{{ k }}={{ v }};{% endfor %}",
        "{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
        "{% for a, b in [[1, 2], [3]] %}{{ a }}{% endfor %}",
        "{% for k in nested %}{{ k }}{% endfor %}",
        "{% for c in 'hé🙂' %}[{{ c }}]{% endfor %}",
        "{% for c in number %}x{% endfor %}",
        "{% for c in nothing %}x{% endfor %}",
        "{% for c in undefined_thing %}x{% else %}e{% endfor %}",
        "{% for i in range(3) %}{% for j in range(2) %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }} {% endfor %}",
        "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}",
        "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
        "{% break %}",
        "{% for i in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}",
        "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
        "{% for i in [1, 2] %}{% if i == 2 %}{% set y = i %}{% endif %}{{ y is defined }}{% endfor %}{{ y is defined }}",
        "{% for i in [1, 2] %}{% set number = i %}{{ number }}{% endfor %}{{ number }}",
        "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
        "{% set ns = namespace(x=0, l=[]) %}{% for i in [1, 2, 3] %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }}{{ ns.l }}",
        "{% set ns = namespace() %}{% set ns.new = 'v' %}{{ ns.new }}{{ ns['new'] }}{{ ns }}{{ ns.other is defined }}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{% set d = {} %}{% set d.x = 1 %}",
        "{% set a, b = 1, [2] %}{{ a }}{{ b }}",
        "{% set a, b = 1, 2, 3 %}",
        "{% set x %}block {{ number }}{% endset %}[{{ x }}]",
        "{% set x | upper | trim %}  block {{ number }} {% endset %}[{{ x }}]",
        "{% set x %}<b>{% endset %}{{ x + '<i>' }}",
        "{% set x = 1 if flag %}{{ x }}",
        "{% set true = 1 %}",
        "{% if zero %}a{% elif number > 41 %}b{% else %}c{% endif %}",
        "{% if zero %}a{% elif blank %}b{% else %}c{% endif %}",
        "{% if zero %}a{% endif %}",
        "{% if messages and messages[0].role == 'system' and not tools %}yes{% endif %}",
        "{% macro m(a, b='B', c=none) %}{{ a }}|{{ b }}|{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(c=3, a=1) }}{{ m() }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
        "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
        "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, none) }}",
        "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(5) }}",
        "{% macro m() %}{{ x }}{% endmacro %}{% set x = 'late' %}{{ m() }}",
        "{% for x in [1, 2] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
        "{% for x in [1, 2] %}{{ m(x) }}{% macro m(v) %}{{ v }}{% endmacro %}{% endfor %}",
        "{% set ns = namespace(f=none) %}{% set x = 7 %}{% if true %}{% macro m() %}{{ x }}{% endmacro %}{% set ns.f = m %}{% endif %}{{ ns.f() }}",
        "{% macro m(x) %}{% set y = x %}{{ y }}{% endmacro %}{{ m(1) }}{{ y is defined }}",
        "{% macro m() %}  a  {% endmacro %}{{ m() | trim }}{{ m() | length }}",
        "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
        "{% macro m(*args) %}{% endmacro %}",
        "{% macro m(a=1, b) %}{% endmacro %}",
        "{% macro box(t) %}[{{ t }}:{{ caller() }}]{% endmacro %}{% call box('x') %}in {{ number }}{% endcall %}",
        "{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(v) each([1, 2]) %}<{{ v }}>{% endcall %}",
        "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
        "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
        "{% filter upper %}abc {{ name }}{% endfilter %}",
        "{% filter replace('a', 'b') | trim %} banana {% endfilter %}|",
        "{% with a = 1, b = number %}{{ a }}{{ b }}{% set c = 3 %}{{ c }}{% endwith %}{{ c is defined }}{{ a is defined }}",
        "{% with %}{{ number }}{% endwith %}",
        "{% print number, name %}",
        "{% raw %}{{ not }} {% this %}{% endraw %}{{ number }}",
        "a  {%- raw -%}  {{ x }}  {%- endraw -%}  b",
        "{# comment {{ x }} #}{{ number }}",
        "a {#- c -#} b",
        "a\n  {# c #}\nb",
        "  {% if true %}\n    x\n  {% endif %}\n  y\n",
        "  {%+ if true %}\n    x\n  {%+ endif +%}\n  y\n",
        "a\n  {%- if true -%}  \n x \n {%- endif -%} \n y",
        "a {{- number -}} b\n {{ number }}\n",
        "{% if true %}\n\nx{% endif %}\n\n",
        "x\r\ny\rz{% set a = 'p\r\nq' %}{{ a | tojson }}\n\n",
        "\n\n{% if true %}a{% endif %}",
        "x {% if true %} {% endif %} y",
        "{{ '{{' }} {{ '%}' }} {{ {'a': {'b': 1}} }}",
        "{{ {'a': 1}['a'] }}{{ {} }}",
        "{%if true%}tight{%endif%}{{number}}",
        "{% if true %}a{% endif -%}   b {%- if true %} c{% endif %}",
        "{{ messages[0].content }}|{{ messages[1].content | trim }}|{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}",
        "{% generation %}gen {{ number }}{% endgeneration %} after {% generation %}é{% endgeneration %}",
        "é{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}\n{% endfor %}",
        "{% generation %}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}",
        "{% for i in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
        "{{ loop is defined }}{% for i in [1] %}{{ loop is defined }}{% endfor %}",
        "{% for m in messages %}{% set last = loop %}{% endfor %}{{ last is defined }}",
        "{% set it = words | map('upper') %}{{ it | first }}{{ it | list }}{{ it | list }}",
        "{% set it = words | map('upper') %}{% for i in it %}{{ i }}{% endfor %}{% for i in it %}{{ i }}{% else %}gone{% endfor %}",
        "{% set x = [1, 2] %}{% set y = x %}{{ x is sameas y }}",
        "{% if tools is not none and tools is iterable %}t{% else %}no{% endif %}{{ documents is none }}",
        "{% extends 'x' %}", "{% include 'x' %}", "{% import 'x' as y %}",
        "{% nosuchtag %}", "{% if true %}", "{% endif %}", "{% for x in y %}{% endif %}", "{{ x", "{% x", "{# x", "{% raw %}",
        "{{ }}", "{% if %}{% endif %}", "{% set x %}", "{% for %}{% endfor %}", "}}", "%}", "{", "{ {", "",
        "{% if zero %}{{ 1 | nosuch }}{% endif %}ok", "{% if flag %}{{ 1 | nosuch }}{% endif %}ok",
        "{% for i in [] %}{{ 1 | nosuch }}{% endfor %}ok",
        "{{ raise_exception('stop') if zero else 'go' }}",
        "{% if 'a' in 'abc' %}{% elif raise_exception('x') %}{% endif %}short",
        "{{ flag or raise_exception('x') }}{{ zero and raise_exception('x') }}",
        "{% set content %}{% for m in messages %}{{ m.role }} {% endfor %}{% endset %}{{ content | trim | length }}",
        "{% for a in [1,2,3] %}{% for b in [1,2] if b != a %}{{ a }}{{ b }}{{ loop.index }} {% endfor %}{% endfor %}",
        "{{ name[:3] ~ name[4:] }}{{ name[-3:] }}{{ words[1:][0] }}{{ words[:2] | join('/') }}",
        "{% for i in range(0, 10, 3) %}{{ i }}{% endfor %}{% for i in range(3) | reverse %}{{ i }}{% endfor %}",
        "{%- for message in messages -%}\n{{ '<|' ~ message.role ~ '|>' }}\n{{ message.content }}\n{%- endfor -%}",
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles') }}{% endif %}{% endfor %}",
        "{{ bos_token }}{% for m in messages[1:] %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles') }}{% endif %}[{{ m.role }}]{% endfor %}",
    ],
    "tools": [
        "{% for t in tools %}{{ t | tojson }}\n{{ t | tojson(indent=4) }}\n{{ t }}\n{% endfor %}",
        "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
        "{% elif m.role == 'tool' %}[{{ m.content }}]{% else %}{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.content is none }}{{ m.tool_calls is defined }}{{ m.content or 'empty' }} {% endfor %}",
        "{% for c in messages[1].tool_calls %}{% for k, v in c.function.arguments.items() %}{{ k }}: {{ v if v is string else v | tojson }}, {% endfor %}{% endfor %}",
        "{{ tools[0].function.parameters.properties.city.type }}{{ tools | map(attribute='function.name') | join }}",
        "{{ messages | selectattr('role', 'eq', 'tool') | map(attribute='content') | list }}{{ enable_thinking is defined and enable_thinking is false }}",
        "{{ messages[1].content + 'x' }}", "{{ messages[1].content | trim }}", "{{ messages[1].content | length }}",
        "{{ add_generation_prompt }}{{ documents }}{{ tools | length }}",
        "{%- macro arg(v) -%}{%- if v is mapping -%}{{ '{' }}{% for k in v %}{{ k }}={{ arg(v[k]) }}{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}"
        "{%- elif v is iterable and v is not string -%}[{% for i in v %}{{ arg(i) }};{% endfor %}]{%- else -%}{{ v }}{%- endif -%}{%- endmacro -%}"
        "{{ arg(tools[0]) }}{{ arg(messages[1].tool_calls[0].function.arguments) }}",
    ],
}


def main():
    templates = [("chat", "{{ " + line + " }}") for line in EXPRESSIONS.replace("\\\nb", "\\\x00b").split("\n")]
    templates = [(context, template.replace("\x00", "\n")) for context, template in templates]
    templates += [(context, template) for context, group in STATEMENTS.items() for template in group]
    cases = []
    for context, template in templates:
        text, spans = render(template, copy.deepcopy(CONTEXTS[context]))
        if text is not None and re.search(r" at 0x|<class|<built-in|<bound|<method", text):
            continue  # nothing that another program could print
        cases.append([context, template, text] + ([spans] if text is not None and spans else []))
    contexts = {name: context | {"now": NOW} for name, context in CONTEXTS.items()}
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps(contexts, ensure_ascii=False)
    (HERE / "chat_templates.json").write_text('{"contexts": ' + head + ',\n"cases": [\n' + lines + "\n]}\n")
    print(len(cases), "cases,", sum(case[2] is None for case in cases), "refused")


if __name__ == "__main__":
    main()
