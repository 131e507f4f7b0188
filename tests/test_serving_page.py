"""The page of a running server: without a script, and in a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import httpx
import pytest
from effort import thorough
from served import PAGES, Served, asked_before, made, serving, token

from docsim import Document
from docsim.serving import page as page_module
from docsim.serving import page_snippets
from docsim.text.matching import Matcher
from docsim.use.log import UseLog

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = Document(
    "odd/<script>alert(1)</script> & 100%?#.md",
    "<img src=x onerror=alert(1)> </textarea><script>alert(2)</script> The hostile garden.",
    "<b onclick=alert(3)>Hostile</b>",
    {"team": "<i>kitchen</i>", "link": "javascript:alert(4)"},
)
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("page") / "index", tiny_encoder_dir, [*PAGES, HOSTILE])


@pytest.fixture(scope="module")
def served(index: Path) -> Iterator[Served]:
    with serving(index) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client(headers={"Accept": "text/html"}) as opened:
        yield opened


OURS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "form", "input", "button", "main", "div",
    "nav", "h1", "h2", "ul", "ol", "li", "p", "span", "mark", "article", "dl", "dt", "dd", "section", "blockquote",
}  # fmt: skip
"""The elements of our own templates."""


class Tags(HTMLParser):
    """Collects the elements of a page as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @classmethod
    def of(cls, page: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = cls()
        parser.feed(page)
        return parser.found


def links(page: str) -> list[str]:
    return [found.replace("&amp;", "&") for found in re.findall(r'href="([^"]+)"', page)]


def test_a_search_shows_hits_with_the_words_marked(client: httpx.Client) -> None:
    page = client.get("/", params={"q": "boil lentils"}).text
    assert page.index("Lentil soup") < page.index("Signing keys")
    assert "<mark>Boil</mark> the <mark>lentils</mark>" in page
    assert "of random pairs" in page


def test_what_a_question_was_taken_for_is_said_and_can_be_taken_back(client: httpx.Client) -> None:
    shown = client.get("/", params={"q": 'lentlis "until the soup" -train'}).text
    assert "<b>lentils</b> instead of lentlis" in shown
    assert "&#34;until the soup&#34; -train" in shown
    assert shown.count('<li class="hit"') == 1
    (plain, *_) = [link for link in links(shown) if "plain=true" in link]
    assert "instead of" not in client.get(plain).text


def test_every_link_of_a_search_leads_somewhere(client: httpx.Client) -> None:
    page = client.get("/", params={"q": "hostile lentils"}).text
    found = [one for one in links(page) if one.startswith(("/", "?")) and not one.startswith("//")]
    assert any(unquote(one).startswith("/d/odd/<script>") for one in found)
    for one in found:
        assert client.get(one).status_code == 200, one


def test_a_facet_narrows_the_search_and_can_be_taken_away(client: httpx.Client) -> None:
    page = client.get("/", params={"q": "lentils"}).text
    assert "/?q=lentils&f=team%3Dkitchen" in links(page)
    narrowed = client.get("/?q=lentils&f=team%3Dkitchen").text
    assert "Lentil stew" in narrowed
    assert "Signing keys" not in narrowed
    assert "/?q=lentils" in links(narrowed)
    assert "Nothing found with these filters" in client.get("/?q=lentils&f=team%3Dnobody").text


def test_the_search_box_keeps_the_question_and_its_filters(client: httpx.Client) -> None:
    inputs = [given for tag, given in Tags.of(client.get("/?q=lentils&f=team%3Dkitchen").text) if tag == "input"]
    assert [one["value"] for one in inputs if one["name"] == "q"] == ["lentils"]
    assert [one["value"] for one in inputs if one["name"] == "f"] == ["team=kitchen"]


def test_a_document_opens_with_the_passage_marked(client: httpx.Client) -> None:
    page = client.get("/d/soup.md", params={"start": 0, "end": 16}).text
    assert '<mark id="passage">Boil the lentils</mark> until the soup is soft.' in page
    assert "<mark" not in client.get("/d/soup.md", params={"start": 5, "end": 10_000}).text


def test_nothing_of_a_document_is_rendered_as_html(client: httpx.Client) -> None:
    pages = [client.get("/", params={"q": text}).text for text in ("hostile garden", "<script>alert(5)</script>")]
    address = next(one for one in links(pages[0]) if unquote(one).startswith("/d/odd/<script>"))
    pages += [client.get(address).text, client.get(address.replace("/d/", "/more/").partition("?")[0]).text]
    pages.append(client.get(address.replace("/d/", "/why/").partition("?")[0], params={"q": "hostile"}).text)
    for page in pages:
        tags = Tags.of(page)
        assert {name for name, _ in tags} <= OURS
        names = {name for _, held in tags for name in held}
        assert not any(name.startswith(("on", "style")) for name in names)
        addresses = [value for _, held in tags for name, value in held.items() if name in ("href", "src", "action")]
        assert all(value and value.startswith(("/", "#")) for value in addresses)
    assert "&lt;img src=x onerror=alert(1)&gt;" in pages[2]
    headers = client.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_draft_is_compared_with_what_there_is(client: httpx.Client) -> None:
    same = client.post("/have", files={"file": ("draft.txt", PAGES[0].text.encode())}).text
    assert "There is this already" in same
    assert 'href="/d/soup.md"' in same
    kept = client.post("/have", data={"text": "Something about lentils"})
    assert (kept.status_code, kept.headers["location"]) == (303, "/have?text=Something+about+lentils")
    assert "No document says the same word for word" in client.get(kept.headers["location"]).text
    long = client.post("/have", data={"text": f"{PAGES[0].text} " * 100})
    assert (long.status_code, "Lentil soup" in long.text) == (200, True)
    nothing = client.post("/have", data={"text": " "})
    assert nothing.status_code == 400
    assert "expected a text to search for" in nothing.text


def test_why_marks_the_words_that_carry_the_match(client: httpx.Client) -> None:
    page = client.get("/why/keys.md", params={"q": "rotate keys"}).text
    assert "Words in common" in page
    assert re.search(r"<mark>(Rotate|keys)</mark>", page)


def test_what_goes_wrong_is_told_on_a_page(client: httpx.Client) -> None:
    answer = client.get("/d/nothing.md")
    assert answer.status_code == 404
    assert "This cannot be answered" in answer.text
    assert "found no document &#39;nothing.md&#39;" in answer.text


def test_browsers_can_search_from_their_address_bar(client: httpx.Client, served: Served) -> None:
    shown = client.get("/opensearch.xml").text
    assert f'template="{served.address}/?q={{searchTerms}}"' in shown


def test_signing_in_begins_a_session_that_reads_and_signing_out_ends_it(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    path = made(tmp_path / "index", tiny_encoder_dir)
    secret = token(path, "anna", scope="write")
    with serving(path) as running, running.client(headers={"Accept": "text/html"}) as browser:
        asked = browser.get("/?q=soup")
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F%3Fq%3Dsoup")
        assert "unknown or has expired" in browser.post("/login", data={"token": "docsim_wrong"}).text
        away = browser.post("/login", data={"token": secret, "next": "//evil.example"})
        assert away.headers["location"] == "/"
        cookie = away.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        assert secret not in cookie
        assert "anna" in browser.get("/?q=soup").text
        assert browser.put("/v1/documents/x.md", json={"text": "x"}).status_code == 403
        foreign = {"Origin": "https://evil.example"}
        assert browser.post("/logout", headers=foreign).status_code == 403
        held = dict(browser.cookies)
        assert browser.post("/logout").status_code == 303
        browser.cookies.update(held)
        assert browser.get("/?q=soup").status_code == 303


# Marking


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Lentil soup\n\nOn the stove.\n", "On the stove."),
        ("## Now\n- Ring [it](../it.md).\n- **Do not** `boot`\n1. Wait", "Now · Ring it. Do not boot · Wait"),
        ("| Country | Days |\n|:--|---|\n| UK | 27 |", "Country · Days · UK · 27"),
        ("```\nqb status\n```\n![A pot](pot.png) and ~~old~~ <https://a.b>", "qb status · A pot and old https://a.b"),
        ("snake_case, 2*3*4, __init__, a < b & <b>bold</b>", "snake_case, 2*3*4, __init__, a < b & <b>bold</b>"),
        ("Lentil soup", "Lentil soup"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_snippet_reads_without_the_marks_of_markdown(text: str, shown: str) -> None:
    assert page_snippets.readable(text, title="Lentil Soup") == shown


def test_closeness_is_never_rounded_up_and_never_all_of_it() -> None:
    for percentile, shown in ((100.0, "99.9"), (99.99, "99.9"), (99.96, "99.9"), (87.65, "87.6"), (0.0, "0.0")):
        assert page_module._closeness(percentile) == f"closer than {shown} % of random pairs"
    assert page_module._closeness(None) is None


def test_a_snippet_begins_near_the_first_word_that_was_asked_for() -> None:
    text = "word " * 200 + "certificates are rotated " + "more " * 200
    parts = page_snippets.snippet(text, Matcher("rotate a certificate"))
    assert [part for part, is_marked in parts if is_marked] == ["certificates", "rotated"]
    assert (parts[0], parts[-1]) == (("… ", False), (" …", False))
    assert len("".join(part for part, _ in parts)) < 340


def test_a_text_is_cut_at_the_stretch_that_is_marked() -> None:
    assert page_snippets.cut("abcdef", 2, 4) == [("ab", False), ("cd", True), ("ef", False)]
    assert page_snippets.cut("abcdef", 4, 9) == [("abcdef", False)]


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail("expected chromium, to try the page in; found none")
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page of a browser, of the theme and width that the test asks for; fails when the page reports an error."""
    theme: Literal["light", "dark"]
    theme, width = getattr(request, "param", ("light", 1100))
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800}) as context:
        opened, errors = context.new_page(), list[str]()
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield opened
    assert errors == []


@pytest.mark.browser
def test_people_search_as_they_type_and_go_on_with_the_keyboard(page: Page, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.address)
    page.keyboard.press("/")
    page.keyboard.type("lentil", delay=5)
    page.wait_for_selector(".hit")
    page.wait_for_url("**/?q=lentil")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    title = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.textContent") != title
    page.keyboard.press("Enter")
    page.wait_for_url("**/d/*")
    assert page.locator("mark#passage").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.name") == "q"
    assert all(one.startswith(served.address) for one in asked)


@pytest.mark.browser
@pytest.mark.parametrize("page", [("light", 1100), ("dark", 320), *thorough(("dark", 1100))], indirect=True, ids=str)
def test_text_can_be_read_in_each_theme_and_fits_the_width(page: Page, served: Served) -> None:
    for path in ("/", "/?q=hostile+lentils", "/d/soup.md", "/more/soup.md", "/why/soup.md?q=soup", "/login"):
        page.goto(served.address + path)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        assert page.evaluate(CONTRAST) >= 4.5, path
        assert page.locator("h1, .hit h2").count() >= 1
        fields = "[...document.querySelectorAll('input:not([type=hidden]), textarea')]"
        assert page.evaluate(f"{fields}.filter(e => !e.labels.length && !e.ariaLabel).length") == 0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[tuple[Served, Path, str]]:
    """A server that records use, its index, and a token that may do everything."""
    twins = [
        Document(
            f"leave-{year}.md", f"Everybody has {days} days of leave a year. Ask before you book.", f"Leave {year}"
        )
        for year, days in ((2025, 28), (2026, 30))
    ]
    index = made(tmp_path_factory.mktemp("used") / "index", tiny_encoder_dir, [*PAGES, HOSTILE, *twins])
    asked_before(index)
    secret = token(index, "boss", scope="admin")
    with serving(index, "--record") as running:
        yield running, index, secret


def happened(index: Path, kind: str) -> list[tuple[str, str | None]]:
    """Wait for events of a kind; return their questions and documents."""
    end = time.monotonic() + 10
    found: list[tuple[str, str | None]] = []
    while not found and time.monotonic() < end:
        with UseLog.opened(index) as log:
            found = [
                (one.question.text, each.document) for one in log.sessions() for each in one.events if each.kind == kind
            ]
        time.sleep(0.02)
    return found


def wait_for(served: Served, secret: str, path: str) -> None:
    """Wait until what a page shows is made, which takes long where everything else is slow."""
    with served.client(secret, headers={"Accept": "text/html"}) as client:
        end = time.monotonic() + 120
        while client.get(path).status_code == 503:
            assert time.monotonic() < end
            time.sleep(0.5)


def signed_in(page: Page, address: str, secret: str) -> None:
    page.goto(f"{address}/login")
    page.fill("#token", secret)
    page.click("main button")
    page.wait_for_selector("nav")


@pytest.mark.browser
def test_people_say_in_a_browser_what_helped_and_what_did_not(page: Page, recorded: tuple[Served, Path, str]) -> None:
    served, index, secret = recorded
    signed_in(page, served.address, secret)
    page.goto(f"{served.address}/?q=train+tickets")
    page.click("text=Nothing here helped")
    page.wait_for_selector(".thanks")
    assert happened(index, "nothing") == [("train tickets", None)]
    page.click(".hit:first-child button[value=bad]")
    page.wait_for_selector(".thanks")
    first = page.locator(".hit .id").first.text_content()
    assert happened(index, "bad") == [("train tickets", first)]
    page.click(".hit h2 a >> nth=0")
    page.click("text=Just this")
    page.wait_for_selector(".thanks")
    assert [document for _, document in happened(index, "found")] == [first]
    page.goto(served.address)  # leaving the document tells how long it was read
    assert ("train tickets", first) in happened(index, "dwell")


@pytest.mark.browser
def test_whoever_runs_it_sees_gaps_and_pages_to_look_at_and_judges_in_a_browser(
    page: Page, recorded: tuple[Served, Path, str]
) -> None:
    served, index, secret = recorded
    for path in ("/admin/gaps", "/admin/hygiene", "/admin/judge"):
        wait_for(served, secret, path)
    signed_in(page, served.address, secret)
    page.click("nav >> text=Gaps")
    gap = page.locator(".group", has_text="zeppelin mooring permits")
    assert "asked 4 times by 4 people" in gap.inner_text()
    assert "In no document: zeppelin, mooring, permits" in gap.inner_text()
    assert "lentil soup" not in page.locator(".group h2").all_inner_texts()
    page.click("nav >> text=Hygiene")
    told = page.inner_text("main")
    assert "The same but for numbers and dates (1)" in told
    assert "28 or 30" in told or "30 or 28" in told
    page.click("nav >> text=Judge")
    asked, document = page.inner_text(".question").strip("“”"), page.inner_text(".asked .id")
    page.click("main button[value=good]")
    page.wait_for_url("**/admin/judge")
    assert (page.inner_text(".question").strip("“”"), page.inner_text(".asked .id")) != (asked, document)
    assert happened(index, "good") == [(asked, document)]
    page.click("text=I can't tell")
    page.wait_for_url("**/admin/judge?skip=1")
    page.goto(f"{served.address}/admin/judge?skip=50")
    assert "nothing more to ask" in page.inner_text("main")


def test_gaps_hygiene_and_judging_are_for_admins_only(recorded: tuple[Served, Path, str]) -> None:
    served, index, _ = recorded
    form = {"question": "lentil soup", "document": "soup.md", "said": "good"}
    for scope in ("read", "write"):
        with served.client(token(index, f"{scope}er", scope=scope), headers={"Accept": "text/html"}) as client:
            assert "Gaps" not in client.get("/").text
            for path in ("/admin/gaps", "/admin/hygiene", "/admin/judge"):
                assert client.get(path).status_code == 403
            assert client.post("/admin/judge", data=form).status_code == 403
    with served.client(token(index, "chief", scope="admin"), headers={"Accept": "text/html"}) as client:
        for wrong in (form | {"said": "fine"}, form | {"document": ""}, form | {"more": "x"}):
            assert client.post("/admin/judge", data=wrong).status_code == 400
        assert client.post("/admin/judge", data=form | {"document": "nowhere.md"}).status_code == 404


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """The script of axe-core, which checks a page against WCAG: from npm, kept in pytest's cache."""
    folder = request.config.cache.mkdir("axe") if request.config.cache else tmp_path_factory.mktemp("axe")
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    npm = shutil.which("npm")
    if not script.exists() and npm is not None:
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=120, check=False)
    if not script.exists():
        pytest.skip("axe-core could not be had from npm, so nothing checks the page against WCAG")
    return script.read_text()


@pytest.mark.browser
@pytest.mark.thorough
@pytest.mark.parametrize("page", [("dark", 390)], indirect=True, ids=str)
def test_every_page_passes_axe(page: Page, axe: str, tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir, [*PAGES, HOSTILE])
    asked_before(index)
    secret = token(index, "boss", scope="admin")
    with serving(index, "--record") as running:
        for path in ("/map", "/admin/gaps", "/admin/hygiene", "/admin/judge"):
            wait_for(running, secret, path)
        found = []
        page.goto(f"{running.address}/login")
        for path in (
            "/login", "/", "/?q=lentils&f=team%3Dkitchen", "/d/soup.md?start=0&end=10&q=soup",
            "/more/soup.md?like=stew.md", "/why/soup.md?q=soup", "/have?text=lentils", "/duplicates", "/map?topic=0",
            "/admin", "/admin/generations", "/admin/generations/1", "/admin/tokens", "/admin/gaps", "/admin/hygiene",
            "/admin/judge",
        ):  # fmt: skip
            if path != "/login":
                page.goto(running.address + path)
            page.evaluate(f"{axe};0")  # what the page's own policy forbids, the debugger may do
            tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
            checked = page.evaluate("(tags) => axe.run({ runOnly: tags })", tags)
            assert len(checked["passes"]) > 5, path
            found += [(path, one["id"], one["nodes"][0]["html"]) for one in checked["violations"]]
            if path == "/login":
                page.fill("#token", secret)
                page.click("main button")
        assert found == []


CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  let least = 21;
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
}"""
"""The lowest contrast of any text with what is behind it, as WCAG 2 computes it."""
