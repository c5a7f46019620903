"""The report of a comparison: Markdown, CSV, figures, and one page that holds it all."""

import base64
import shlex
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel

from keras_hashing import methods
from keras_hashing.files.atomic_write import write_text
from training.backbones import UNTRAINED
from training.compare.comparison_report.figures import write_figures
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import overall
from training.compare.comparison_report.tables import (
    Table,
    report_tables,
    signed,
    write_cells,
    write_differences,
)
from training.compare.grid import TUNED_WEIGHTS
from training.compare.recipe import FineTuning

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def write_report(output: Path) -> Path:
    """Writes the report of a comparison, finished or not, into its folder.

        report/report.md          the tables
        report/cells.csv          mean and standard deviation of every figure
        report/differences.csv    paired differences with their intervals
        report/*.png              the figures
        report/report.html        all of it, in one file

    Args:
        output: The folder of the comparison.

    Returns:
        The page.

    Raises:
        FileNotFoundError: when the folder holds no comparison.
        ValueError: when a file is damaged or of other settings, or no run is finished.
    """
    results = ComparisonResults.read(output)
    folder = results.folder.report
    folder.mkdir(exist_ok=True)
    tables = report_tables(results)
    findings = _findings(results)
    write_cells(results, folder / "cells.csv")
    write_differences(results, folder / "differences.csv")
    write_text(folder / "report.md", _markdown(results, tables, findings))
    figures = write_figures(results, folder)
    page = folder / "report.html"
    write_text(page, _page(results, tables, findings, figures))
    return page


def _title(results: ComparisonResults) -> str:
    recipe = results.recipe
    return f"Quantization of hash codes on {recipe.dataset}, protocol {recipe.protocol}"


def _findings(results: ComparisonResults) -> list[str]:
    """The result in sentences."""
    findings = []
    for reference, name in (("native", "the method's native quantization"), ("none", "none")):
        one = overall(results.differences("map", reference), "hswd")
        if one is not None:
            findings.append(
                f"HSWD has the higher mAP than {name} in {one.higher} of {one.cells} cells "
                f"(the interval lies above 0 in {one.interval_above}, below in "
                f"{one.interval_below}); mean difference {signed(one.mean, 4)}."
            )
    done = sum(line.get("status") == "done" for line in results.results.values())
    findings.append(
        f"{done} runs: {len(results.methods)} methods, {', '.join(results.quantizations)}; "
        f"{', '.join(map(str, results.bits))} bits; seeds "
        f"{', '.join(map(str, results.seeds))}."
        + (f" {len(results.failed)} runs failed." if results.failed else "")
    )
    versions = {line.get("code") for line in results.results.values() if "code" in line}
    if len(versions) > 1:
        findings.append(
            f"Attention: the runs are of {len(versions)} versions of the code; differences between "
            "them may come from that."
        )
    return findings


def about(results: ComparisonResults) -> list[tuple[str, str]]:
    """What was held equal in all runs, and how they were trained."""
    recipe, data = results.recipe, results.settings["data"]
    line = next(line for line in results.results.values() if line.get("status") == "done")
    tuned, skipped = recipe.fine_tuning, data.get("skipped")
    return [
        (
            "data",
            f"{recipe.dataset}, {data['images']:,} images, {data['classes']} classes"
            + (f"; files left out: {len(skipped)}" if skipped else ""),
        ),
        (
            "protocol",
            f"{recipe.protocol}: query {line['queries']:,}, training {line['train']:,}, database "
            f"{line['database']:,}; the seed draws the split",
        ),
        *(_about_frozen(results) if tuned is None else _about_fine_tuning(results, tuned)),
    ]


def _about_frozen(results: ComparisonResults) -> list[tuple[str, str]]:
    recipe, width = results.recipe, results.settings["data"]["width"]
    size = f" at {recipe.height}×{recipe.width}" if recipe.height else ""
    weights = ", with untrained weights" if recipe.backbone in UNTRAINED else ""
    return [
        ("features", f"{recipe.backbone}{size}{weights}, frozen; {width}, standardised"),
        ("head", f"dropout {recipe.dropout:g}, {width}–{recipe.hidden}–bits, ReLU"),
        (
            "training",
            f"Adam {recipe.learning_rate:g}, cosine decay, {recipe.epochs} epochs, batch "
            f"{recipe.batch_size} against itself; {results.seconds:.1f} s per run",
        ),
    ]


