"""The sheet of pictures: one file, with nothing from elsewhere, of a bounded size."""

import io
import re

import numpy as np
from PIL import Image

from keras_hashing.files.picture_sheet import PictureSheet, Shown


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def test_pictures_are_in_the_file_with_their_names() -> None:
    sheet = PictureSheet("<Found>", "about & more")
    sheet.facts({"mAP": "0.5"})
    sheet.section("Worst")
    hit, miss = (Shown("a<b>.jpg", "cat", noise(1), True), Shown("c.jpg", "dog", b"none", False))
    assert sheet.row(Shown("q\udcff.jpg", "", None), [hit, miss])
    html = sheet.html()
    assert "<title>&lt;Found&gt;</title>" in html
    assert "<dt>mAP</dt><dd>0.5</dd>" in html
    assert re.search(
        r'<li class="hit"><img alt="Hit: a&lt;b&gt;.jpg: cat" src="data:image/jpeg;', html
    )
    assert re.search(r'<li class="miss"><span class="none">is no image', html)
    assert '<li class="query"><span class="none">no picture' in html
    assert "<span>q?.jpg</span>" in html
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)


def test_what_does_not_fit_is_counted() -> None:
    sheet = PictureSheet("Found", "about", most_bytes=200_000)
    row = Shown("query", "", noise(0)), [Shown(str(seed), "", noise(seed)) for seed in range(5)]
    sheet.rows([row] * 20)
    html = sheet.html()
    rows = html.count("<ol>")
    assert 2 < rows < 19
    assert f"{20 - rows} more of 20 queries" in html
    assert len(html.encode()) < 200_000


def test_tables_and_commands_are_text_in_which_only_stars_mean_something() -> None:
    sheet = PictureSheet("Found")
    sheet.answer(["take **a<b>** now"])
    sheet.code(["fit --output 'a b' && echo <x>"])
    rows = [["csq", "1", "**0.5**"], ["csq", "2", "<0.4>"], ["dpsh", "1", "0.3 * 2 ** 2"]]
    sheet.table(["method", "bits", "none & all"], rows, "how to read it", groups=True)
    html = sheet.html()
    assert "<p>take <strong>a&lt;b&gt;</strong> now</p>" in html
    assert "fit --output &#x27;a b&#x27; &amp;&amp; echo &lt;x&gt;</pre>" in html
    cells = re.findall(r"<(?:td|th\b[^>]*)>(.*?)</t[hd]>", html)
    assert cells[:3] == ["method", "bits", "none &amp; all"]
    assert cells[3:6] == ["csq", "1", "<strong>0.5</strong>"]
    assert cells[6:] == ["csq", "2", "&lt;0.4&gt;", "dpsh", "1", "0.3 * 2 ** 2"]
    assert re.findall(r"<tr( class=first)?><th scope=row>", html) == ["", "", " class=first"]
    assert "<p>how to read it</p>" in html
