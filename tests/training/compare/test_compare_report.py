"""The report of a comparison against SciPy and sums by hand."""

import csv
import dataclasses
import json
import math
import re
import shlex
from html import escape
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.main import get_command

from keras_hashing.command_line.options import given
from keras_hashing.files.picture_sheet import PictureSheet
from keras_hashing.retrieval.figures import FIGURES
from training.cli import app
from training.compare.cli import _settings
from training.compare.comparison_folder import ComparisonFolder
from training.compare.comparison_report.commands import commands_of, fit_command
from training.compare.comparison_report.galleries import add_galleries
from training.compare.comparison_report.recommendation import gain_by_bits, recommend
from training.compare.comparison_report.report import about, findings, write_report
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Summary, differences, overall, values_of
from training.compare.comparison_report.tables import main_table, settings_table
from training.compare.grid import Grid
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe, digest_of
from training.compare.results_file import ResultsFile
from training.compare.workers.worker import arrays_name
from training.data import load_dataset
from training.settings import DataSettings, FitSettings

SEEDS = (0, 1, 2)
# mAP by method, quantization and seed: hswd is above native in one method, below in the other.
MAPS = {
    ("csq", "none"): (0.60, 0.61, 0.62),
    ("csq", "native"): (0.61, 0.63, 0.62),
    ("csq", "hswd"): (0.64, 0.65, 0.645),
    ("dpsh", "none"): (0.50, 0.52, 0.51),
    ("dpsh", "native"): (0.55, 0.54, 0.56),
    ("dpsh", "hswd"): (0.53, 0.55, 0.52),
    ("orthohash", "none"): (0.70, 0.71, 0.72),
    ("orthohash", "hswd"): (0.71, 0.70, 0.74),
}
CHOICES = {"none": (0.0, ""), "native": (0.1, "relaxed"), "hswd": (1.0, "raw")}


def line(value: float) -> dict:
    figures = dict.fromkeys(FIGURES, 0.5)
    sizes = {"queries": 100, "train": 500, "database": 1000}
    sizes |= {"k": 1000, "radius": 2}
    seconds = {"prepare": 1.0, "train": 2.0, "evaluate": 3.0}
    return {"status": "done", **figures, "map": value, **sizes, "seconds": seconds}


def write_arrays(folder: Path, run: GridRun) -> None:
    random = np.random.default_rng(run.seed)
    np.savez_compressed(
        folder / arrays_name(run),
        precision=np.linspace(0.9, 0.1, run.bits + 1),
        recall=np.linspace(0, 1, run.bits + 1),
        histogram=random.integers(0, 100, 80),
        histogram_edges=np.linspace(-4, 4, 81),
        bit_mean=random.uniform(-1, 1, run.bits),
        bit_correlation=np.eye(run.bits, dtype=np.float16),
    )


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    folder = ComparisonFolder(tmp_path / "compare")
    data = {"features": "f" * 16, "width": 8, "images": 1600, "classes": 10, "single_label": True}
    with folder.opened():
        digest = folder.keep_settings({"recipe": Recipe().model_dump(), "data": data})
    choices = [
        {"method": method, "quantization": name, "weight": CHOICES[name][0]}
        | {"place": CHOICES[name][1], "validation_map": 0.4}
        for method, name in MAPS
    ]
    folder.choices.write_text(json.dumps({"settings": digest, "choices": choices}))
    results = ResultsFile(folder.results, digest)
    for (method, name), values in MAPS.items():
        for seed, value in zip(SEEDS, values, strict=True):
            run = GridRun(method, name, 16, *CHOICES[name], seed)
            results.append(run, line(value))
            write_arrays(folder.arrays, run)
    return folder.path


def test_mean_deviation_and_interval_are_those_of_scipy() -> None:
    values = [0.61, 0.64, 0.655]
    summary = Summary.of(values)
    mean, error = np.mean(values), stats.sem(values)
    assert summary.mean == pytest.approx(mean)
    assert summary.deviation == pytest.approx(np.std(values, ddof=1))
    assert summary.interval == pytest.approx(stats.t.interval(0.95, 2, mean, error))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    summary = Summary.of([0.5])
    assert summary.mean == 0.5
    assert math.isnan(summary.deviation)
    assert math.isnan(summary.half_width)


