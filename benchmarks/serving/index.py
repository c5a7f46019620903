"""What an index costs in a serving graph: export, load, first answers and resident memory.

Random codes go with integer ids, or with string ids such as `photos/00001234.jpg`, into the
SavedModel of a small untrained network. Each step runs in a process of its own. Memory is the
resident memory of the process beyond that of one that does the same with the same model without an
index, relative to the size of codes and ids: 8 bytes for an integer, the bytes of a string.

The SavedModel is loaded as TensorFlow Serving does it: a session, by tag and signature. Its
`search_code` takes turns with `faiss.IndexBinaryFlat` on the same codes, with as many threads; the
ratio is that of the best times.

    python -m benchmarks.serving.index --items 10000000 --bits 64
    python -m benchmarks.serving.index --items 1000000 --ids int64        # the speed
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["OMP_WAIT_POLICY"] = "passive"  # a thread of FAISS that waits holds no core
CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

QUERIES = 32
ROUNDS = 15


def memory() -> dict[str, float]:
    """Resident memory of this process now and at its most, MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        name: int(status[field].split()[0]) / 1024
        for name, field in {"resident": "VmRSS", "peak": "VmHWM"}.items()
    }


def make_run(bits: int) -> Any:
    """A run of an untrained network."""
    import keras

    from keras_hashing.images.preprocessing import ImagePreprocessing
    from keras_hashing.models import HashingModel
    from training.runs.run_folder import Run
    from training.settings import FitSettings

    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1), dtype="uint8"),
        keras.layers.Rescaling(1 / 127.5, offset=-1.0),
        keras.layers.Flatten(),
    ]
    model = HashingModel(keras.Sequential(layers), bits=bits, method="dpsh")
    return Run(
        folder=Path("run"),
        config=FitSettings(bits=bits),
        model=model,
        preprocessing=ImagePreprocessing(8, 8, 1),
        class_names=["a", "b"],
        metrics={},
        index_path=Path("run", "database.npz"),
    )


