"""The .tflite files of a run: their signature, their codes, and what is refused."""

import dataclasses
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

from export.litert import int8_quantization
from export.litert.export_litert import export_litert
from export.litert.operators import operator_name, operators
from keras_hashing.device.device_encoder import DeviceEncoder
from keras_hashing.device.flatbuffer import parse, read_tflite
from keras_hashing.device.kinds import KINDS
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.models import HashingModel
from training.runs.run_folder import Run

NOISE = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)


def agreement(codes: np.ndarray, want: np.ndarray) -> float:
    """The share of bits that are equal."""
    assert codes.shape == want.shape
    return float(1 - np.unpackbits(codes ^ want).mean())


def keras_codes(run: Run, images: np.ndarray) -> np.ndarray:
    codes = np.asarray(run.model.encoder(images, training=False)).astype(np.float32)
    return np.packbits(codes > 0, axis=1)


def signature(path: Path) -> tuple[dict, dict]:
    """Dtype and shape of each input and output of `encode`, -1 where the size is free."""
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == ["encode"]
    runner = interpreter.get_signature_runner("encode")
    inputs, outputs = (
        {name: (tensor["dtype"], tensor["shape_signature"].tolist()) for name, tensor in of.items()}
        for of in (runner.get_input_details(), runner.get_output_details())
    )
    return inputs, outputs


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_has_stable_names_types_and_order(
    kind: str, files: Callable[[str], Path]
) -> None:
    inputs, outputs = signature(files(kind))
    assert inputs == {"image": (np.uint8, [1, 8, 8, 1])}
    assert outputs == {"code": (np.uint8, [1, 4]), "continuous": (np.float32, [1, 32])}
    model = parse(read_tflite(files(kind)))
    (encode,) = model.signatureDefs
    assert [output.name for output in encode.outputs] == [b"code", b"continuous"]
    tensors = [output.tensorIndex for output in encode.outputs]
    assert list(model.subgraphs[0].outputs) == tensors


@pytest.mark.parametrize(
    ("kind", "least"), [("float32", 1.0), ("float16", 0.995), ("dynamic-range", 0.96)]
)
def test_codes_of_300_digits_are_those_of_keras(
    kind: str, least: float, files: Callable[[str], Path], grey_run: Run, digits: np.ndarray
) -> None:
    want = grey_run.model.encode(digits[:300])
    assert len(np.unique(want, axis=0)) > 200
    assert agreement(DeviceEncoder(files(kind)).encode(digits[:300]), want) >= least


def test_int8_codes_of_digits_that_it_was_not_calibrated_on(
    files: Callable[[str], Path], grey_run: Run, digits: np.ndarray
) -> None:
    images = digits[1000:1300]
    codes = DeviceEncoder(files("int8")).encode(images)
    assert agreement(codes, grey_run.model.encode(images)) >= 0.96


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_the_packed_signs_of_its_continuous_code(
    kind: str, files: Callable[[str], Path], digits: np.ndarray
) -> None:
    encoder = DeviceEncoder(files(kind))
    continuous = encoder.continuous(digits[:50])
    assert continuous.dtype == np.float32
    np.testing.assert_array_equal(encoder.encode(digits[:50]), np.packbits(continuous > 0, axis=1))


