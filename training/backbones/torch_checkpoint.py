"""Tensors of a legacy PyTorch checkpoint, read without PyTorch and without running its code."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}
_LARGEST = 2**31


def read_torch_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary that `torch.save` wrote in its format before 1.6.

    Such a file is a pickle, and a pickle can call anything it names. This reader admits three
    names that rebuild tensors, and refuses every other.

    Returns:
        Name → array, in the order of the file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is no such checkpoint, names anything but tensors, is cut short,
            or a tensor does not lie inside its storage.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
                raise ValueError("it does not begin as one")
            _load(file)  # What machine wrote it.
            unpickler = _TensorUnpickler(file)
            state = unpickler.load()
            for key in _load(file):
                unpickler.storages[key].read(file, size)
            if not isinstance(state, dict):
                raise ValueError(f"it holds no dictionary but a {type(state).__name__}")
            return {
                name: tensor.array()
                for name, tensor in state.items()
                if isinstance(tensor, _Tensor)
            }
        except (
            pickle.UnpicklingError,
            ValueError,
            EOFError,
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
        ) as error:
            raise ValueError(
                f"Not a legacy PyTorch checkpoint of tensors: {path} ({error})"
            ) from error


def _load(file: BinaryIO) -> Any:
    return _PlainUnpickler(file).load()


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, strings, lists and dictionaries only."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a tensor")


class _Storage:
    """A run of numbers of one type, whose values follow later in the file."""

    def __init__(self, dtype: np.dtype, count: int) -> None:
        if not isinstance(count, int) or not 0 <= count * dtype.itemsize <= _LARGEST:
            raise ValueError(f"a storage of {count} numbers")
        self.dtype, self.count = dtype, count
        self.values: np.ndarray | None = None

    def read(self, file: BinaryIO, size: int) -> None:
        count = int.from_bytes(file.read(8), "little", signed=True)
        length = self.count * self.dtype.itemsize
        if count != self.count or length > size - file.tell():
            raise ValueError("it is cut short")
        self.values = np.frombuffer(file.read(length), self.dtype)


class _Tensor:
    """A strided view of a storage."""

    def __init__(
        self, storage: _Storage, offset: int, shape: tuple, stride: tuple, *_: Any
    ) -> None:
        self.storage, self.offset = storage, offset
        self.shape, self.stride = tuple(shape), tuple(stride)
        numbers = (offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or not all(
            isinstance(number, int) and number >= 0 for number in numbers
        ):
            raise ValueError(f"a tensor of shape {shape} and stride {stride}")
        last = offset + sum(
            (length - 1) * step for length, step in zip(self.shape, self.stride, strict=True)
        )
        if 0 not in self.shape and last >= storage.count:
            raise ValueError(f"a tensor of shape {shape} lies outside its storage")

    def array(self) -> np.ndarray:
        values = self.storage.values
        if values is None:
            raise ValueError("the numbers of a tensor are missing")
        strides = [step * values.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides)
        return np.array(view)


class _OrderedDict(dict):
    """Stands for `collections.OrderedDict`, whose attributes a pickle may set."""


class _TensorUnpickler(pickle.Unpickler):
    """Admits the rebuilding of tensors, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError(f"it refers to {kind}, which is not a storage")
        return self.storages.setdefault(key, _Storage(dtype, count))
