"""A page over a folder of pictures."""

from pathlib import Path

import pytest
from bright_parts import COLOURS, BrightParts, picture
from starlette.applications import Starlette

from export.page.app import make_app
from export.page.index_collection import IndexCollection
from export.page.pictures import FolderPictures
from keras_hashing.retrieval import CodeIndex


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six shades of each of three colours; the last two have a yellow corner."""
    folder = tmp_path_factory.mktemp("pictures") / "shop"
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for shade in range(6):
            content = picture(colour, shade, corner=shade > 3)
            (folder / name / f"{shade}.jpg").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def index(shop: Path) -> CodeIndex:
    """All pictures of the shop, labelled by their colours."""
    paths = sorted(shop.rglob("*.jpg"))
    codes = BrightParts().encode_bytes([path.read_bytes() for path in paths])
    ids = [path.relative_to(shop).as_posix() for path in paths]
    return CodeIndex(codes, ids, BrightParts.fingerprint, [path.parent.name for path in paths])


@pytest.fixture(scope="session")
def app(shop: Path, index: CodeIndex) -> Starlette:
    return make_app(IndexCollection(BrightParts(), index, FolderPictures(shop)), "shop")