@pytest.mark.parametrize("bits", [12, 32, 48, 64, 100, 256])
def test_every_bit_width(bits: int, plain_run: Callable[..., Run], tmp_path: Path) -> None:
    run = plain_run(bits=bits)
    want = keras_codes(run, NOISE)
    paths = export_litert(run.encoder, tmp_path, ["float32", "int8"], calibration=NOISE)
    codes = [DeviceEncoder(path).encode(NOISE) for path in paths]
    assert codes[0].shape == (len(NOISE), -(-bits // 8))
    assert agreement(codes[0], want) == 1
    assert agreement(codes[1], want) >= 0.96


@pytest.mark.parametrize("size", [1e-3])
def test_int8_bits_do_not_depend_on_the_size_of_the_code(
    size: float, plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    """A comparison of int8 tensors, which the sign replaces, rounds small codes to zero."""
    run = plain_run(bits=16)
    for weight in run.model.head.projection.weights:
        weight.assign(weight * size)
    (path,) = export_litert(run.encoder, tmp_path, ["int8"], calibration=NOISE)
    assert agreement(DeviceEncoder(path).encode(NOISE), keras_codes(run, NOISE)) >= 0.96


def test_int8_respects_a_zero_point(plain_run: Callable[..., Run], tmp_path: Path) -> None:
    """A code that is far off balance, so that 0 is near the end of its range."""
    run = plain_run(bits=16)
    kernel, bias = run.model.head.projection.weights
    bias.assign(np.where(np.arange(16) % 2, 2.0, -0.3) * float(np.abs(kernel).max()))
    want = keras_codes(run, NOISE)
    (path,) = export_litert(run.encoder, tmp_path, ["int8"], calibration=NOISE)
    assert 0.2 < np.unpackbits(want).mean() < 0.8
    assert agreement(DeviceEncoder(path).encode(NOISE), want) >= 0.96


def test_int8_computes_in_int8(files: Callable[[str], Path]) -> None:
    model = parse(read_tflite(files("int8")))
    graph = model.subgraphs[0]
    computed = 0
    for operator in graph.operators:
        if operator_name(model.operatorCodes[operator.opcodeIndex]) in (
            "CONV_2D",
            "FULLY_CONNECTED",
        ):
            types = [graph.tensors[i].type for i in (*operator.inputs[:2], *operator.outputs)]
            assert types == [9, 9, 9]  # schema.TensorType.INT8
            computed += 1
    assert computed == 2


def test_int8_gives_each_branch_of_a_sum_its_own_range(plain_run: Callable, tmp_path: Path) -> None:
    """TensorFlow's calibrator gives a summand the range of the sum that took its memory."""
    image = keras.Input((4, 4, 1), dtype="uint8")
    trunk = keras.layers.Rescaling(1 / 16)(image)
    trunk = keras.layers.Conv2D(2, 1, kernel_initializer="ones", activation="relu")(trunk)
    branch = keras.layers.Conv2D(2, 1, kernel_initializer="ones", name="branch")(trunk)
    branch = keras.layers.Rescaling(-1 / 256)(branch)
    features = keras.layers.Flatten()(keras.layers.Add()([branch, trunk]))
    model = HashingModel(keras.Model(image, features), bits=8, method="dpsh")
    run = dataclasses.replace(plain_run(), model=model)
    (path,) = export_litert(run.encoder, tmp_path, ["int8"], calibration=NOISE)
    parsed = parse(read_tflite(path))
    graph = parsed.subgraphs[0]
    (add,) = [
        operator
        for operator in graph.operators
        if operator_name(parsed.operatorCodes[operator.opcodeIndex]) == "ADD"
    ]
    scales = sorted(float(graph.tensors[i].quantization.scale[0]) for i in add.inputs)
    most = float(NOISE.max()) / 16
    np.testing.assert_allclose(scales, [2 * most / 256 / 255, most / 255], rtol=0.02)


def test_int8_shifts_no_bit_on_average(
    monkeypatch: pytest.MonkeyPatch, plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = plain_run()

    def shift(path: Path) -> float:
        encoder = DeviceEncoder(path)
        codes = np.asarray(run.model.encoder(NOISE, training=False))
        return float(np.abs((encoder.continuous(NOISE) - codes).mean(axis=0)).mean())

    options = {"kinds": ["int8"], "calibration": NOISE, "continuous": True}
    (path,) = export_litert(run.encoder, tmp_path / "corrected", **options)
    monkeypatch.setattr(int8_quantization, "_with_bias", lambda content, correction: content)
    (plain,) = export_litert(run.encoder, tmp_path / "plain", **options)
    assert shift(path) < 0.5 * shift(plain)


def test_the_files_hold_builtin_operators_only(files: Callable[[str], Path]) -> None:
    for kind in KINDS:
        found = operators(read_tflite(files(kind)))
        assert {"CONV_2D", "FULLY_CONNECTED", "SIGN"} <= set(found)
        assert not any(name.startswith(("Flex", "CUSTOM")) for name in found)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_compiled_model_of_litert_gives_the_same_codes(
    kind: str, files: Callable[[str], Path], digits: np.ndarray
) -> None:
    """The newer interface, which an app in Kotlin or Swift uses."""
    model = CompiledModel.from_file(str(files(kind)))
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    codes = []
    for image in digits[:20]:
        inputs[0].write(image[np.newaxis])
        model.run_by_index(0, inputs, outputs)
        codes.append(outputs[0].read(4, np.uint8))
    np.testing.assert_array_equal(codes, DeviceEncoder(files(kind)).encode(digits[:20]))


def test_a_free_batch_gives_the_codes_of_single_images(colour_run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
    paths = export_litert(
        colour_run.encoder, tmp_path, ["float32", "int8"], calibration=images, free_batch=True
    )
    for path in paths:
        inputs, outputs = signature(path)
        assert inputs == {"image": (np.uint8, [-1, 12, 10, 3])}
        assert outputs == {"code": (np.uint8, [-1, 2])}
        encoder = DeviceEncoder(path)
        assert encoder.metadata.batch is None
        codes = encoder.encode(images)
        alone = np.concatenate([encoder.encode(images[i : i + 1]) for i in range(40)])
        assert agreement(codes, alone) == 1
        assert agreement(codes, colour_run.model.encode(images)) >= 0.96


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_half_precision_run_is_exported_in_float32(
    precision: str, plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = plain_run(bits=16, precision=precision)
    (path,) = export_litert(run.encoder, tmp_path, ["float32"])
    assert agreement(DeviceEncoder(path).encode(NOISE), keras_codes(run, NOISE)) >= 0.96
    model = parse(read_tflite(path))
    assert {tensor.type for tensor in model.subgraphs[0].tensors} <= {0, 2, 3, 6}  # no half floats


class Betainc(keras.layers.Layer):
    """Something that LiteRT has no operator for."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        halves = tf.fill(tf.shape(inputs), 0.5)
        return tf.raw_ops.Betainc(a=halves, b=halves, x=tf.sigmoid(inputs))


def test_an_operator_that_litert_lacks_is_named(
    plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    image = keras.Input((4, 4, 1), dtype="uint8")
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    model = HashingModel(keras.Model(image, Betainc()(features)), bits=8, method="dpsh")
    run = dataclasses.replace(plain_run(), model=model)
    with pytest.raises(ValueError, match=r"cannot make a float32 file of the encoder.*Betainc"):
        export_litert(run.encoder, tmp_path / "phone", ["float32"])
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_replaced_on_demand_only(
    plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    (path,) = export_litert(plain_run(bits=8).encoder, tmp_path, ["float32"])
    before = path.read_bytes()
    other = plain_run(bits=16)
    with pytest.raises(FileExistsError, match=re.escape(f"exist already: {path}")):
        export_litert(other.encoder, tmp_path, ["float32"])
    assert path.read_bytes() == before
    export_litert(other.encoder, tmp_path, ["float32"], replace=True)
    assert DeviceEncoder(path).metadata.fingerprint == other.encoder.fingerprint


def full_disk(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_file(
    monkeypatch: pytest.MonkeyPatch, plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "encoder-float32.tflite").write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export_litert(plain_run().encoder, tmp_path, ["float32"], replace=True)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["encoder-float32.tflite"]
    assert (tmp_path / "encoder-float32.tflite").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"kinds": ["float64"]},
            r"`kinds` \(--kind\) must be some of float32, .* Received: .'float64'.",
        ),
        ({"kinds": []}, r"`kinds` \(--kind\) must be some of"),
        ({"kinds": ["int8"]}, "needs representative images.*Received: none"),
        ({"calibration": NOISE[:0]}, "needs representative images.*Received: none"),
        ({"calibration": NOISE}, r"must be uint8 \[n, 8, 8, 1\]. Received: uint8 \[40, 4, 4, 1\]"),
        (
            {"calibration": np.zeros((5, 8, 8, 1))},
            r"must be uint8 \[n, 8, 8, 1\]. Received: float64 \[5, 8, 8, 1\]",
        ),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(
    arguments: dict, message: str, grey_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_litert(grey_run.encoder, tmp_path / "phone", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_refused(grey_run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        export_litert(grey_run.encoder, tmp_path / "file", ["float32"])


def test_a_diverged_model_is_refused(plain_run: Callable[..., Run], tmp_path: Path) -> None:
    run = plain_run(bits=8)
    run.model.head.projection.bias.assign(np.full(8, np.nan))
    with pytest.raises(ValueError, match="weights must be finite"):
        export_litert(run.encoder, tmp_path / "phone", ["float32"])


def test_the_size_is_that_of_the_run_alone(files: Callable[[str], Path], grey_run: Run) -> None:
    metadata = DeviceEncoder(files("float32")).metadata
    assert ImagePreprocessing(*metadata.image_shape) == grey_run.preprocessing
