"""What Beam writes in shards is what `index build` writes, however it is interrupted."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

beam = pytest.importorskip(
    "apache_beam", reason="Apache Beam is not installed: pip install 'keras-hashing[beam]'"
)

from apache_beam.testing.util import assert_that, equal_to  # noqa: E402

from export.beam.encode_images import EncodeImages  # noqa: E402
from export.beam.job import check_no_shards, encode_to_shards  # noqa: E402
from export.beam.shards import REPEATED, CodeSpace  # noqa: E402
from export.beam.sources import FromParquet, FromTFRecord, Listed, Matched  # noqa: E402
from export.index.code_shards import index_of_shards  # noqa: E402
from export.index.index_builder import build_index  # noqa: E402
from export.index.index_items import folder_items, list_items  # noqa: E402
from export.saved_model.served_encoder import ServedEncoder  # noqa: E402
from keras_hashing.files.image_verdict import DAMAGED, NO_IMAGE  # noqa: E402

COUNT = 12


def codes_by_id(index) -> dict[str, bytes]:
    return dict(zip(index.ids, map(bytes, index.codes), strict=True))


@pytest.fixture(scope="module")
def model(exports: dict[str, Path]) -> Path:
    return exports["grey"]


@pytest.fixture(scope="module")
def encoder(model: Path) -> ServedEncoder:
    return ServedEncoder.load(model)


@pytest.fixture
def photos(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> Path:
    """Digits as files 0.png, more/1.png, …, and two bad ones."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for at in range(COUNT):
        path = folder / ("more" if at % 2 else "") / f"{at}.png"
        path.write_bytes(encode_image(digits[at][..., 0]))
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:40])
    (folder / "text.png").write_bytes(b"no image")
    return folder


def encode(source, model: Path, encoder: ServedEncoder, folder: Path, **options):
    """The index of the shards that a job wrote."""
    space = CodeSpace(encoder.fingerprint, encoder.bits)
    encode_to_shards(
        source,
        model,
        str(folder),
        space,
        shards=3,
        **{"options": ["--runner=FnApiRunner"], **options},
    )
    output = folder.with_suffix(".npz")
    return index_of_shards(folder, output, on_bad_image="skip", replace=True)


def test_the_codes_and_verdicts_of_each_source_are_those_of_index_build(
    model: Path, encoder: ServedEncoder, photos: Path, tmp_path: Path
) -> None:
    import pyarrow
    import pyarrow.parquet
    import tensorflow as tf

    plain = build_index(encoder, folder_items(photos), tmp_path / "p.npz", on_bad_image="skip")
    expected = codes_by_id(plain.index)
    assert plain.skipped == {"cut.png": DAMAGED, "text.png": NO_IMAGE}

    contents = {name: (photos / name).read_bytes() for name in [*plain.skipped, *expected]}
    columns = {"id": list(contents), "image": list(contents.values())}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "images.parquet")
    with tf.io.TFRecordWriter(str(tmp_path / "images.tfrecord")) as writer:
        for name, content in contents.items():
            features = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for key, value in (("name", name.encode()), ("image/encoded", content))
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    sources = {
        "folder": Listed(partial(folder_items, photos)),
        "pattern": Matched(f"{photos}/**.png"),
        "tfrecord": FromTFRecord(f"{tmp_path}/*.tfrecord", name="name"),
        "parquet": FromParquet(f"{tmp_path}/*.parquet"),
    }
    for name, source in sources.items():
        built = encode(source, model, encoder, tmp_path / name)
        assert codes_by_id(built.index) == expected, name
        assert built.skipped == plain.skipped, name
        assert built.index.fingerprint == encoder.fingerprint
        assert len(list((tmp_path / name).iterdir())) == 3 + 2, name

    with pytest.raises(ValueError, match="must have 'pixels', the bytes of an image file"):
        encode(FromParquet(f"{tmp_path}/*.parquet", "pixels"), model, encoder, tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "manifest.json").exists()


def test_a_list_brings_its_labels_and_a_second_job_replaces_the_first(
    model: Path, encoder: ServedEncoder, photos: Path, tmp_path: Path
) -> None:
    file = tmp_path / "list.txt"
    file.write_text("0.png 1 0\nmore/1.png 0 1\n2.png 1 1\n")

    items = partial(list_items, file, photos, ["cat", "dog"])
    labels = Listed(items, labels=True)
    index = encode(Listed(items), model, encoder, tmp_path / "s", labels=labels).index
    found = dict(zip(index.ids, index.labels or (), strict=True))
    assert found == {"0.png": "cat", "more/1.png": "dog", "2.png": "cat, dog"}
    with pytest.raises(FileExistsError, match="--replace"):
        check_no_shards(str(tmp_path / "s"))

    left = tmp_path / "s" / ".codes-00000-of-00003-dead.npz.beef.partial"
    left.touch()
    twice = beam.Create([("a", str(photos / "0.png")), ("a", str(photos / "2.png"))])
    built = encode(twice, model, encoder, tmp_path / "s")
    assert (list(built.index.ids), built.skipped) == (["a"], {"a": REPEATED})
    assert len(list((tmp_path / "s").iterdir())) == 3  # nothing of the first, nor what was left


def test_the_transform_takes_paths_and_contents_in_a_pipeline_of_ones_own(
    model: Path, encoder: ServedEncoder, photos: Path
) -> None:
    content, path = (photos / "0.png").read_bytes(), str(photos / "more" / "1.png")
    codes = [bytes(code) for code in encoder.encode_files([photos / "0.png", path]).codes]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        images = beam.Create([("seven", content)]), beam.Create([path, "absent.png"])
        encoded = [
            pipeline | f"{at}" >> image | f"Encode {at}" >> EncodeImages(model, batch_size=2)
            for at, image in enumerate(images)
        ]
        assert_that(encoded[0].codes, equal_to([("seven", codes[0])]), "contents")
        assert_that(encoded[1].codes, equal_to([(path, codes[1])]), "paths")
        problem = "cannot be read (No such file or directory)"
        assert_that(encoded[1].bad, equal_to([("absent.png", problem)]), "bad")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # Beam's own
def test_a_killed_worker_leaves_nothing_that_counts_and_the_next_job_is_whole(
    model: Path, encoder: ServedEncoder, photos: Path, tmp_path: Path
) -> None:
    """It is killed among the images of its part; the other one has a part, too."""
    paths = [(path.name, str(path)) for path in sorted(photos.glob("**/[0-9]*.png"))]
    expected = dict(
        zip(
            [name for name, _ in paths],
            encoder.encode_files([p for _, p in paths]).codes,
            strict=True,
        )
    )
    died = tmp_path / "died"

    def kill_once(image: tuple[str, str]) -> tuple[str, str]:
        import os
        import signal

        if image[0] == "7.png" and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return image

    def source():
        return "Images" >> beam.Create(paths) | beam.Reshuffle() | beam.Map(kill_once)

    options = ["--runner=FnApiRunner", "--direct_num_workers=2"]
    options.append("--direct_running_mode=multi_processing")
    with pytest.raises(ValueError, match="a worker has ended in the middle.*again"):
        encode(source(), model, encoder, tmp_path / "s", options=options)
    assert died.exists()
    assert not (tmp_path / "s" / "manifest.json").exists()
    built = encode(source(), model, encoder, tmp_path / "s", options=options)
    assert codes_by_id(built.index) == {name: bytes(code) for name, code in expected.items()}
    assert len(list((tmp_path / "s").iterdir())) == 3 + 2
