"""Pages of runs and comparisons: one file, nothing to fetch, readable without seeing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from stream.cli import main
from stream.replay.compare import Kind
from stream.replay.history import History
from stream.replay.outputs import moves, read_output
from stream.reports import pictures
from stream.reports.json import Difference
from stream.reports.pictures import Drawer, Period
from stream.reports.run import overlap_card
from stream.simulate import Shop, simulate
from tests.conftest import lacking

DEFINITIONS = """
version: 1
timezone: Asia/Seoul
events:
  cart: {type: product_added}
  buy: {type: order_completed}
features: {spent: {sum: buy.value}}
segments:
  cart_abandoned:
    description: A <cart> & nothing bought
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {do: buy}
    ttl: 24h
  buyer: {when: {do: buy, last: 3d}}
  nobody: {when: "spent > 1e9"}
ladders:
  worth:
    tiers:
      - {name: gold, when: "spent >= 300"}
      - {name: silver, when: "spent >= 1"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's log, definitions, and edited ones; a report of a run and one of what the edit changes."""
    pytest.importorskip("matplotlib", reason="the plots extra is not installed")
    folder = tmp_path_factory.mktemp("pages")
    (folder / "shop.jsonl").write_bytes(b"\n".join(simulate(Shop(users=150, days=8, seed=2))))
    (folder / "old.yaml").write_text(DEFINITIONS, encoding="utf-8")
    edited = DEFINITIONS.replace("30m", "2h").replace("spent >= 300", "spent >= 200")
    (folder / "new.yaml").write_text(edited, encoding="utf-8")
    log = str(folder / "shop.jsonl")
    old = ("--segments", str(folder / "old.yaml"))
    ran = invoke(
        "replay", log, *old, "--out", str(folder / "out.jsonl"), "--report", str(folder / "run.html")
    )
    assert ran.exit_code == 0, ran.output
    new = ("--against", str(folder / "new.yaml"))
    more = ("--report", str(folder / "diff.html"), "--json", str(folder / "diff.json"))
    compared = invoke("diff", log, *old, *new, *more)
    assert compared.exit_code == 1, compared.output
    (folder / "diff.txt").write_text(compared.output, encoding="utf-8")
    return folder


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


class _Page(HTMLParser):
    """What a page is made of, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found[name] or "" for name in ("href", "src", "xlink:href") if name in found]
        if tag not in {"meta", "br", "link"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("name", ["run.html", "diff.html"])
def test_a_page_stands_alone_and_is_well_made(folder: Path, name: str) -> None:
    source = (folder / name).read_text(encoding="utf-8")
    page = _Page(source)
    assert len(page.ids) == len(set(page.ids)), "no id twice"
    inner = {link for link in page.links if link.startswith("#")}
    assert {link[1:] for link in inner} <= set(page.ids)
    assert set(page.links) <= inner, "nothing is fetched"
    assert not re.search(r"url\(['\"]?(?!#)|@import|<script|<link|javascript:", source)
    assert "<cart>" not in source, "what definitions say is escaped"
    assert "A &lt;cart&gt; &amp; nothing bought" in source


@pytest.mark.parametrize("name", ["run.html", "diff.html"])
def test_every_picture_says_in_words_what_it_shows(folder: Path, name: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", (folder / name).read_text(encoding="utf-8"), re.DOTALL)
    assert len(pictures) >= 10
    for picture in pictures:
        root = ET.fromstring(picture.replace("xlink:", ""))
        assert root.get("role") == "img"
        title, description = root.find("title"), root.find("desc")
        assert title is not None
        assert description is not None
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text
        assert re.search(r"\d|nobody", description.text or "")


def test_a_run_is_told_in_the_days_of_its_definitions(folder: Path) -> None:
    text = " ".join(_Page((folder / "run.html").read_text(encoding="utf-8")).text)
    changes = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
    entered = [c for c in changes if c["type"] == "entered" and c["segment"]["key"] == "cart_abandoned"]
    people = {change["user"]["id"] for change in entered}
    assert f"{len(people)} people entered {len(entered)} times" in text
    assert "days of Asia/Seoul" in text
    assert "Nobody entered: nobody." in text


def test_a_comparison_answers_first(folder: Path) -> None:
    page = (folder / "diff.html").read_text(encoding="utf-8")
    verdict = " ".join(
        _Page(page[page.index('class="card verdict"') - 9 : page.index("</section>") + 10]).text
    )
    said = r"cart_abandoned\s*: \d+ entries instead of \d+ \(−\d+ %\).* nearly all enter later, typically by 1 h 30"
    assert re.search(said, verdict)
    assert "worth: gold" in verdict
    assert "The same as before: buyer, nobody" in verdict
    assert "not yet a member" in page, "examples explain"
    assert "wanted: at least 2 h" in page
    assert "<del>-    when: {seq: [{do: cart}, {not: buy, for: 30m}]}</del>" in page


def test_kinds_have_the_names_that_machines_know() -> None:
    assert {kind.replace(" ", "_") for kind in Kind} == set(get_args(Difference))


def test_machines_get_the_same(folder: Path) -> None:
    found = json.loads((folder / "diff.json").read_text())
    assert (found["schema"], found["differs"]) == ("segment-diff/1", True)
    row = found["rows"]["cart_abandoned"]
    assert row["after"]["entries"] < row["before"]["entries"]
    assert row["differences"]["enters_later"]["median_shift_ms"] == 90 * 60_000
    example = next(each for each in row["examples"] if each["difference"] == "enters_later")
    assert (example["explanation"]["side"], example["explanation"]["member"]) == ("after", False)
    assert example["explanation"]["when"]["verdict"] is False
    assert found["rows"]["buyer"]["differs"] is False
    schema = Path(__file__).parent.parent.parent / "schemas" / "segment-diff-1.schema.json"
    Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(found)


def test_a_ladder_is_told_as_tiers_before_and_after(folder: Path) -> None:
    """The edit makes gold easier: people move up, and nobody moves down."""
    ladder = json.loads((folder / "diff.json").read_text())["ladders"]["worth"]
    cells = {(cell["before"], cell["after"]): cell for cell in ladder["cells"]}
    assert set(cells) == {("gold", "gold"), ("silver", "silver"), ("silver", "gold")}
    risen = cells["silver", "gold"]
    assert ladder["moved"] == risen["people"] > 0
    assert 0 < len(risen["examples"]) <= risen["people"]
    assert "examples" not in cells["gold", "gold"]
    page = (folder / "diff.html").read_text(encoding="utf-8")
    content = page[page.index("<h3>worth: where") :].partition("</section>")[0]
    card = " ".join(_Page(content).text)
    words = card.split()
    rows = {tier: words.index(tier, words.index("before") + 1) for tier in ("gold", "silver")}
    assert f"silver → gold: {risen['people']}, among them {risen['examples'][0]}" in card
    assert rows["gold"] < rows["silver"], "in the order of the definitions"
    said = f"worth, at the end: {risen['people']} silver → gold"
    assert said in (folder / "diff.txt").read_text(encoding="utf-8")


def test_the_same_input_gives_the_same_page(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    command = [
        "replay",
        str(folder / "shop.jsonl"),
        "--segments",
        str(folder / "old.yaml"),
        "--out",
        "/dev/null",
    ]
    subprocess.run(
        [sys.executable, "-m", "stream", *command, "--report", str(again)], check=True, timeout=120
    )
    assert again.read_bytes() == (folder / "run.html").read_bytes()


def test_a_log_in_which_nothing_happens_has_a_page_too(folder: Path, tmp_path: Path) -> None:
    empty, page = tmp_path / "empty.jsonl", tmp_path / "page.html"
    empty.write_text("", encoding="utf-8")
    arguments = ("--segments", str(folder / "old.yaml"), "--report", str(page))
    assert invoke("replay", str(empty), *arguments).exit_code == 0
    assert "Nobody entered: cart_abandoned, buyer, nobody, worth: gold, worth: silver." in page.read_text()
    arguments = ("--segments", str(folder / "old.yaml"), "--against", str(folder / "new.yaml"))
    compared = invoke("diff", str(empty), *arguments, "--report", str(page))
    assert compared.exit_code == 0
    assert "Nothing changes" in page.read_text(encoding="utf-8")
    assert "though cart_abandoned, worth: gold and worth: silver were edited." in compared.output


def test_of_many_segments_the_largest_are_laid_over_each_other(folder: Path) -> None:
    history = History()
    for move in moves(read_output(str(folder / "out.jsonl"))):
        for copy in range(20):
            history.take(move._replace(row=f"{move.row} {copy}"))
    history.close()
    busy = list(history.rows)
    assert len(busy) > 60
    card = overlap_card(Drawer(Period(0, 1, UTC)), history, busy)
    assert card.count('<th scope="row">') == 25


def test_without_matplotlib_the_fix_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    for command in (["diff", "none", "none"], ["replay", "none", "--segments", str(folder / "old.yaml")]):
        result = invoke(*command, "--report", str(folder / "none.html"))
        assert result.exit_code == 3
        assert "segstream[plots]" in result.stderr


CHECK = """<script>addEventListener("load", () => {
  const flat = [...document.querySelectorAll("svg")].filter(e => e.getBoundingClientRect().height < 60).length;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const outside = [...document.querySelectorAll("svg text")].filter(e => {
    const own = e.getBoundingClientRect(), box = e.closest("svg").getBoundingClientRect();
    return own.left < box.left - 8 || own.right > box.right + 8;
  }).map(e => e.textContent);
  document.title = JSON.stringify({flat, wide, outside});
});</script>"""


@pytest.mark.parametrize("name", ["run.html", "diff.html"])
def test_a_browser_shows_it_on_a_narrow_screen_too(folder: Path, tmp_path: Path, name: str) -> None:
    """In a real browser: no picture is flat, no text is cut off, nothing needs scrolling sideways."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        lacking("chromium is not installed")
        raise AssertionError("unreachable")
    page = tmp_path / name
    source = (folder / name).read_text(encoding="utf-8")
    page.write_text(source.replace("</body>", f"{CHECK}</body>"), encoding="utf-8")
    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-sync"
    options = [f"--{option}" for option in f"headless {quiet} disable-component-update".split()]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=520,900", "--dump-dom"]
    done = subprocess.run([chromium, *options, page.as_uri()], capture_output=True, timeout=60, check=False)
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout.decode(), re.DOTALL)
    assert title is not None, done.stderr.decode()
    assert json.loads(title[1].replace("&quot;", '"')) == {"flat": 0, "wide": 0, "outside": []}
