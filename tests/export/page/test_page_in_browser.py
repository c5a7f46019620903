"""The search page in a real browser, which is not allowed to ask anyone else."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from bright_parts import COLOURS, picture
from starlette.applications import Starlette

import export.page.app
from keras_hashing.files.picture_sheet import PictureSheet, Shown

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH")


@pytest.fixture(scope="module")
def address(app: Starlette) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox.
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(params=[1280, 390])
def tab(
    request: pytest.FixtureRequest, browser: "sync_api.Browser", address: str
) -> Iterator["sync_api.Page"]:
    """The page, at two widths; nothing is asked elsewhere, and nothing goes wrong in silence."""
    viewport = {"width": request.param, "height": 900}
    context = browser.new_context(viewport=viewport, accept_downloads=True)
    context.set_default_timeout(10_000)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(address)
    page.wait_for_selector("#results .card")
    yield page
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    assert [text for text in wrong if "400 (Bad Request)" not in text] == []
    assert wide == request.param  # nothing sticks out


def ids(tab: "sync_api.Page", of: str = "#results") -> list[str]:
    return tab.locator(f"{of} .id").all_text_contents()


def put(tab: "sync_api.Page", slider: str, value: int) -> None:
    tab.locator(slider).evaluate(
        f"slider => {{ slider.value = {value}; slider.dispatchEvent(new Event('input')) }}"
    )


def test_a_person_searches_goes_on_and_back(tab: "sync_api.Page", tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture(COLOURS["green"], 2))
    tab.set_input_files("#file", photo)
    tab.wait_for_selector("#query-name:text('photo.jpg')")
    assert [name.split("/")[0] for name in ids(tab)[:4]] == ["green"] * 4
    code = tab.url.split("#code=")[1]
    assert code in tab.inner_text("#code-caption")
    last = tab.locator("#results .card > button").last
    last.focus()
    differs = tab.locator("#bits .differs").get_attribute("d")
    assert differs.count("M") == int(last.locator(".distance").inner_text().split()[0]) > 0
    assert "differs in bits" in tab.inner_text("#code-caption")

    put(tab, "#k", 3)
    tab.wait_for_function("() => document.querySelectorAll('#results .card').length === 3")
    chosen = ids(tab)[1]
    tab.locator("#results .card > button").nth(1).click()
    tab.wait_for_selector(f"#query-name:text('{chosen}')")
    assert chosen not in ids(tab)
    tab.go_back()
    tab.wait_for_selector("#query-name:text('photo.jpg')")
    assert chosen in ids(tab)
    put(tab, "#k", 17)
    put(tab, "#distance", 0)
    tab.wait_for_function("() => document.querySelectorAll('#results .card').length === 4")
    tab.click("#random")
    tab.wait_for_url("**#item=*")


def test_a_picture_is_pasted_and_a_bad_one_is_told(tab: "sync_api.Page") -> None:
    before = tab.inner_text("#query-name")
    tab.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["<svg/>"], "drawing.svg", { type: "image/svg+xml" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }"""
    )
    tab.wait_for_selector("#problem:text('The picture is an SVG file')")
    assert tab.inner_text("#query-name") == before
    tab.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(50 * 2 ** 20)], "huge.jpg"));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
        }"""
    )
    tab.wait_for_selector("#problem:text('more than 32 MB')")
    tab.click("#random")
    tab.wait_for_selector("#problem", state="hidden")


def test_it_is_used_by_keyboard(tab: "sync_api.Page") -> None:
    first = tab.locator("#results .card > button").first
    first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.innerText").split("\n")[-1] == ids(tab)[1]
    columns = 7 if tab.viewport_size["width"] == 1280 else 3
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowDown")
    wanted = ids(tab)[columns]
    assert tab.evaluate("document.activeElement.innerText").split("\n")[-1] == wanted
    tab.keyboard.press("Enter")
    tab.wait_for_selector(f"#query-name:text('{wanted}')")
    tab.wait_for_function("() => document.activeElement.closest('#results')")


def test_near_duplicates_are_seen_and_listed(
    tab: "sync_api.Page", shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.page.app, "_OF_A_CLUSTER", 3)
    tab.click("#to-duplicates")
    put(tab, "#radius", 0)
    tab.wait_for_selector("#duplicates-status:text('6 clusters with 18 pictures')")
    assert ids(tab, "#clusters > li:first-child")[0] == "blue/0.jpg"
    assert "blue/3.jpg" not in ids(tab, "#clusters > li:first-child")
    tab.get_by_text("Show more of the 1 that are left").first.click()
    tab.get_by_label("Remove blue, blue/3.jpg").wait_for()
    tab.get_by_label("Remove blue, blue/0.jpg").check()
    tab.get_by_label("Remove blue, blue/1.jpg").uncheck()
    with tab.expect_download() as download:
        tab.click("#download")
    listed = set(Path(download.value.path()).read_text().split())
    every = {path.relative_to(shop).as_posix() for path in shop.rglob("*.jpg")}
    stay = {"blue/1.jpg", "blue/4.jpg", "green/0.jpg", "green/4.jpg", "red/0.jpg", "red/4.jpg"}
    assert every - listed == stay
    tab.locator("#clusters .card > button").first.click()
    tab.wait_for_selector("#query-name:text('blue/0.jpg')")


@pytest.fixture
def axe_finds() -> Callable[["sync_api.Page"], list[tuple[str, str]]]:
    """The violations that axe-core finds on a page, with the element of each."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed"
    )

    def find(page: "sync_api.Page") -> list[tuple[str, str]]:
        found = axe.Axe().run(page).response["violations"]
        return [(one["id"], one["nodes"][0]["html"]) for one in found]

    return find


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(
    browser: "sync_api.Browser", address: str, scheme: str, axe_finds: Callable, tmp_path: Path
) -> None:
    sheet = PictureSheet("Found", "Each picture on the left was searched for.")
    sheet.facts({"mAP": "0.5"})
    sheet.section("Worst")
    found = [Shown(name, "red, 2 bits", picture(colour), name == "red")
             for name, colour in COLOURS.items()]  # fmt: skip
    sheet.row(Shown("query", "", picture(COLOURS["red"])), [*found, Shown("gone", "", None)])
    sheet.figure(picture(COLOURS["blue"]), "A drawing")
    sheet.figure(picture(COLOURS["blue"]), "A large drawing", wide=True)
    sheet.answer(["take **csq**"])
    sheet.details("How it was chosen", "by a rule")
    sheet.code(["make test"])
    sheet.table(["method", "none"], [["csq", "**0.5**"]], "a note")
    (tmp_path / "sheet.html").write_text(sheet.html(), encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for url, loaded in (
        (f"{address}#item=0", "#results .card img"),
        (f"{address}#duplicates", "#clusters .card img"),
        ((tmp_path / "sheet.html").as_uri(), "li.miss img"),
    ):
        page.goto(url)
        page.wait_for_selector(loaded)
        assert axe_finds(page) == []
    context.close()
