import pickle
import re
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from training.backbones.torch_checkpoint import read_torch_checkpoint

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Named:
    """Pickles as a global of any name, without the module that defines it."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    """Pickles as a persistent reference to a storage of float32."""

    def __init__(self, key: str, values: np.ndarray, kind: str = "FloatStorage") -> None:
        self.key, self.values, self.kind = key, values, kind


class Call:
    """Pickles as a call of a global."""

    def __init__(self, function: Named, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return (self.function, self.arguments)


class Pickler(pickle._Pickler):  # type: ignore[misc]
    """Writes `Named` and `Storage` as PyTorch does."""

    def persistent_id(self, thing: object) -> object:
        if isinstance(thing, Storage):
            kind = Named("torch", thing.kind)
            return ("storage", kind, thing.key, "cpu", len(thing.values), None)
        return None

    def save(self, thing: object, save_persistent_id: bool = True) -> None:
        if isinstance(thing, Named):
            self.write(b"c" + f"{thing.module}\n{thing.name}\n".encode())
            return
        super().save(thing, save_persistent_id)

    def save_reduce(self, func: object, args: tuple, *rest: object, obj: object = None) -> None:
        if isinstance(func, Named):
            self.save(func)
            self.save(args)
            self.write(pickle.REDUCE)
            return
        super().save_reduce(func, args, *rest, obj=obj)


def tensor(storage: Storage, shape: tuple, stride: tuple, offset: int = 0) -> Call:
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, shape, stride, False, OrderedDict())


def write(path: Path, state: object, *storages: Storage, magic: int = MAGIC) -> Path:
    with path.open("wb") as file:
        for head in (magic, PROTOCOL, {"little_endian": True}):
            pickle.dump(head, file, protocol=2)
        Pickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(struct.pack("<q", len(storage.values)) + storage.values.tobytes())
    return path


VALUES = np.arange(6, dtype="<f4")


def test_tensors_come_out_with_their_names_shapes_and_strides(tmp_path: Path) -> None:
    one, two = Storage("1", VALUES), Storage("2", np.arange(4, dtype="<i8"), "LongStorage")
    state = OrderedDict(
        weight=tensor(one, (2, 3), (3, 1)),
        turned=tensor(one, (3, 2), (1, 3)),
        tail=tensor(one, (2,), (1,), offset=4),
        count=tensor(two, (), (), offset=3),
    )
    got = read_torch_checkpoint(write(tmp_path / "a.pth", state, one, two))
    assert list(got) == ["weight", "turned", "tail", "count"]
    np.testing.assert_array_equal(got["weight"], VALUES.reshape(2, 3))
    np.testing.assert_array_equal(got["turned"], VALUES.reshape(2, 3).T)
    np.testing.assert_array_equal(got["tail"], [4, 5])
    assert got["count"] == 3
    assert got["weight"].dtype == np.float32


def test_a_call_of_anything_else_is_refused_and_not_made(tmp_path: Path) -> None:
    made = tmp_path / "made"
    state = {"weight": Call(Named("os", "mkdir"), str(made))}
    with pytest.raises(ValueError, match=re.escape("names os.mkdir, which is not a tensor")):
        read_torch_checkpoint(write(tmp_path / "a.pth", state))
    assert not made.exists()


def test_a_call_in_the_head_of_the_file_is_refused_and_not_made(tmp_path: Path) -> None:
    made, path = tmp_path / "made", tmp_path / "a.pth"
    with path.open("wb") as file:
        Pickler(file, protocol=2).dump(Call(Named("os", "mkdir"), str(made)))
    with pytest.raises(ValueError, match=re.escape("os.mkdir")):
        read_torch_checkpoint(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((7,), (1,), 0), ((2, 3), (4, 1), 0), ((6,), (1,), 1), ((-1,), (1,), 0), ((2,), (1, 1), 0)],
)
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, shape: tuple, stride: tuple, offset: int
) -> None:
    storage = Storage("1", VALUES)
    state = {"weight": tensor(storage, shape, stride, offset)}
    with pytest.raises(ValueError, match="Not a legacy PyTorch checkpoint.*a tensor of shape"):
        read_torch_checkpoint(write(tmp_path / "a.pth", state, storage))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    storage = Storage("1", VALUES)
    path = write(tmp_path / "a.pth", {"weight": tensor(storage, (6,), (1,))}, storage)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Not a legacy PyTorch checkpoint"):
            read_torch_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 a zip"])
def test_another_file_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"Not a legacy PyTorch checkpoint of tensors: .*other\.bin"
    ):
        read_torch_checkpoint(path)


def test_another_magic_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not begin as one"):
        read_torch_checkpoint(write(tmp_path / "a.pth", {}, magic=5))
