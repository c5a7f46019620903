import contextlib
import gc
import io
import json
import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_hashing.images.preprocessing import ImagePreprocessing


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


def encoded(image: np.ndarray, file_format: str = "PNG", mode: str | None = None) -> bytes:
    picture = Image.fromarray(image)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, file_format)
    return buffer.getvalue()


def as_is(channels: int) -> ImagePreprocessing:
    return ImagePreprocessing(height=9, width=7, channels=channels)


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_rgb_decodes_without_loss(pixels: np.ndarray, file_format: str) -> None:
    rgb = pixels[..., :3]
    np.testing.assert_array_equal(as_is(3).decode(encoded(rgb, file_format)), rgb)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_grey_decodes_without_loss(pixels: np.ndarray, file_format: str) -> None:
    grey = pixels[..., 0]
    content = encoded(grey, file_format)
    np.testing.assert_array_equal(as_is(1).decode(content)[..., 0], grey)
    np.testing.assert_array_equal(as_is(3).decode(content), np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_alpha_is_dropped(pixels: np.ndarray, file_format: str) -> None:
    np.testing.assert_array_equal(as_is(3).decode(encoded(pixels, file_format)), pixels[..., :3])


def test_alpha_of_grey_images_is_dropped(pixels: np.ndarray) -> None:
    grey_alpha = np.asarray(Image.fromarray(pixels).convert("LA"))
    content = encoded(pixels, mode="LA")
    np.testing.assert_array_equal(as_is(1).decode(content)[..., 0], grey_alpha[..., 0])


def test_palette_png_gives_its_colours(pixels: np.ndarray) -> None:
    content = encoded(pixels[..., :3], mode="P")
    want = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(as_is(3).decode(content), want)


def test_sixteen_bit_png_keeps_its_high_bytes(pixels: np.ndarray) -> None:
    deep = pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1] // 8
    np.testing.assert_array_equal(as_is(1).decode(encoded(deep))[..., 0], pixels[..., 0])


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_colour_to_grey_agrees_with_pillow(pixels: np.ndarray, file_format: str) -> None:
    content = encoded(pixels[..., :3], file_format)
    rgb = as_is(3).decode(content).numpy()
    want = np.asarray(Image.fromarray(rgb).convert("L")).astype(int)
    got = as_is(1).decode(content).numpy()[..., 0].astype(int)
    assert np.abs(got - want).max() <= 1


def test_jpeg_agrees_with_pillow() -> None:
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    content = encoded(smooth, "JPEG")
    got = ImagePreprocessing(32, 32, 3).decode(content).numpy().astype(int)
    want = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert np.abs(got - want).mean() < 1.5


def test_a_gif_gives_its_first_frame(pixels: np.ndarray) -> None:
    frames = [Image.fromarray(pixels[..., channel]) for channel in (0, 1)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(as_is(1).decode(buffer.getvalue())[..., 0], pixels[..., 0])


@pytest.mark.parametrize(("height", "width"), [(4, 3), (5, 14), (20, 20)])
def test_resize_agrees_with_pillow_antialiased_bilinear(
    pixels: np.ndarray, height: int, width: int
) -> None:
    rgb = pixels[..., :3]
    got = ImagePreprocessing(height, width, 3).resize(tf.constant(rgb)).numpy().astype(int)
    want = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    assert got.shape == (height, width, 3)
    assert np.abs(got - np.asarray(want).astype(int)).max() <= 1


def test_resize_rounds_instead_of_truncating() -> None:
    image = np.array([[[10], [11]], [[11], [11]]], dtype=np.uint8)
    assert ImagePreprocessing(1, 1, 1).resize(tf.constant(image)).numpy().item() == 11


def test_resize_at_the_right_size_returns_the_very_tensor(pixels: np.ndarray) -> None:
    image = tf.constant(pixels[..., :3])
    assert as_is(3).resize(image) is image


@pytest.mark.parametrize("size", [(9, 7), (6, 6)])
def test_resize_gives_the_same_when_the_size_is_unknown_while_tracing(
    pixels: np.ndarray, size: tuple[int, int]
) -> None:
    preprocessing = ImagePreprocessing(*size, channels=3)
    traced = tf.function(
        preprocessing.resize, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)]
    )
    images = tf.constant(np.stack([pixels[..., :3]] * 2))
    got = traced(images)
    assert traced.get_concrete_function().output_shapes.as_list() == [None, *size, 3]
    np.testing.assert_array_equal(got, preprocessing.resize(images))