def test_differences_are_paired_by_seed(comparison: Path) -> None:
    found = differences(ComparisonResults.read(comparison).values("map"), "native")
    one = next(d for d in found if (d.method, d.quantization) == ("csq", "hswd"))
    assert list(one.by_seed.values()) == pytest.approx([0.03, 0.02, 0.025])
    paired = stats.ttest_rel(MAPS["csq", "hswd"], MAPS["csq", "native"])
    assert one.summary.interval == pytest.approx(tuple(paired.confidence_interval(0.95)))
    assert one.summary.verdict == "above"
    assert {d.method for d in found} == {"csq", "dpsh"}  # orthohash has no native


def test_a_seed_that_one_side_lacks_is_left_out_of_the_pair() -> None:
    values = {("csq", "none", 16): {0: 0.5, 1: 0.6}, ("csq", "hswd", 16): {1: 0.7, 2: 0.9}}
    (one,) = differences(values, "none")
    assert one.by_seed == pytest.approx({1: 0.1})


def test_cells_are_counted_and_averaged_seed_by_seed(comparison: Path) -> None:
    found = differences(ComparisonResults.read(comparison).values("map"), "native")
    one = overall(found, "hswd")
    assert one is not None
    assert (one.cells, one.higher, one.interval_above, one.interval_below) == (2, 1, 1, 0)
    csq = np.subtract(MAPS["csq", "hswd"], MAPS["csq", "native"])
    dpsh = np.subtract(MAPS["dpsh", "hswd"], MAPS["dpsh", "native"])
    assert one.mean.mean == pytest.approx(np.mean((csq + dpsh) / 2))
    assert one.mean.deviation == pytest.approx(np.std((csq + dpsh) / 2, ddof=1))
    assert overall(found, "ot") is None


def test_failed_runs_have_no_value() -> None:
    runs = {GridRun("csq", "none", 16, 0.0, "", 0): {"status": "failed", "error": "no number"}}
    assert values_of(runs, "map") == {}


def test_a_cell_is_bold_only_where_it_leads_by_more_than_noise(comparison: Path) -> None:
    table = main_table(ComparisonResults.read(comparison))
    assert table.header == ["method", "bits", "none", "native", "hswd"]
    # hswd leads native by 0.030, 0.020, 0.025; in the next row native leads by 0.02, -0.01, 0.04.
    assert table.rows[0] == ["csq", "16", "0.610 ± 0.010", "0.620 ± 0.010", "**0.645 ± 0.005**"]
    assert table.rows[1] == ["dpsh", "16", "0.510 ± 0.010", "0.550 ± 0.010", "0.533 ± 0.015"]
    assert table.rows[2][3] == "not run"
    assert "orthohash with native: the method's paper has no quantization term" in table.note
    assert "the 95% t interval of the differences, paired by seed, leaves out 0" in table.note


def recommended(comparison: Path, changes: dict, seeds: int = 3) -> str:
    """What is recommended when some cells have other values, and only so many seeds are run."""
    folder = ComparisonFolder(comparison)
    folder.results.unlink()
    results = ResultsFile(folder.results, digest_of(folder.read_settings()))
    for (method, name), values in {**MAPS, **changes}.items():
        for seed, value in zip(SEEDS[:seeds], values, strict=False):
            results.append(GridRun(method, name, 16, *CHOICES[name], seed), line(value))
    found = recommend(ComparisonResults.read(comparison), 16)
    assert found is not None
    return found.sentence("mAP")


def test_the_page_says_which_setting_to_take(comparison: Path) -> None:
    # orthohash: none is 0.70, 0.71, 0.72 and hswd 0.71, 0.70, 0.74, so 0.007 ± 0.038 apart.
    assert recommended(comparison, {}) == (
        "16 bits: take **orthohash without quantization**. The highest is orthohash with hswd (mAP "
        "0.717 ± 0.021, mean of 3 seeds), but the difference is noise (0.007 ± 0.038 lower), and "
        "without a quantization loss there is nothing to choose."
    )
    clear = {("csq", "hswd"): (0.90, 0.91, 0.92)}
    assert recommended(comparison, clear) == (
        "16 bits: take **csq with hswd**: the highest (mAP 0.910 ± 0.010, mean of 3 seeds), told "
        "apart from all others."
    )
    simple = {("orthohash", "none"): (0.72, 0.71, 0.73)}
    assert recommended(comparison, simple) == (
        "16 bits: take **orthohash without quantization**: the highest (mAP 0.720 ± 0.010, mean of "
        "3 seeds), not told apart from 1 other, next orthohash with hswd (0.003 ± 0.029 lower)."
    )


