"""What needs neither data nor a model is refused before TensorFlow is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIT = ["fit", "--output", "NEW"]
COMPARE = ["compare", "--output", "NEW"]
DIGITS = ["--dataset", "digits", "--protocol", "per-class", "--backbone", "small-cnn"]
REFUSED: list[tuple[list[str], str]] = [
    (["fit", "--output", "FULL"], "exists and is not empty"),
    ([*FIT, "--bits", "0"], "`bits` must be a positive integer"),
    ([*FIT, "--radius", "33"], "`radius` must be at most `bits`"),
    ([*FIT, "--epochs", "0"], "`epochs`: Input should be greater than or equal to 1"),
    ([*FIT, "--method", "x"], "`method` must be one of"),
    ([*FIT, "--method", "csq", "--memory-size", "5"], "`memory_size` must be 0"),
    ([*FIT, "--quantization", "x"], "`quantization` must be one of"),
    ([*FIT, "--backbone", "x"], "Unknown backbone 'x'"),
    ([*FIT, "--protocol", "x"], "Unknown protocol 'x'"),
    ([*FIT, "--protocol", "cifar10", "--query-per-class", "5"], "takes no option query_per_class"),
    ([*FIT, "--dataset", "digitz"], "Did you mean one of ['digits'"),
    ([*FIT, "--dataset", "mnist", "--data-dir", "EMPTY"], "is not prepared in"),
    ([*FIT, "--dataset", "folder"], "needs `data_dir` (--data-dir)"),
    ([*FIT, "--dataset", "folder", "--data-dir", "NO"], "does not exist"),
    ([*FIT, "--image-root", "EMPTY"], "`image_root` goes with data set 'lists' only"),
    ([*FIT, "--weights", "NO"], "No weights file or run"),
    ([*FIT, "--weights", "EMPTY"], "Not a run folder"),
    ([*FIT, "--weights", "imagenet"], "has no ImageNet weights"),
    ([*FIT, "--frozen", "--flip"], "`frozen`"),
    ([*FIT, "--feature-cache", "EMPTY"], "add --frozen"),
    ([*FIT, "--config", "UNKNOWN"], "Unknown setting `epoch`; did you mean `epochs`?"),
    ([*FIT, "--config", "MINE"], "`radius` must be at most `bits`. Received: radius=50, bits=32"),
    ([*FIT, "--config", "MINE", "--radius", "9"], "`frozen` computes the features"),
    ([*FIT, "--config", "MINE", "--radius", "9", "--no-flip", "--weights", "NO"], "No weights"),
    (
        [*FIT, "--config", "MINE", "--no-frozen", "--radius", "40"],
        "Received: radius=40, bits=32",
    ),  # it wins
    (["fit", "--resume", "--output", "NEW"], "Not a run folder"),
    (["fit", "--resume", "--output", "RUN", "--bits", "64"], "`bits` is 16. Received: 64"),
    (["evaluate", "--run", "NEW"], "Not a run folder"),
    (["evaluate", "--run", "RUN"], "not finished"),
    (["images", "--run", "RUN", "--output", "NEW"], "not finished"),
    (["mosaics", "--dataset", "digitz", "--output", "NEW"], "Unknown data set 'digitz'"),
    (["compare"], "--output must be given"),
    ([*COMPARE, "--methods", "x"], "`methods` must be among"),
    ([*COMPARE, "--epochs", "0"], "`epochs`: Input should be"),
    ([*COMPARE, "--flip"], "`flip` is an option of fine-tuning"),
    ([*COMPARE, *DIGITS, "--data-dir", "NO", "--image-root", "NO"], "`image_root` goes with"),
    (["compare", "--output", "BEGUN", *DIGITS, "--epochs", "7"], "`epochs` was 25. Received: 7"),
    (["compare", "report", "--output", "NEW"], "Not the folder of a comparison"),
]
PROGRAM = """
import json, logging, sys
logging.getLogger("absl").setLevel(logging.ERROR)
from typer.testing import CliRunner
from training.cli import app
answers = []
for arguments in json.loads(sys.argv[1]):
    result = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(app, arguments)
    answers.append((result.exit_code, result.output, "tensorflow" in sys.modules))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, bool]]:
    """Exit code, output, and whether TensorFlow was loaded by then."""
    from training.compare.recipe import Recipe

    place = tmp_path_factory.mktemp("places")
    for name in ("FULL", "EMPTY", "RUN", "BEGUN"):
        (place / name).mkdir()
    (place / "FULL" / "mine").touch()
    (place / "MINE").write_text("radius: 50\nbits: 32\nfrozen: true\nflip: true\n")
    (place / "UNKNOWN").write_text("epoch: 5\n")
    (place / "RUN" / "config.json").write_text(json.dumps({"settings": {"bits": 16}}))
    recipe = Recipe(dataset="digits", protocol="per-class", backbone="small-cnn")
    begun = {"recipe": recipe.model_dump(mode="json")}
    (place / "BEGUN" / "settings.json").write_text(json.dumps(begun))
    commands = [
        [str(place / word) if word.isupper() else word for word in arguments]
        for arguments in [["--help"], ["fit", "--help"], *(one for one, _ in REFUSED)]
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not (place / "NEW").exists()
    return json.loads(done.stdout)


def test_help_is_printed_without_tensorflow(answers: list[tuple[int, str, bool]]) -> None:
    for code, output, loaded in answers[:2]:
        assert (code, loaded) == (0, False), output


@pytest.mark.parametrize(
    ("number", "message"),
    [pytest.param(n, text, id=" ".join(words)) for n, (words, text) in enumerate(REFUSED, 2)],
)
def test_it_is_refused_without_tensorflow(
    number: int, message: str, answers: list[tuple[int, str, bool]]
) -> None:
    code, output, loaded = answers[number]
    assert code == 1, output
    assert output.startswith("Error: ")
    assert message in output
    assert "Traceback" not in output
    assert not loaded
