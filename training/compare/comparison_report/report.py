"""The report of a comparison: Markdown, CSV, figures, and one page that holds it all."""

from pathlib import Path

from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.picture_sheet import MOST_BYTES, PictureSheet
from training.backbones import UNTRAINED
from training.compare.comparison_report.commands import commands_of, fit_command
from training.compare.comparison_report.figures import write_figures
from training.compare.comparison_report.galleries import add_galleries, best_cells
from training.compare.comparison_report.recommendation import (
    RULE,
    Recommendation,
    gain_by_bits,
    recommend,
)
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Cell, name_of, overall
from training.compare.comparison_report.tables import (
    Table,
    report_tables,
    signed,
    write_cells,
    write_differences,
)
from training.compare.recipe import FineTuning, Recipe

_FOR_TABLES = 500_000  # bytes
_QUESTION = "Which setting should I take?"


def write_report(output: Path, moved: dict[str, str] | None = None) -> Path:
    """Writes the report of a comparison, finished or not, into its folder.

        report/report.html        what to take, figures, what the best settings find, tables
        report/report.md          the same without pictures
        report/cells.csv          mean and standard deviation of every figure
        report/differences.csv    paired differences with their intervals
        report/*.png              the figures

    Args:
        moved: Where the images are now, as fields of `DataSettings`.

    Raises:
        FileNotFoundError: when the folder holds no comparison.
        ValueError: when a file is damaged or of other settings, or no run is finished.
    """
    results = ComparisonResults.read(output, moved)
    folder = results.folder.report
    folder.mkdir(exist_ok=True)
    advice = [one for bits in results.bits if (one := recommend(results, bits)) is not None]
    tables = report_tables(results)
    write_cells(results, folder / "cells.csv")
    write_differences(results, folder / "differences.csv")
    write_text(folder / "report.md", _markdown(results, advice, tables))
    page = folder / "report.html"
    write_text(page, _page(results, advice, tables))
    return page


def _title(results: ComparisonResults) -> str:
    recipe = results.recipe
    return f"Quantization of hash codes on {recipe.dataset}, protocol {recipe.protocol}"


def findings(results: ComparisonResults) -> list[str]:
    """The result in sentences."""
    found, figure = [], results.title(results.main)
    for reference, name in (("native", "the method's native quantization"), ("none", "none")):
        one = overall(results.differences(results.main, reference), "hswd")
        if one is not None:
            found.append(
                f"HSWD has the higher {figure} than {name} in {one.higher} of {one.cells} "
                f"cells (the interval lies above 0 in {one.interval_above}, below in "
                f"{one.interval_below}); mean difference {signed(one.mean, 4)}."
            )
    done = sum(line.get("status") == "done" for line in results.results.values())
    found.append(
        f"{done} runs: {len(results.methods)} methods, {', '.join(results.quantizations)}; "
        f"{', '.join(map(str, results.bits))} bits; seeds "
        f"{', '.join(map(str, results.seeds))}."
        + (f" {len(results.failed)} runs failed." if results.failed else "")
    )
    versions = {line.get("code") for line in results.results.values() if "code" in line}
    if len(versions) > 1:
        found.append(
            f"Attention: the runs are of {len(versions)} versions of the code; differences between "
            "them may come from that."
        )
    return found