def test_the_page_says_what_longer_codes_give(comparison: Path) -> None:
    assert gain_by_bits(ComparisonResults.read(comparison), ("csq", "none", 16)) == []
    folder = ComparisonFolder(comparison)
    results = ResultsFile(folder.results, digest_of(folder.read_settings()))
    # 0.61, 0.62, 0.63 are 0.01 more each; then 0.60, 0.70, 0.62 differ by -0.01, 0.08, -0.01.
    for bits, values in ((32, (0.61, 0.62, 0.63)), (64, (0.60, 0.70, 0.62))):
        for seed, value in zip(SEEDS, values, strict=True):
            results.append(GridRun("csq", "none", bits, 0.0, "", seed), line(value))
    assert gain_by_bits(ComparisonResults.read(comparison), ("csq", "none", 16)) == [
        "Longer codes, csq without quantization: mAP +0.010 ± 0.000 from 16 to 32 bits, "
        "+0.020 ± 0.129 from 32 to 64 bits (noise)."
    ]


def test_too_few_seeds_to_tell_are_told(comparison: Path) -> None:
    for seeds, highest in ((1, "with hswd"), (2, "without quantization")):
        told = recommended(comparison, {}, seeds)
        assert told.startswith(
            f"16 bits: too few seeds to tell. **orthohash {highest}** is highest"
        )
        assert told.endswith("Run more seeds.")
    # 0.007 ± 0.306: a simple setting may be far worse, as far as anyone knows.
    wide = {("orthohash", "hswd"): (0.60, 0.70, 0.85)}
    assert "too few seeds to tell" in recommended(comparison, wide)
    # What is simple already loses nothing, however wide the interval.
    wide = {("orthohash", "none"): (0.60, 0.70, 0.85)}
    assert "take **orthohash without quantization**: the highest" in recommended(comparison, wide)


def test_the_settings_say_how_they_were_chosen(comparison: Path) -> None:
    table = settings_table(ComparisonResults.read(comparison))
    assert table.rows[0][:1] == ["csq"]
    assert table.rows[0][2].startswith("1 raw")
    assert "32 bits with one seed" in table.note


def test_runs_with_other_than_the_chosen_settings_are_not_counted(comparison: Path) -> None:
    folder = ComparisonFolder(comparison)
    digest = json.loads(folder.results.read_text().splitlines()[0])["settings"]
    other = GridRun("csq", "hswd", 16, 0.01, "raw", 0)
    ResultsFile(folder.results, digest).append(other, line(0.99))
    assert other not in ComparisonResults.read(comparison).results


def test_the_report_is_whole_and_the_page_needs_no_other_file(comparison: Path) -> None:
    page = write_report(comparison)
    folder = page.parent
    names = {path.name for path in folder.iterdir()}
    assert {"report.md", "cells.csv", "differences.csv", "report.html"} <= names
    figures = {"map_by_bits.png", "precision_recall.png", "code_histogram.png"}
    assert figures | {"bit_balance.png", "bit_correlation.png"} <= names
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "in 1 of 2 cells" in text
    assert text.index("Which setting should I take?") < text.index("<figure") < text.index("<table")
    assert "<strong>0.645 ± 0.005</strong>" in text
    commands = commands_of(ComparisonResults.read(comparison))
    assert "\n".join(f"    {one}" for one in commands) in (folder / "report.md").read_text()
    assert all(escape(one) in text for one in commands)