def _about_fine_tuning(results: ComparisonResults, tuned: FineTuning) -> list[tuple[str, str]]:
    recipe, data = results.recipe, results.settings["data"]
    size = "×".join(map(str, data["images_shape"]))
    layers = f"{data['width']}–{recipe.hidden}–bits, ReLU" if recipe.hidden else "no hidden layer"
    averaged = (
        f"average of the weights with momentum {tuned.average_weights:g}"
        if tuned.average_weights
        else "last weights"
    )
    part = "whole" if tuned.train_from is None else f"from {tuned.train_from} on"
    return [
        ("backbone", f"{recipe.backbone} on {size}, fine-tuned {part} with each run"),
        ("head", f"dropout {recipe.dropout:g}, {layers}"),
        (
            "training",
            f"AdamW {recipe.learning_rate:g} (backbone × {tuned.backbone_rate:g}), warm-up and "
            f"cosine decay, weight decay {tuned.weight_decay:g}, {averaged}; {recipe.epochs} "
            f"epochs, batch {recipe.batch_size} against itself; {results.seconds:.1f} s per run",
        ),
        ("augmentation", _augmentation(tuned)),
    ]


def _augmentation(tuned: FineTuning) -> str:
    told = {
        "flip": "flip",
        "shift": f"shift up to {tuned.shift} pixels",
        "crop": f"crops of at least {tuned.crop:g} of the area",
        "colour": f"colour ± {tuned.colour:g}",
        "erase": f"a rectangle erased with probability {tuned.erase:g}",
    }
    none = FineTuning()
    on = [text for name, text in told.items() if getattr(tuned, name) != getattr(none, name)]
    return ", ".join(on) or "none"


def commands_of(results: ComparisonResults) -> list[str]:
    """The commands that make these results, but for folders: the choice of settings comes first.

    Quantizations that were run with fewer methods or lengths than others have commands of their
    own.
    """
    words = ["python", "-m", "training", "compare"]
    recipe = results.recipe
    words += _options(recipe, without="fine_tuning")
    if recipe.fine_tuning is not None:
        words += ["--fine-tune", *_options(recipe.fine_tuning)]
    if results.settings["data"].get("skipped"):
        words += ["--on-bad-image", "skip"]
    commands = []
    for (names, bits), quantizations in _blocks(results).items():
        block = list(words)
        if names != tuple(sorted(methods.available())):
            block += ["--methods", ",".join(names)]
        block += ["--quantizations", ",".join(quantizations)]
        block += ["--bits", ",".join(map(str, bits))]
        block += ["--seeds", ",".join(map(str, results.seeds))]
        command = shlex.join([*block, "--output", str(results.folder.path)])
        if results.tuned:
            commands.append(f"{command} --tune{_tune_weights(results)}")
        commands.append(command)
    return commands


def _blocks(results: ComparisonResults) -> dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]]:
    """The quantizations that were run with the same methods and lengths.

    Methods for which a quantization does not exist count as run with it.
    """
    blocks: dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]] = {}
    for quantization in results.quantizations:
        runs = [run for run in results.results if run.quantization == quantization]
        names = {run.method for run in runs}
        names |= {method for method, name in results.not_run if name == quantization}
        key = tuple(sorted(names)), tuple(sorted({run.bits for run in runs}))
        blocks.setdefault(key, []).append(quantization)
    return blocks


def _tune_weights(results: ComparisonResults) -> str:
    tried = results.tuned_weights
    if tried in ([], sorted(TUNED_WEIGHTS)):
        return ""
    return f" --tune-weights {','.join(f'{weight:g}' for weight in tried)}"


def _options(model: BaseModel, without: str = "") -> list[str]:
    """The fields that are not at their default, as options of the command."""
    words = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name != without and value != field.default:
            option = f"--{name.replace('_', '-')}"
            words += [option] if value is True else [option, str(value)]
    return words


def _markdown(results: ComparisonResults, tables: list[Table], findings: list[str]) -> str:
    parts = [f"# {_title(results)}\n", "\n".join(f"- {finding}" for finding in findings) + "\n"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in about(results)) + "\n")
    parts.append("\n".join(f"    {command}" for command in commands_of(results)) + "\n")
    parts += [table.to_markdown() for table in tables]
    if results.failed:
        failed = [f"- {run}: {error}" for run, error in results.failed.items()]
        parts.append("### Failed runs\n\n" + "\n".join(failed) + "\n")
    return "\n".join(parts)


def _page(
    results: ComparisonResults, tables: list[Table], findings: list[str], figures: dict[str, Path]
) -> str:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text())
    embedded: list[dict[str, Any]] = [
        {
            "title": path.stem.replace("_", " ").capitalize().replace("Map by", "mAP by"),
            "caption": caption,
            "content": base64.b64encode(path.read_bytes()).decode(),
        }
        for caption, path in figures.items()
    ]
    return template.render(
        title=_title(results),
        findings=findings,
        about=about(results),
        commands=commands_of(results),
        tables=tables,
        figures=embedded,
        failed=results.failed,
        grouped=lambda table: table.header[1:2] == ["bits"],
    )
