import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import headless
import pytest

sys.path.append(str(Path(__file__).parent.parent / "ledger"))
from exchange_project import OPEN, TAUGHT, worked, write_run

from flows.cli.browse import browse_command
from relift.errors import LedgerError
from relift.exchange import import_solutions
from relift.ledger.browsing import HardEntries, HardEntry, Offer, read_entries
from relift.report import browse
from relift.report.browse import cut, render_browse

TEMML = (Path(browse.__file__).parent / "vendor/temml.min.js").read_bytes()
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> &amp; <!-- \u202e"


def entry(text="1+1?", *, state="open", gold="2", offers=(), accuracy=0.0, number=0, run="demo-0"):
    return HardEntry(
        run=run,
        question_id=f"{number:016x}",
        state=state,
        text=text,
        gold=gold,
        source="arithmetic/add",
        times_sampled=1,
        times_unsolved=1,
        times_taught=0,
        last_accuracy=accuracy,
        samplings=(),
        attempts=(),
        offers=offers,
        lessons=(),
        leavings=(),
    )


def offer(text):
    return Offer(run="demo-0", iteration=0, source="dataset", text=text, tokens=5, cost_usd=0.0, refusal=None)


def page_of(*entries):
    return render_browse(HardEntries(entries=entries, total=len(entries)))