def test_the_page_shows_what_the_best_settings_find(comparison: Path) -> None:
    digits = load_dataset("digits")
    folder = ComparisonFolder(comparison)
    settings = folder.read_settings()
    settings["recipe"]["dataset"], settings["data"]["digest"] = "digits", digits.digest
    folder.settings.write_text(json.dumps(settings))
    folder.results.unlink()
    results = ResultsFile(folder.results, digest_of(settings))
    random, queries = np.random.default_rng(0), np.array([3, 50, 99])
    found = random.choice(np.arange(100, 1700), (3, 10), replace=False)
    for (method, name), value in {
        ("csq", "none"): 0.4,
        ("dpsh", "none"): 0.6,
        ("dpsh", "hswd"): 0.5,
    }.items():
        run = GridRun(method, name, 16, *CHOICES[name], 7)
        results.append(run, line(value))
        write_arrays(folder.arrays, run)
        if name == "none":
            with np.load(folder.arrays / arrays_name(run)) as arrays:
                shown = {"queries": queries, "found": found, "distances": np.zeros_like(found)}
                np.savez(folder.arrays / arrays_name(run), **arrays, **shown)
    html = write_report(comparison).read_text()
    titles = re.findall(r"<h2>(What .*? finds)</h2>", html)
    assert titles == ["What dpsh without quantization finds", "What csq without quantization finds"]
    classes = digits.labels.argmax(axis=1)
    rows = re.findall(r"<ol>(.*?)</ol>", html.split(titles[0])[1].split(titles[1])[0])
    shown = {}
    for row in rows:
        (_, name), *judged = re.findall(r'<li class="(\w*)">.*?<span>(.*?)</span></li>', row)
        shown[name] = judged
    assert shown == {
        digits.ids[query]: [
            ("hit" if classes[at] == classes[query] else "miss", digits.ids[at]) for at in near
        ]
        for query, near in zip(queries, found, strict=True)
    }
    assert len(html) < 5_000_000
    settings["data"]["digest"] = "0" * 16  # as if the data had changed
    other = dataclasses.replace(ComparisonResults.read(comparison), settings=settings)
    sheet = PictureSheet("Report")
    add_galleries(sheet, other, [("dpsh", "none", 16)])
    assert "The pictures are left out: the data has changed since" in sheet.html()
    gone = dataclasses.replace(
        other, place=DataSettings(dataset="folder", data_dir="nowhere at all")
    )
    add_galleries(sheet, gone, [("dpsh", "none", 16)])
    assert "nowhere at all" in sheet.html()
    assert "--data-dir" in sheet.html()
    vectors = DataSettings(dataset="vectors", data_dir="nowhere at all")
    sheet = PictureSheet("Report")
    add_galleries(sheet, dataclasses.replace(other, place=vectors), [("dpsh", "none", 16)])
    assert "left out" not in sheet.html()
    assert "finds" not in sheet.html()


def test_the_report_says_when_runs_are_of_different_code(comparison: Path) -> None:
    folder = ComparisonFolder(comparison)
    digest = json.loads(folder.results.read_text().splitlines()[0])["settings"]
    assert not any("Attention" in one for one in findings(ComparisonResults.read(comparison)))
    for seed, code in ((0, "a" * 16), (1, "b" * 16)):
        run = GridRun("csq", "hswd", 16, *CHOICES["hswd"], seed)
        ResultsFile(folder.results, digest).append(run, {**line(0.64), "code": code})
    *_, last = findings(ComparisonResults.read(comparison))
    assert last.startswith("Attention: the runs are of 2 versions")


