import numpy as np
import pytest
import tensorflow as tf

from export.litert.operators import check_builtin_operators, operators


def converted(function: tf.types.experimental.GenericFunction, *sets: tf.lite.OpsSet) -> bytes:
    concrete = function.get_concrete_function(tf.TensorSpec([4], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, *sets]
    return converter.convert()


@tf.function
def builtin(x: tf.Tensor) -> tf.Tensor:
    return tf.sign(tf.exp(x) - 1)


@tf.function
def of_tensorflow(x: tf.Tensor) -> tf.Tensor:
    return tf.linalg.det(tf.reshape(x, [2, 2]))


def test_builtin_operators_are_named_and_pass() -> None:
    content = converted(builtin)
    assert check_builtin_operators(content) == operators(content)
    assert {"EXP", "SIGN"} <= set(operators(content))


def test_an_operator_of_tensorflow_is_refused_and_named() -> None:
    content = converted(of_tensorflow, tf.lite.OpsSet.SELECT_TF_OPS)
    assert "FlexMatrixDeterminant" in operators(content)
    with pytest.raises(
        ValueError, match=r"built-in operators only.*Received: FlexMatrixDeterminant"
    ):
        check_builtin_operators(content)


def test_a_damaged_file_is_said_to_be() -> None:
    content = bytearray(converted(builtin))
    content[:4] = np.uint32(2**31).tobytes()  # the place of the root
    with pytest.raises(ValueError, match="is damaged"):
        operators(bytes(content))