def data_in(html):
    return json.loads(re.search(rb'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A question taught and learned, one that a person solved through an import."""
    folder = tmp_path_factory.mktemp("project") / "runs"
    write_run(folder, "demo-0", demonstrations=[worked(), worked(OPEN, "=41", refusal="wrong: 41 is not 42")])
    rows = folder.parent / "people.jsonl"
    rows.write_text(json.dumps({"question_id": OPEN.id, "solution": "=10+32=42"}))
    import_solutions(str(rows), store=str(folder), folder=folder)
    return folder


def test_an_entry_holds_what_became_of_its_question(store):
    found = {one.question_id: one for one in read_entries(store).entries}
    learned, opened = found[TAUGHT.id], found[OPEN.id]
    assert (learned.state, learned.times_taught, learned.last_accuracy) == ("learned", 1, 0.75)
    assert [(s.iteration, s.correct, s.rollouts, s.is_hardest) for s in learned.samplings] == [
        (0, 0, 4, True),
        (1, 3, 4, False),
    ]
    assert learned.samplings[0].statuses == (("wrong", 3), ("truncated", 1))
    assert [(a.iteration, a.sample, a.status, a.text) for a in learned.attempts][-1] == (0, 3, "truncated", "t3")
    assert [(one.version, one.nll_before, one.nll_after) for one in learned.lessons] == [(2, 2.0, 0.5)]
    assert [(o.source, o.refusal) for o in opened.offers] == [
        ("human/people", None),
        ("dataset", "wrong: 41 is not 42"),
    ]


def test_runs_and_a_limit_narrow_the_page(store):
    found = read_entries(store, runs=["demo-*"], most=1)
    assert (len(found.entries), found.total) == (1, 2)
    assert b"1 hard questions of 1 run, the 1 most often unsolved of 2." in render_browse(found).html
    with pytest.raises(LedgerError, match="There are: demo-0"):
        read_entries(store, runs=["other"])


def test_what_a_model_wrote_is_data_and_never_markup():
    html = page_of(entry(HOSTILE, gold=HOSTILE, offers=(offer(HOSTILE),))).html
    assert html.count(b"<script") == html.count(b"</script>") == 2
    html = html.replace(TEMML, b"")  # it can write markup, which the page never asks of it
    assert b"<img" not in html and b"<!--" not in html
    assert data_in(html)["questions"][0][1] == HOSTILE


def test_nothing_runs_but_the_page_itself_and_nothing_comes_from_elsewhere():
    html = page_of(entry()).html.decode()
    without_temml = html.replace(TEMML.decode(), "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for kind, tag in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (inside,) = re.findall(tag, html, re.DOTALL)
        told = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind} 'sha256-{told}'" in policy
    assert len(without_temml) < len(html) - 100_000
    assert not re.search(r"(?<!-)(src|href|@import|url\()", without_temml)


def test_temml_is_the_file_that_its_note_names():
    note = (Path(browse.__file__).parent / "vendor/README.md").read_text()
    assert hashlib.sha256(TEMML).hexdigest() in note and "0.13.5" in note and b'"0.13.5"' in TEMML


def test_a_long_text_keeps_its_beginning_and_its_end_with_a_note():
    short = cut("a" * 100, 50)
    assert short == "a" * 100  # the note would be as long
    assert cut("a" * 600 + "z" * 600, 300) == "a" * 200 + "\n[... 900 characters left out ...]\n" + "z" * 100


def test_a_page_too_large_is_made_with_shorter_texts(monkeypatch):
    entries = [entry(f"{number}?", offers=(offer("x" * 9000),), number=number) for number in range(20)]
    assert not page_of(*entries).is_cut
    monkeypatch.setattr(browse, "MOST_BYTES", 60_000)
    page = page_of(*entries)
    assert page.is_cut and page.cut_at == 600 and len(page.html) < 60_000 + 40_000 + len(TEMML)
    assert "characters left out" in data_in(page.html)["entries"][0]["offers"][0][6]


def test_the_command_writes_one_file_and_refuses_what_it_would_ignore(store, tmp_path, capsys):
    arguments = {"run": "", "since": None, "limit": None, "form": "", "is_opened": False}
    browse_command(str(store), out=str(tmp_path / "hard.html"), **arguments)
    assert "2 hard questions, 0.2 MB" in capsys.readouterr().out
    assert (tmp_path / "hard.html").read_bytes() == render_browse(read_entries(store)).html
    with pytest.raises(LedgerError, match="would be ignored"):
        browse_command(str(store), out="", **{**arguments, "since": 3})


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if headless.executable() is None:
        pytest.skip("there is no Chromium on this machine, and what a browser draws can only be seen in one")
    pytest.importorskip("websockets", reason="driving Chromium needs websockets, which Prefect brings")
    with headless.chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def opened(browser, path, *entries, **how):
    path.write_bytes(page_of(*entries).html)
    browser.load(path, **how)
    browser.until("document.getElementById('count').textContent !== ''")


def open_all(browser):
    browser.ask("document.querySelectorAll('details.entry').forEach((row) => { row.open = true; })")
    browser.until("document.querySelectorAll('.body').length === document.querySelectorAll('details.entry').length")


def test_a_browser_draws_the_page_without_complaint_and_asks_nobody_for_anything(browser, store, tmp_path):
    browse_command(
        str(store), out=str(tmp_path / "hard.html"), run="", since=None, limit=None, form="", is_opened=False
    )
    browser.load(tmp_path / "hard.html")
    browser.until("document.querySelectorAll('details.entry').length === 2")
    open_all(browser)
    text = browser.ask("document.body.innerText")
    assert "learned" in text and "wrong: 41 is not 42" in text and "human/people" in text and "0.5" in text
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []


def test_hostile_text_is_shown_and_does_nothing(browser, tmp_path):
    opened(browser, tmp_path / "hostile.html", entry(HOSTILE, gold=HOSTILE, offers=(offer(HOSTILE),)))
    browser.ask("document.querySelector('details.entry').open = true")
    browser.until("document.querySelector('.body') !== null")
    assert browser.ask("document.querySelector('.asked').textContent") == HOSTILE.replace("\u202e", "\ufffd")
    assert browser.ask("document.querySelectorAll('main img, main script').length") == 0
    assert browser.complaints == []


def test_search_state_and_page_narrow_the_list_and_stand_in_the_address(browser, tmp_path):
    many = [entry(f"sum of {n} and 1?", number=n, state="open" if n % 2 else "learned") for n in range(120)]
    opened(browser, tmp_path / "many.html", *many, fragment="#state=open&page=1")
    assert browser.ask("document.getElementById('count').textContent") == "60 of 120 questions"
    assert browser.ask("document.querySelectorAll('details.entry').length") == 10  # the second page of 50
    browser.ask("document.querySelector('[data-state=\"open\"]').click()")
    assert browser.ask("document.getElementById('count').textContent") == "120 questions"
    browser.key("/")
    assert browser.ask("document.activeElement.id") == "search"
    browser.ask("document.getElementById('search').value = 'SUM 117'")
    browser.ask("document.getElementById('search').dispatchEvent(new Event('input'))")
    browser.until("document.querySelectorAll('details.entry').length === 1")
    assert "search=SUM+117" in browser.ask("location.hash")
    browser.key("ArrowDown")
    browser.key("Enter")
    browser.until("document.querySelector('details.entry').open")


FORMULAS = {
    r"$\frac{1}{2}$": ("mfrac", "12"),
    r"\(x^{10}_i\)": ("msubsup", "xi10"),
    r"$\sqrt[3]{x+1}$": ("mroot", "x+13"),
    r"$$\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$$": ("mtable", "(1234)"),
    r"so \boxed{\dfrac{\pi}{\sqrt{2}}}.": ("mrow[style*=border]", "π2"),
    r"\boxed{$28$ %}": ("mrow[style*=border]", "28%"),
    r"$\mathbb{R} \le \text{all of it}$": ("mtext", "ℝ≤all\u00a0of\u00a0it"),
    r"\begin{cases} 0 & x<0 \\ 1 & x \ge 0 \end{cases}": ("mtable", "{0x<01x≥0"),
    r"$\begin{align*} a &= b \end{align*}$": ("mtable", "a=b"),
    r"$x^23$": ("msup", "x23"),
    r"$\unheardof{x}$": ("mtext", r"\unheardofx"),
    r"$\left\{ a' \right.$": ("msup", "{a′"),
    r"$50% + 1$": ("mn", "50%+1"),
    r"$15\mbox{ cm}^2$": ("mtext", "15\u00a0cm2"),
}


def test_formulas_are_drawn_and_what_is_none_stays_as_it_was_written(browser, tmp_path):
    nested = "$" + r"\sqrt{" * 400 + "x" + "}" * 400 + "$"
    plain = [
        "It costs $5 and $6 or $7.50.",
        "between $5-$7 each",
        r"a lone \frac{1}{2} outside",
        "$",
        "$$ and \\(",
        nested,
        r"$\frac{1}$",
        r"$\def\a{\a\a}\a$",
        "$" + "x" * 6001 + "$",
    ]
    opened(browser, tmp_path / "math.html", *(entry(t, number=n) for n, t in enumerate([*FORMULAS, *plain])))
    open_all(browser)
    for index, (tex, (selector, text)) in enumerate(FORMULAS.items()):
        asked = f"document.querySelectorAll('.asked')[{index}]"
        assert browser.ask(f"{asked}.querySelector('math {selector}') !== null"), tex
        assert browser.ask(f"{asked}.querySelector('math').textContent") == text, tex
    for index, text in enumerate(plain, len(FORMULAS)):
        assert browser.ask(f"document.querySelectorAll('.asked')[{index}].textContent") == text
        assert browser.ask(f"document.querySelectorAll('.asked')[{index}].querySelector('math')") is None
    browser.ask("document.getElementById('raw').click()")
    assert browser.ask("document.querySelectorAll('math').length") == 0
    assert browser.complaints == []


DRAWN_HOSTILE = (
    r"$\textcolor{white}{x}\colorbox{black}{y}$",
    r"$\begin{align} a\tag{1}\label{pages} \end{align}$",
    "$a\u202eb$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\text{<img src=x onerror=alert(1)>}$",
)
KEPT_HOSTILE = (
    r"$\class{entry}{x}$",
    r"$\id{pages}{x}$",
    r"$\style{position:fixed}{x}$",
    r"$a\ref{pages}$",
    r"$\includegraphics{https://elsewhere.example/x.png}$",
    r"$\gdef\frac#1#2{#2}x$",
    "$" + r"\dots" * 1001 + "$",
    "$" + r"\hat{" * 900 + "x" + "}" * 900 + "$",
    r"$\begin{matrix}" + r"\begin{matrix}" * 150 + "x" + r"\end{matrix}" * 150 + r"\end{matrix}$",
)


def test_a_hostile_formula_reaches_nothing_of_the_page_around_it(browser, tmp_path):
    every = [*DRAWN_HOSTILE, *KEPT_HOSTILE, r"then $\frac{1}{2}$"]
    opened(browser, tmp_path / "hostile-math.html", *(entry(text, number=n) for n, text in enumerate(every)))
    open_all(browser)
    asked = "[...document.querySelectorAll('.asked')]"
    assert browser.ask(f"{asked}.map((one) => one.querySelector('math') !== null)") == [
        *(True for _ in DRAWN_HOSTILE),
        *(False for _ in KEPT_HOSTILE),
        True,
    ]
    assert browser.ask(f"{asked}.slice({len(DRAWN_HOSTILE)}, -1).map((one) => one.textContent)") == list(KEPT_HOSTILE)
    named = "[id], [href], [mathcolor], [mathbackground], [style*=color], a, img, script"
    assert browser.ask(f"{asked}.flatMap((one) => [...one.querySelectorAll('{named}')]).length") == 0
    assert browser.ask(f"{asked}[2].textContent") == "a\ufffdb"
    assert browser.complaints == []


def test_of_a_long_question_a_closed_row_draws_only_the_beginning(browser, tmp_path):
    long = "$x^2$ and " * 6000
    opened(browser, tmp_path / "long.html", entry(long))
    assert browser.ask("document.querySelectorAll('math').length") == 150
    open_all(browser)
    assert browser.ask("document.querySelectorAll('.asked math').length") == 6000


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_its_width_and_is_dark_where_that_is_wanted(browser, tmp_path, width):
    long = "$" + "+".join(f"x_{{{n}}}" for n in range(60)) + "$ and " + "w" * 300
    opened(browser, tmp_path / "wide.html", entry(long, offers=(offer(long),)), width=width, scheme="dark")
    browser.ask("document.querySelector('details.entry').open = true")
    browser.until("document.querySelector('.body') !== null")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 27)"


def test_every_control_has_a_name(browser, tmp_path):
    opened(browser, tmp_path / "names.html", *(entry(number=n) for n in range(60)))
    tree = browser.command("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        node["role"]["value"]
        for node in tree
        if node["role"]["value"] in ("button", "searchbox", "combobox", "checkbox", "navigation", "search")
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
