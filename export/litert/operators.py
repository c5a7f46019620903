"""The check that a .tflite file runs in a stock LiteRT: which operators it holds."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from keras_hashing.device.flatbuffer import parse

_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}


def operators(content: bytes) -> list[str]:
    """The names of the operators of a .tflite file, sorted; of a custom one, its own name.

    Raises:
        ValueError: if it is damaged.
    """
    return sorted(map(operator_name, parse(content).operatorCodes or []))


def check_builtin_operators(content: bytes) -> list[str]:
    """Checks that a .tflite file needs nothing but the operators that every LiteRT has.

    Operators are looked up in the file's own table, where the converter lists all that any of
    its subgraphs uses.

    Returns:
        The names of its operators, sorted.

    Raises:
        ValueError: if it is damaged, or holds a custom operator, one of TensorFlow's ("Flex") or
            one that this version of the schema does not know; they are named.
    """
    custom = [
        operator_name(operator)
        for operator in parse(content).operatorCodes or []
        if not _is_builtin(operator)
    ]
    if custom:
        raise ValueError(
            "The .tflite file must hold LiteRT's built-in operators only, so that it runs in every "
            f"app. Received: {', '.join(sorted(custom))}"
        )
    return operators(content)


def operator_name(operator: Any) -> str:
    """The name of a `schema.OperatorCodeT`."""
    code = _code(operator)
    if code == schema.BuiltinOperator.CUSTOM:
        return (operator.customCode or b"a custom operator").decode()
    return _NAMES.get(code, f"operator {code}")


def _is_builtin(operator: Any) -> bool:
    return _code(operator) != schema.BuiltinOperator.CUSTOM and _code(operator) in _NAMES


def _code(operator: Any) -> int:
    # Files of old converters have the number in a byte, and 127 there means: see the other.
    return max(operator.builtinCode, operator.deprecatedBuiltinCode)