@pytest.mark.parametrize("leading", [(), (2,), (0,), (2, 3)])
def test_resize_keeps_leading_axes(leading: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*leading, 5, 5, 1), dtype=np.uint8)
    preprocessing = ImagePreprocessing(3, 4, 1)
    got = preprocessing.resize(tf.constant(images)).numpy()
    assert got.shape == (*leading, 3, 4, 1)
    for one_in, one_out in zip(images.reshape(-1, 5, 5, 1), got.reshape(-1, 3, 4, 1), strict=True):
        np.testing.assert_array_equal(preprocessing.resize(tf.constant(one_in)), one_out)


@pytest.mark.parametrize("traced", [False, True])
def test_a_batch_of_files_of_several_sizes_and_formats_decodes(
    pixels: np.ndarray, traced: bool
) -> None:
    preprocessing = ImagePreprocessing(4, 4, 3)
    files = [encoded(pixels), encoded(pixels[:4, :4, 0]), encoded(pixels[:5, :, :3], "JPEG")]
    decode = tf.function(preprocessing.decode_batch) if traced else preprocessing.decode_batch
    got = decode(tf.constant(files))
    assert got.dtype == tf.uint8
    np.testing.assert_array_equal(got, [preprocessing.decode(file) for file in files])


@pytest.mark.parametrize("traced", [False, True])
def test_an_empty_batch_decodes_to_no_images(traced: bool) -> None:
    preprocessing = ImagePreprocessing(4, 5, 3)
    signature = [tf.TensorSpec([None], tf.string)]
    decode = (
        tf.function(preprocessing.decode_batch, input_signature=signature)
        if traced
        else preprocessing.decode_batch
    )
    assert decode(tf.zeros([0], tf.string)).shape == (0, 4, 5, 3)


def test_decoding_survives_a_saved_model_without_python_ops(
    pixels: np.ndarray, tmp_path: object
) -> None:
    preprocessing = ImagePreprocessing(6, 6, 1)
    module = tf.Module()
    module.decode = tf.function(
        preprocessing.decode_batch, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    graph = module.decode.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert not {node.op for node in nodes} & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
    tf.saved_model.save(module, str(tmp_path))
    files = tf.constant([encoded(pixels)])
    np.testing.assert_array_equal(
        tf.saved_model.load(str(tmp_path)).decode(files), preprocessing.decode_batch(files)
    )


def test_a_bad_file_in_a_batch_is_an_error_and_nothing_is_logged(
    pixels: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    files = tf.constant([encoded(pixels), encoded(pixels)[:-60]])
    for _ in range(2):  # TensorFlow logs it when what it misses is gone
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            pytest.fail(f"decoded: {ImagePreprocessing(4, 4, 3).decode_batch(files)}")
        gc.collect()
    assert not caplog.records


def test_what_is_not_an_image_is_an_error() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        as_is(3).decode(b"not an image")


def test_match_channels_makes_grey_and_rgb_of_each_other(pixels: np.ndarray) -> None:
    grey = tf.constant(pixels[..., :1])
    rgb = as_is(3).match_channels(grey)
    np.testing.assert_array_equal(rgb, np.repeat(pixels[..., :1], 3, axis=-1))
    np.testing.assert_array_equal(as_is(1).match_channels(rgb), grey)


def test_match_channels_drops_alpha(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(as_is(3).match_channels(tf.constant(pixels)), pixels[..., :3])
    np.testing.assert_array_equal(
        as_is(1).match_channels(tf.constant(pixels[..., :2])), pixels[..., :1]
    )


def test_grey_of_every_level_is_that_level() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
    np.testing.assert_array_equal(
        as_is(1).match_channels(tf.constant(levels))[:, 0], np.arange(256)
    )


def test_images_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 4 channels"):
        as_is(3).match_channels(tf.zeros([4, 4, 5], tf.uint8))
    with pytest.raises(ValueError, match="h, w, channels"):
        as_is(3).resize(tf.zeros([4, 3], tf.uint8))
    with pytest.raises(ValueError, match=r"3 channel\(s\)"):
        as_is(3).resize(tf.zeros([4, 4, 1], tf.uint8))


def test_config_round_trips_through_json() -> None:
    preprocessing = ImagePreprocessing(32, 48, 1)
    config = json.loads(json.dumps(preprocessing.to_config()))
    assert config == {"height": 32, "width": 48, "channels": 1, "orientation": "exif"}
    assert ImagePreprocessing.from_config(config) == preprocessing


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"height": 0, "width": 4, "channels": 3}, "height=0"),
        ({"height": 4, "width": -1, "channels": 3}, "width=-1"),
        ({"height": 4, "width": 4.0, "channels": 3}, "width=4.0"),
        ({"height": 4, "width": 4, "channels": 2}, "channels=2"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ImagePreprocessing(**settings)
