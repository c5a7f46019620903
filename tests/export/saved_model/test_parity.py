"""The SavedModel gives the codes of the Keras model, bit for bit."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export.index.index_builder import build_index
from export.index.index_items import folder_items
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.retrieval import pack_codes
from training.data import load_dataset
from training.data.sources.image_folder import load_image_folder
from training.runs.run_folder import Run


def served(folder: Path, signature: str, **inputs: object) -> np.ndarray:
    """Calls a signature in TensorFlow 2."""
    model = tf.saved_model.load(str(folder))
    (output,) = model.signatures[signature](
        **{name: tf.constant(value) for name, value in inputs.items()}
    ).values()
    return output.numpy()


def in_a_session(folder: Path, signature: str, **inputs: object) -> np.ndarray:
    """Calls a signature as TensorFlow Serving does: by tag, name and tensor names."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        definition = meta_graph.signature_def[signature]
        (output,) = definition.outputs.values()
        feed = {definition.inputs[name].name: value for name, value in inputs.items()}
        return session.run(output.name, feed)


def keras_codes_of_files(run: Run, files: list[bytes]) -> np.ndarray:
    return run.model.encode(run.preprocessing.decode_batch(tf.constant(files)).numpy())


_INVERSE = list(Image.Transpose)

CALLS = pytest.mark.parametrize("call", [served, in_a_session])


@CALLS
def test_codes_of_1000_digits_are_those_of_keras(
    call: Callable, grey_run: Run, exports: dict[str, Path], digits: np.ndarray
) -> None:
    images = digits[:1000]
    want = grey_run.model.encode(images)
    assert len(np.unique(want, axis=0)) > 500
    np.testing.assert_array_equal(call(exports["grey"], "encode", images=images), want)


@CALLS
def test_continuous_codes_are_those_of_keras(
    call: Callable, grey_run: Run, exports: dict[str, Path], digits: np.ndarray
) -> None:
    images = digits[:1000]
    continuous = call(exports["grey"], "continuous", images=images)
    assert continuous.dtype == np.float32
    want = grey_run.model.encoder.predict(images, verbose=0)
    np.testing.assert_allclose(continuous, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        pack_codes(continuous), call(exports["grey"], "encode", images=images)
    )


@pytest.mark.parametrize("run_name", ["grey", "colour"])
@pytest.mark.parametrize("size", [(5, 6), (23, 17), (64, 8)])
def test_images_of_other_sizes_are_resized_as_in_training(
    run_name: str, size: tuple[int, int], runs: dict[str, Run], exports: dict[str, Path]
) -> None:
    run = runs[run_name]
    shape = (20, *size, run.preprocessing.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    want = run.model.encode(run.preprocessing.resize(tf.constant(images)).numpy())
    np.testing.assert_array_equal(served(exports[run_name], "encode", images=images), want)


@CALLS
@pytest.mark.parametrize("run_name", ["grey", "colour"])
def test_encoded_files_are_preprocessed_as_in_training(
    call: Callable,
    run_name: str,
    runs: dict[str, Run],
    exports: dict[str, Path],
    encode_image: Callable[..., bytes],
) -> None:
    """PNG and JPEG; RGB, grey, both with alpha, and 16-bit; of the model's size and of others."""
    rng = np.random.default_rng(0)
    files = []
    for size in [(8, 8), (12, 10), (31, 20)]:
        pixels = rng.integers(0, 256, (*size, 4), dtype=np.uint8)
        deep = rng.integers(0, 2**16, size, dtype=np.uint16)
        files += [
            encode_image(pixels[..., :3], "PNG"),
            encode_image(pixels[..., :3], "JPEG"),
            encode_image(pixels[..., 0], "PNG"),
            encode_image(pixels[..., 0], "JPEG"),
            encode_image(pixels, "PNG"),
            encode_image(pixels, "PNG", "LA"),
            encode_image(deep, "PNG"),
        ]
    codes = call(exports[run_name], "encode_bytes", encoded=files)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, keras_codes_of_files(runs[run_name], files))
    encoder = ServedEncoder.load(exports[run_name])
    continuous = encoder.continuous_bytes(files)
    np.testing.assert_array_equal(pack_codes(continuous), codes)
    np.testing.assert_allclose(
        continuous, runs[run_name].encoder.continuous_bytes(files), rtol=1e-4, atol=1e-5
    )


def test_a_lossless_file_gives_the_code_of_its_pixels(
    exports: dict[str, Path], encode_image: Callable[..., bytes], digits: np.ndarray
) -> None:
    images = digits[:50]
    files = [encode_image(image[..., 0]) for image in images]
    np.testing.assert_array_equal(
        served(exports["grey"], "encode_bytes", encoded=files),
        served(exports["grey"], "encode", images=images),
    )


