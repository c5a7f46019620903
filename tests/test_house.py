"""What keeps the house in order: CONTRIBUTING.md, "The map"."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imports(node: ast.AST, everywhere: bool) -> Iterator[str]:
    """The packages that a file imports; those in functions and for types only if `everywhere`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (name.name.split(".")[0] for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield (child.module or "").split(".")[0]
        elif everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            yield from imports(child, everywhere)


def importing(package: str, other: str, everywhere: bool = True) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    return [
        path.relative_to(ROOT).as_posix()
        for path in files
        if other in imports(ast.parse(path.read_text(encoding="utf-8")), everywhere)
    ]


def test_the_library_imports_no_application_and_training_no_export() -> None:
    assert importing("keras_hashing", "training") == []
    assert importing("keras_hashing", "export") == []
    assert importing("training", "export") == []


def test_export_imports_training_only_where_the_data_of_a_run_is_asked_for() -> None:
    assert importing("export", "training", everywhere=False) == []
    assert "export/litert/input_pool.py" in importing("export", "training")


def test_no_function_is_over_80_lines_and_no_room_of_an_application_over_12_files() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for package in ("keras_hashing", "training", "export")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 80
    ]
    assert long == []
    rooms = {
        str(path.relative_to(ROOT)): len(list(path.glob("*.py"))) - 1  # but for __init__.py
        for package in ("training", "export")
        for path in (ROOT / package, *(ROOT / package).rglob("*/"))
    }
    assert {room: files for room, files in rooms.items() if files > 12} == {}
