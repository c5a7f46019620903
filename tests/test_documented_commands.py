"""The shell commands of README and docs, parsed as the programs themselves parse them."""

import ast
import contextlib
import functools
import itertools
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = r"(?:\w+=\S+ )*(?:python -m (?:training|export|benchmarks)\b|keras-hashing-\w+|make )"

NOT_OURS = {
    r"pip install": "packages; tests/test_packaging.py installs the wheel",
    r"export KERAS_\w+=": "the shell's; tests/training/trainer/test_distribution.py sets them",
    r"(encode|continuous|search): |POST |\{\"signature_name": "a signature or a request",
    r"continuous  float32": "a signature",
}


def blocks(page: Path) -> Iterator[str]:
    """The indented blocks of a page, and those fenced as a shell's."""
    block = r"^```([^\n]*)\n(.*?)^```$|((?:^    [^\n]*\n|^\n(?=    ))+)"
    for fence, fenced, indented in re.findall(block, page.read_text(), flags=re.M | re.S):
        if indented or fence in ("", "sh", "bash", "shell", "console"):
            yield fenced or textwrap.dedent(indented)


def commands(page: Path) -> list[str]:
    """The lines of the page's blocks that are no Python; continued lines are one."""
    found = []
    for block in blocks(page):
        with contextlib.suppress(SyntaxError):
            ast.parse(block)
            continue
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        found += [
            shlex.join(shlex.split(line, comments=True)) if re.match(OURS, line) else line
            for line in lines
        ]
    return [line for line in found if line]


def reason(table: dict[str, str], command: str) -> str | None:
    return next((why for pattern, why in table.items() if re.search(pattern, command)), None)


def known(command: str) -> bool:
    return bool(re.match(OURS, command)) or reason(NOT_OURS, command) is not None


def invocation(command: str) -> tuple[str, list[str]]:
    """The program, `training`, `export`, `benchmarks.X` or `make`, and its arguments."""
    words = [word for word in shlex.split(command) if "…" not in word]
    words = list(itertools.dropwhile(lambda word: "=" in word, words))  # KERAS_BACKEND=jax
    if words[0] == "python":
        return words[2], words[3:]
    programs = {"keras-hashing-train": "training", "keras-hashing-export": "export"}
    return programs.get(words[0], words[0]), words[1:]


@functools.cache
def application(program: str) -> typer.Typer:
    """Imported late, and without TensorFlow, which is loaded when a command runs."""
    if program == "training":
        from training.cli import app
    else:
        from export.cli.app import app
    return app


def parse(program: str, arguments: list[str], whole: bool) -> None:
    """Fails where the program's own parser would; unless `whole`, options may be missing.

    What a command would read is made: the parser checks that files exist.
    """
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets), f"the Makefile has {targets}"
    elif program.startswith("benchmarks."):
        source = (ROOT / f"{program.replace('.', '/')}.py").read_text()
        if "on_frozen_features" in source:
            source += (ROOT / "benchmarks/quality/on_frozen_features.py").read_text()
        options = re.findall(r'"(--[\w-]+)"', source)
        given = [word for word in arguments if word.startswith("--")]
        assert set(given) <= set(options), f"{program} has {options}"
    elif program != "benchmarks":
        command = typer.main.get_command(application(program))
        while arguments and arguments[0] in getattr(command, "commands", {}):
            command, arguments = command.commands[arguments[0]], arguments[1:]
        names = list(getattr(command, "commands", {}))
        assert not names or not arguments or arguments[0].startswith("-"), f"commands are {names}"
        while arguments or whole:
            try:
                command.make_context(program, list(arguments))
                return
            except Exception as error:
                path = re.search(r"'(.+)' does not exist", str(error))
                if path and not Path(path[1]).exists():
                    Path(path[1]).parent.mkdir(parents=True, exist_ok=True)
                    Path(path[1]).touch()
                elif whole or type(error).__name__ != "MissingParameter":
                    raise


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_parse(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inline = re.findall(rf"`({OURS}[^`]*)`", page.read_text())
    for command, whole in [*((c, True) for c in commands(page)), *((c, False) for c in inline)]:
        assert known(command), (
            f"{page.name}: {command!r} is no command of keras-hashing. Give its reason in NOT_OURS."
        )
        if reason(NOT_OURS, command) is None:
            try:
                parse(*invocation(command), whole)
            except Exception as error:
                pytest.fail(f"{page.name}: {command}\n{type(error).__name__}: {error}")