@CALLS
@pytest.mark.parametrize("size", [(8, 8), (9, 5)])
def test_a_batch_may_be_empty(
    call: Callable, size: tuple[int, int], exports: dict[str, Path]
) -> None:
    images = np.zeros((0, *size, 1), dtype=np.uint8)
    assert call(exports["grey"], "encode", images=images).shape == (0, 4)
    assert call(exports["grey"], "continuous", images=images).shape == (0, 32)
    files = np.zeros(0, dtype=np.bytes_)
    assert call(exports["grey"], "encode_bytes", encoded=files).shape == (0, 4)


@CALLS
def test_a_code_does_not_depend_on_the_rest_of_its_batch(
    call: Callable, exports: dict[str, Path], digits: np.ndarray
) -> None:
    images = digits[:8]
    batch = call(exports["grey"], "encode", images=images)
    for row in range(8):
        alone = call(exports["grey"], "encode", images=images[row : row + 1])
        np.testing.assert_array_equal(alone, batch[row : row + 1])


def test_the_default_signature_is_encode(exports: dict[str, Path], digits: np.ndarray) -> None:
    images = digits[:20]
    np.testing.assert_array_equal(
        served(exports["grey"], "serving_default", images=images),
        served(exports["grey"], "encode", images=images),
    )


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_half_precision_model_gives_float32_and_the_codes_of_keras(
    precision: str, tmp_path: Path, digits: np.ndarray, make_run: Callable[..., Run]
) -> None:
    run = make_run((8, 8, 1), bits=16, precision=precision)
    folder = export_saved_model(run.encoder, tmp_path)
    images = digits[:1000]
    continuous = served(folder, "continuous", images=images)
    assert continuous.dtype == np.float32
    np.testing.assert_array_equal(served(folder, "encode", images=images), run.model.encode(images))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.prepared_data(name), pytest.mark.slow])
        for name in ("fashion_mnist", "cifar10")
    ],
)
def test_codes_of_1000_stored_images_are_those_of_keras(
    name: str, tmp_path: Path, make_run: Callable[..., Run], prepared_data: Path
) -> None:
    dataset = load_dataset(name, prepared_data)
    run = make_run(dataset.preprocessing().shape)
    folder = export_saved_model(run.encoder, tmp_path)
    files = dataset.images.encoded[-1000:]
    want = keras_codes_of_files(run, files)
    np.testing.assert_array_equal(served(folder, "encode_bytes", encoded=files), want)
    np.testing.assert_array_equal(in_a_session(folder, "encode_bytes", encoded=files), want)
    pixels = run.preprocessing.decode_batch(tf.constant(files)).numpy()
    np.testing.assert_array_equal(served(folder, "encode", images=pixels), want)


def test_images_lying_on_their_side_have_the_codes_of_upright_ones(
    colour_run: Run, exports: dict[str, Path], tmp_path: Path
) -> None:
    """In the pipeline of training, in Keras, in the SavedModel and in an index."""
    # Of one colour in each 8×8 block, so that a JPEG turns without a trace.
    colours = np.random.default_rng(0).integers(0, 256, (3, 2, 3), dtype=np.uint8)
    upright = Image.fromarray(colours.repeat(8, axis=0).repeat(8, axis=1))
    contents = {}
    for file_format, options in {
        "JPEG": {"subsampling": 0},
        "PNG": {},
        "WEBP": {"lossless": True},
    }.items():
        for orientation, transposed in enumerate((None, 0, 3, 1, 5, 2, 6, 4), start=1):
            exif = Image.Exif()
            exif[0x0112] = orientation
            # Pillow's inverse of 6 (turned by 90°) is 8 (by 270°); the others are their own.
            picture = upright if transposed is None else upright.transpose(_INVERSE[transposed])
            buffer = io.BytesIO()
            picture.save(buffer, file_format, exif=exif, quality=100, **options)
            contents[f"{file_format} {orientation}.jpg"] = buffer.getvalue()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    dataset = load_image_folder(tmp_path, labels="none")
    in_order = [contents[name] for name in dataset.ids]
    batches = dataset.images.images(range(24), colour_run.preprocessing).batch(24)
    continuous = {
        "training": colour_run.model.encoder.predict(batches, verbose=0),
        "Keras": colour_run.encoder.continuous(
            colour_run.preprocessing.decode_batch(tf.constant(in_order)).numpy()
        ),
    }
    codes = {name: pack_codes(values) for name, values in continuous.items()}
    codes["SavedModel"] = in_a_session(exports["colour"], "encode_bytes", encoded=in_order)
    index = build_index(colour_run.encoder, folder_items(tmp_path), tmp_path / "i.npz").index
    assert index.ids[:] == sorted(dataset.ids)
    codes["index"] = index.codes[[index.ids[:].index(name) for name in dataset.ids]]
    for start in (0, 8, 16):
        for of_path in codes.values():
            np.testing.assert_array_equal(of_path[start : start + 8], of_path[[start] * 8])
    for of_path in codes.values():
        np.testing.assert_array_equal(of_path, codes["Keras"])
