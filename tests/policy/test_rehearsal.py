"""Templates come from strangers: whatever they hold, trying one ends soon, in little memory, with a reason."""

from __future__ import annotations

import resource
import time

import pytest

from relift.policy.rehearsal import rehearse
from tests.models.families import FAMILIES

pytestmark = pytest.mark.attacks

ASKED = [{"role": "user", "content": "6*7?"}]
HOSTILE = {
    "{% for i in range(10**9) %}x{% endfor %}": "Range too big",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "it takes more than 2 s",
    "{{ 'x' * (10**12) }}": "it takes more than 1 GiB of memory",
    "{% for i in range(99999) %}{{ messages[0].content * 1000 }}{% endfor %}": "it writes more than 1 MiB",
    "{{ messages[0].content * 999999 }}": "it writes more than 1 MiB",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "recursion",
    "{" * 100_000: "recursion",
    "{{ ''.__class__.__mro__ }}": "unsafe",
    "{% if %}": "(line 1) [TemplateSyntaxError]",
    "{{ messages[3].content.x }}": "no element 3",
    "{{ messages[0].content + 1 }}": "[TypeError]",
    "{{ raise_exception('no such role') }}": "no such role",
    "{{ messages[0].content | nothing }}": "nothing",
}


@pytest.mark.parametrize("template", HOSTILE, ids=lambda template: template[:30])
def test_a_hostile_or_odd_template_is_a_reason_within_seconds_and_little_memory(template: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    (reason,) = rehearse(template, {}, [(ASKED, True)])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert HOSTILE[template] in (reason or "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
    assert after.ru_maxrss < 1200 << 10


def test_each_chat_gets_its_own_answer_and_what_was_not_tried_is_no_success() -> None:
    template = (
        "{% if messages[0].content == 'loop' %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
    )
    template += "{% endfor %}{% endif %}{{ messages[0].text.x }}"
    chats = [([{"role": "user", "content": text}], True) for text in ("a", "loop", "b")]
    began = time.monotonic()
    first, second, third = rehearse(template, {}, chats)
    assert "[UndefinedError]" in (first or "")
    assert (second, third) == ("it takes more than 2 s", "it was not tried")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_library_renders_is_rendered_here_too(name: str) -> None:
    family = FAMILIES[name]
    tokenizer = family.build()
    variables = {**tokenizer.special_tokens_map, **dict(family.kwargs)}
    several = [*ASKED, {"role": "assistant", "content": "42"}, {"role": "user", "content": "And 6*8?"}]
    assert rehearse(tokenizer.chat_template, variables, [(ASKED, True), (several, True), (ASKED, False)]) == [None] * 3
    marked = (
        "{% generation %}{{ messages[0].content }}{% endgeneration %}{{ strftime_now('%Y') }}{{ messages | tojson }}"
    )
    assert rehearse(marked, variables, [(ASKED, True)]) == [None]