def test_csv_files_hold_the_numbers_of_the_tables(comparison: Path) -> None:
    folder = write_report(comparison).parent
    with (folder / "cells.csv").open() as file:
        cells = {(row["method"], row["quantization"]): row for row in csv.DictReader(file)}
    assert len(cells) == len(MAPS)
    assert float(cells["csq", "hswd"]["map_mean"]) == pytest.approx(0.645)
    assert cells["csq", "hswd"]["weight"] == "1.0"
    with (folder / "differences.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["figure"] == "map"]
    row = next(
        row
        for row in rows
        if (row["method"], row["quantization"], row["reference"]) == ("csq", "hswd", "native")
    )
    assert float(row["mean"]) == pytest.approx(0.025)


def parsed(command: str) -> tuple[str, dict, dict]:
    """The command, and what its options say: settings of a run, or recipe, grid and place."""
    assert command.startswith("python -m training ")
    name, *words = shlex.split(command)[3:]
    context = get_command(app).commands[name].make_context(name, words)
    if name == "fit":
        return name, given(context, FitSettings), {}
    settings = _settings(context, context.params["tune"], context.params["fine_tune"])
    return name, dict(zip(("recipe", "grid", "place"), settings, strict=True)), context.params


RECIPES = [
    {},
    {
        "dataset": "folder",
        "protocol": "per-class",
        "query_per_class": 7,
        "height": 9,
        "channels": 3,
    },
    {"dataset": "vectors", "query_share": 0.2, "hidden": 16},
    {"protocol": "cifar10-1", "hidden": 0, "dropout": 0.1, "k": 50}
    | {"fine_tuning": {"flip": True, "crop": 0.5, "backbone_rate": 0.1, "average_weights": 0.9}},
    {"quantization_weight": 0.2, "quantize": "relaxed"}
    | {"fine_tuning": {"standardise": False, "optimizer": "adam", "train_from": "block13"}},
]
PLACE = {"data_dir": "my images", "on_bad_image": "skip", "download": True}


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_each_command_of_the_report_asks_for_what_was_compared(
    comparison: Path, recipe: dict
) -> None:
    results = ComparisonResults.read(comparison)
    recipe = Recipe.check({**recipe, "fine_tuning": recipe.get("fine_tuning")})
    settings = {**results.settings, "recipe": recipe.model_dump(mode="json")}
    place = DataSettings(dataset=recipe.dataset, **PLACE)
    features = Path("features of mine")
    results = dataclasses.replace(results, settings=settings, place=place, features_dir=features)
    tune, command = commands_of(results)
    assert tune == f"{command} --tune"
    name, asked, options = parsed(command)
    assert name == "compare"
    assert asked["recipe"] == recipe
    assert {name: getattr(asked["place"], name) for name in PLACE} == PLACE
    if recipe.fine_tuning is None:
        assert options["features_dir"] == features
    assert options["output"] == comparison
    grid = Grid(methods=("csq", "dpsh", "orthohash"), quantizations=tuple(CHOICES), bits=(16,))
    assert asked["grid"] == grid
    command = fit_command(results, ("csq", "hswd", 16))
    assert command is not None
    fit = FitSettings.check(parsed(command)[1])
    assert (fit.method, fit.quantization, fit.bits) == ("csq", "hswd", 16)
    assert (fit.quantization_weight, fit.quantize) == CHOICES["hswd"]
    assert fit.frozen == (recipe.fine_tuning is None)
    assert DataSettings(**{name: getattr(fit, name) for name in place.model_fields_set}) == place
    for method in (
        "hashnet",
        "ntxent",
        "ntxent:temperature=0.5",
    ):  # whatever the default of the data set is
        lines = {GridRun(method, "none", 16, 0.0, "", 0): {**line(0.5), "k": 100, "radius": 2}}
        lines = {run: {**run.to_json(), **found} for run, found in lines.items()}
        without = dataclasses.replace(results, results=lines)
        if recipe.fine_tuning is None:
            alone = FitSettings.check(parsed(fit_command(without, (method, "none", 16)))[1])
            assert (alone.method, alone.quantization, alone.bits) == (method, "none", 16)
            assert alone.quantize is None
    of_run = {"k", "radius", "quantization_weight", "quantize"}
    shared = set(Recipe.model_fields) & set(FitSettings.model_fields) - of_run
    assert {name: getattr(fit, name) for name in shared} == {
        name: getattr(recipe, name) for name in shared
    }
    if recipe.fine_tuning is not None:
        chosen = recipe.fine_tuning.model_dump()
        assert {name: getattr(fit, name) for name in chosen} == chosen


def test_a_run_of_a_schedule_of_its_own_pace_has_no_command(comparison: Path) -> None:
    results = ComparisonResults.read(comparison)
    for growth, option in ((1.0, "--quantization native"), (3.0, None)):
        run = GridRun("hashnet", "native", 16, growth, "schedule", 0)
        lines = {run: {**run.to_json(), **line(0.5), "k": 100, "radius": 2}}
        command = fit_command(
            dataclasses.replace(results, results=lines), ("hashnet", "native", 16)
        )
        assert (command is None) if option is None else (option in command)


def test_a_quantization_of_fewer_methods_has_commands_of_its_own(comparison: Path) -> None:
    results = ComparisonResults.read(comparison)
    results = ResultsFile(results.folder.results, digest_of(results.settings))
    results.append(GridRun("csq", "ot", 16, 0.3, "raw", 0), {"status": "done"})
    tune, command, alone = commands_of(results := ComparisonResults.read(comparison))
    assert "none,native,hswd" in command
    assert tune == f"{command} --tune"
    assert "--quantizations ot --methods csq --bits 16 --seeds 0 " in alone
    assert not alone.endswith("--tune")  # nothing was chosen for it
    note = settings_table(results).note
    assert "Not tuned, where there is no mAP: 0.3 on the raw code" in note


def test_a_method_that_was_not_tuned_is_not_in_the_command_that_tunes(comparison: Path) -> None:
    choices = json.loads((comparison / "choices.json").read_text())
    choices["choices"] = [one for one in choices["choices"] if one["method"] != "dpsh"]
    (comparison / "choices.json").write_text(json.dumps(choices))
    results = ComparisonResults.read(comparison)
    lines = ResultsFile(results.folder.results, digest_of(results.settings))
    for name, place in (("none", ""), ("native", "raw"), ("hswd", "raw")):
        run = GridRun("dpsh", name, 16, 0.3 if place else 0.0, place, 0)
        for seed in SEEDS:
            lines.append(dataclasses.replace(run, seed=seed), line(0.5))
    commands = commands_of(ComparisonResults.read(comparison))
    tuned = [command for command in commands if command.endswith("--tune")]
    assert tuned
    assert not any("dpsh" in command for command in tuned)
    assert any("--methods csq,dpsh,orthohash" in command for command in commands)


def test_the_report_tells_of_files_that_were_left_out(comparison: Path) -> None:
    results = ComparisonResults.read(comparison)
    assert "left out" not in dict(about(results))["data"]
    assert not any("--on-bad-image" in command for command in commands_of(results))
    settings = json.loads((comparison / "settings.json").read_text())
    settings["data"]["skipped"] = ["dark/notes.txt"]
    (comparison / "settings.json").write_text(json.dumps(settings))
    (comparison / "results.jsonl").write_text(
        (comparison / "results.jsonl")
        .read_text()
        .replace(digest_of(results.settings), digest_of(settings))
    )
    results = ComparisonResults.read(comparison)  # of a version that kept no place.json
    assert dict(about(results))["data"].endswith("; files left out: 1")
    assert all("--on-bad-image skip " in command for command in commands_of(results))


@pytest.mark.parametrize(
    ("weights", "option"),
    [((0.01, 0.1, 1.0), ""), ((0.1, 0.3, 3.0), " --tune-weights 0.1,0.3,3")],
)
def test_the_report_names_the_weights_that_were_tried(
    comparison: Path, weights: tuple[float, ...], option: str
) -> None:
    results = ComparisonResults.read(comparison)
    tuning = ResultsFile(results.folder.tuning, digest_of(results.settings))
    for weight in weights:
        tuning.append(GridRun("csq", "hswd", 32, weight, "raw", 0, "tuning"), {"status": "done"})
    tune, command = commands_of(ComparisonResults.read(comparison))
    assert tune == f"{command} --tune{option}"
    note = settings_table(ComparisonResults.read(comparison)).note
    assert f"{{raw, relaxed}} × {{{', '.join(f'{weight:g}' for weight in weights)}}};" in note


def test_the_report_tells_features_of_untrained_networks(comparison: Path) -> None:
    assert "untrained" not in dict(about(ComparisonResults.read(comparison)))["features"]
    settings = json.loads((comparison / "settings.json").read_text())
    settings["recipe"]["backbone"] = "small-cnn"
    results = dataclasses.replace(ComparisonResults.read(comparison), settings=settings)
    assert "small-cnn, with untrained weights, frozen" in dict(about(results))["features"]


def test_a_folder_without_a_finished_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Not the folder of a comparison"):
        write_report(tmp_path)
    folder = ComparisonFolder(tmp_path)
    folder.keep_settings({"recipe": Recipe().model_dump(), "data": {"single_label": True}})
    with pytest.raises(ValueError, match="No run of the grid is finished"):
        write_report(tmp_path)