def about(results: ComparisonResults) -> list[tuple[str, str]]:
    """What was held equal in all runs, and how they were trained."""
    recipe, data = results.recipe, results.settings["data"]
    line = next(line for line in results.results.values() if line.get("status") == "done")
    tuned, skipped = recipe.fine_tuning, data.get("skipped")
    items = "items" if recipe.dataset == "vectors" else "images"
    return [
        (
            "data",
            f"{recipe.dataset}, {data['images']:,} {items}, {data['classes']} classes"
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
    features = f"{recipe.backbone}{size}{weights}, frozen; {width}, standardised"
    if recipe.dataset == "vectors":
        features = f"the vectors, scaled to length 1; {width}, standardised"
    return [
        ("features", features),
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
    part = "whole" if tuned.train_from is None else f"from {tuned.train_from} on"
    return [
        ("backbone", f"{recipe.backbone} on {size}, fine-tuned {part} with each run"),
        ("head", f"dropout {recipe.dropout:g}, {layers}"),
        (
            "training",
            f"{_optimizer(recipe, tuned)}; {recipe.epochs} epochs, batch {recipe.batch_size} "
            f"{_compared_with(tuned)}; {results.seconds:.1f} s per run",
        ),
        ("augmentation", _augmentation(tuned)),
    ]


def _optimizer(recipe: Recipe, tuned: FineTuning) -> str:
    rate = f"{recipe.learning_rate:g} (backbone × {tuned.backbone_rate:g})"
    averaged = (
        f"average of the weights with momentum {tuned.average_weights:g}"
        if tuned.average_weights
        else "last weights"
    )
    if tuned.optimizer == "adam":
        return f"Adam {rate}, L2 {tuned.weight_decay:g}, {averaged}"
    decay = f"warm-up and cosine decay, weight decay {tuned.weight_decay:g}"
    return f"AdamW {rate}, {decay}, {averaged}"


def _compared_with(tuned: FineTuning) -> str:
    others = "against the codes of all training images" if tuned.remember_all else "against itself"
    if not tuned.continuation_epochs:
        return others
    return f"{others}, the scale of tanh grows every {tuned.continuation_epochs} epochs"


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


def _answers(results: ComparisonResults, advice: list[Recommendation]) -> list[str]:
    name = results.title(results.main)
    gain = gain_by_bits(results, _typical(results, advice))
    return [*(one.sentence(name) for one in advice), *gain]


def _typical(results: ComparisonResults, advice: list[Recommendation]) -> Cell:
    """What to take at the typical number of bits."""
    return min(advice, key=lambda one: abs(one.bits - results.typical_bits)).take


def _command_to_train(results: ComparisonResults, cell: Cell) -> tuple[str, str] | None:
    """How a setting is trained as a run of its own."""
    command = fit_command(results, cell)
    if command is None:
        return None
    return f"Train {name_of(cell)}, {cell[2]} bits, as a run of its own:", command


def _markdown(results: ComparisonResults, advice: list[Recommendation], tables: list[Table]) -> str:
    def listed(lines: list[str]) -> str:
        return "\n".join(f"- {line}" for line in lines) + "\n"

    parts = [f"# {_title(results)}\n", f"## {_QUESTION}\n", listed(_answers(results, advice))]
    parts.append(f"{RULE}\n")
    if train := _command_to_train(results, _typical(results, advice)):
        parts.append(f"{train[0]}\n\n    {train[1]}\n")
    parts += ["## Results\n", listed(findings(results))]
    parts += [table.to_markdown() for table in tables]
    parts += [
        "## How it was made\n",
        listed([f"{name}: {value}" for name, value in about(results)]),
    ]
    parts.append("\n".join(f"    {command}" for command in commands_of(results)) + "\n")
    if results.failed:
        failed = [f"{run}: {error}" for run, error in results.failed.items()]
        parts += ["### Failed runs\n", listed(failed)]
    return "\n".join(parts)


def _page(results: ComparisonResults, advice: list[Recommendation], tables: list[Table]) -> str:
    sheet = PictureSheet(_title(results), most_bytes=MOST_BYTES - _FOR_TABLES)
    sheet.section(_QUESTION)
    sheet.answer(_answers(results, advice))
    if train := _command_to_train(results, _typical(results, advice)):
        sheet.paragraph(train[0])
        sheet.code(train[1:])
    sheet.details("How it was chosen", RULE)
    sheet.section("Figures")
    for caption, path in write_figures(results, results.folder.report).items():
        sheet.figure(path.read_bytes(), caption, wide=True)
    add_galleries(sheet, results, best_cells(results, _typical(results, advice)))
    sheet.section("Findings")
    for finding in findings(results):
        sheet.paragraph(finding)
    for table in tables:
        sheet.section(table.title)
        sheet.table(table.header, table.rows, table.note, table.groups)
    sheet.section("How it was made")
    sheet.facts(dict(about(results)))
    sheet.code(commands_of(results))
    if results.failed:
        sheet.section("Failed runs")
        sheet.facts({str(run): error for run, error in results.failed.items()})
    return sheet.html()