def make_index(folder: Path, items: int, bits: int, ids: str) -> dict[str, float]:
    """Writes an index file."""
    import numpy as np

    from keras_hashing.retrieval import CodeIndex
    from keras_hashing.retrieval.text_column import TextColumn

    codes = np.random.default_rng(0).integers(0, 256, (items, bits // 8), dtype=np.uint8)
    pattern = "{}" if ids == "int64" else "photos/{:08}.jpg"
    encoded = "".join(pattern.format(at) for at in range(items)).encode()
    lengths = np.array([len(pattern.format(at)) for at in range(items)], dtype=np.int64)
    column = TextColumn(np.frombuffer(encoded, np.uint8), lengths)
    index = CodeIndex(codes, column, make_run(bits).fingerprint, integer_ids=ids == "int64")
    index.save(folder / "index.npz")
    payload = codes.nbytes + (8 * items if ids == "int64" else len(encoded))
    return {"payload": payload / 2**20}


def export(folder: Path, bits: int, with_index: bool) -> dict[str, float]:
    """Exports with or without the index."""
    from export.saved_model.export_saved_model import export_saved_model
    from keras_hashing.retrieval import CodeIndex

    run = make_run(bits)
    begin = time.perf_counter()
    index = CodeIndex.load(folder / "index.npz") if with_index else None
    version = export_saved_model(
        run.encoder, folder / ("with" if with_index else "without"), 1, index
    )
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    return {"seconds": time.perf_counter() - begin, "megabytes": size / 2**20, **memory()}


def serve(folder: Path, bits: int, with_index: bool) -> dict[str, float]:
    """Loads in a session and answers a request of 32 queries, twice."""
    import numpy as np
    import tensorflow as tf

    begin = time.perf_counter()
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        path = str(folder / ("with" if with_index else "without") / "1")
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def
    loaded = {"load": time.perf_counter() - begin, "after_load": memory()["resident"]}

    def ask(signature: str, **inputs: Any) -> dict[str, Any]:
        definition = signatures[signature]
        feed = {definition.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: o.name for name, o in definition.outputs.items()}, feed)

    images = np.random.default_rng(1).integers(0, 256, (QUERIES, 8, 8, 1), dtype=np.uint8)
    codes = np.random.default_rng(1).integers(0, 256, (QUERIES, bits // 8), dtype=np.uint8)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        ask("encode", images=images)
        if with_index:
            answer = ask("search_code", code=codes, k=10)
            assert (answer["distances"] >= 0).all()
        times.append(time.perf_counter() - begin)
    used = memory()
    ratios = {}
    if with_index:
        check(folder, codes, answer)
        ratios = against_faiss(folder, codes, lambda some: ask("search_code", code=some, k=10))
    return {**loaded, "first": times[0], "second": times[1], **used, **ratios}


def against_faiss(folder: Path, queries: Any, search: Callable[[Any], Any]) -> dict[str, float]:
    """Best times of the signature and of FAISS, in ms, by the number of queries."""
    import faiss

    from keras_hashing.retrieval import CodeIndex

    faiss.omp_set_num_threads(os.cpu_count())
    codes = CodeIndex.load(folder / "index.npz").codes
    peer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    peer.add(codes)
    best = {}
    for count in (1, len(queries)):
        some = queries[:count]
        for _ in range(ROUNDS):
            for side, call in (("faiss", lambda some: peer.search(some, 10)), ("search", search)):
                begin = time.perf_counter()
                call(some)
                spent = 1000 * (time.perf_counter() - begin)
                best[f"{side}_{count}"] = min(spent, best.get(f"{side}_{count}", spent))
    return best


def check(folder: Path, queries: Any, answer: dict[str, Any]) -> None:
    """Compares the answers with a stable sort of all distances, for two queries."""
    import numpy as np

    from keras_hashing.retrieval import CodeIndex

    index = CodeIndex.load(folder / "index.npz")
    for row in range(2):
        distances = np.bitwise_count(index.codes ^ queries[row]).sum(axis=1, dtype=np.int16)
        order = np.argsort(distances, kind="stable")[:10]
        expected = [index.ids[int(at)] for at in order]
        found = answer["ids"][row].tolist()
        assert [name.decode() if isinstance(name, bytes) else str(name) for name in found] == (
            expected
        )
        assert answer["distances"][row].tolist() == distances[order].tolist()


def step(name: str, **options: Any) -> dict[str, float]:
    """Runs a step in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--options", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(items: int, bits: int, ids: str, scratch: str | None) -> None:
    """Prints the table of one kind of ids."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        common = {"folder": folder, "bits": bits}
        payload = step("make_index", **common, items=items, ids=ids)["payload"]
        exports, serves = (
            [step(name, **common, with_index=with_index) for with_index in (False, True)]
            for name in ("export", "serve")
        )
    print(f"{items:,} items x {bits} bits, ids {ids}: codes and ids are {payload:.0f} MiB")
    print(f"{'':34}{'without':>9}{'with':>9}{'beyond, MiB':>13}{'x codes+ids':>13}")
    rows = [
        ("SavedModel, MiB", exports, "megabytes"),
        ("export: peak memory, MiB", exports, "peak"),
        ("served: memory once loaded, MiB", serves, "after_load"),
        ("served: memory once asked, MiB", serves, "resident"),
        ("served: peak memory, MiB", serves, "peak"),
    ]
    for title, (without, with_index), key in rows:
        beyond = with_index[key] - without[key]
        print(
            f"{title:34}{without[key]:9.0f}{with_index[key]:9.0f}{beyond:13.0f}"
            f"{beyond / payload:13.2f}"
        )
    for title, (without, with_index), key in [
        ("export, s", exports, "seconds"),
        ("load, s", serves, "load"),
        (f"first {QUERIES} queries, s", serves, "first"),
        (f"second {QUERIES} queries, s", serves, "second"),
    ]:
        print(f"{title:34}{without[key]:9.2f}{with_index[key]:9.2f}")
    for count in (1, QUERIES):
        ours, peer = (serves[1][f"{side}_{count}"] for side in ("search", "faiss"))
        title = f"search_code, {count} at once, best of {ROUNDS}"
        print(f"{title:34}{ours:9.2f} ms, FAISS {peer:.2f} ms, ratio {ours / peer:.2f}")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--bits", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--ids", choices=["int64", "string"], help="(default: both)")
    parser.add_argument("--scratch", help="folder for temporary files, about 2 GB")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        options = {**args.options, "folder": Path(args.options["folder"])}
        steps = {"make_index": make_index, "export": export, "serve": serve}
        print(json.dumps(steps[args.step](**options)))
        return
    for ids in ["int64", "string"] if args.ids is None else [args.ids]:
        measure(args.items, args.bits, ids, args.scratch)


if __name__ == "__main__":
    main()
