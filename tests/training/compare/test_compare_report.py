"""The report of a comparison against SciPy and sums by hand."""

import csv
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from keras_hashing.retrieval.figures import FIGURES
from training.compare.comparison_folder import ComparisonFolder
from training.compare.comparison_report.report import about, commands_of, write_report
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Summary, differences, overall, values_of
from training.compare.comparison_report.tables import map_table, settings_table
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe, digest_of
from training.compare.results_file import ResultsFile
from training.compare.workers.worker import arrays_name

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
    assert one.verdict == "above"
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


def test_the_map_table_shows_means_the_best_of_a_row_and_what_does_not_exist(
    comparison: Path,
) -> None:
    table = map_table(ComparisonResults.read(comparison))
    assert table.header == ["method", "bits", "none", "native", "hswd"]
    assert table.rows[0] == ["csq", "16", "0.610 ± 0.010", "0.620 ± 0.010", "**0.645 ± 0.005**"]
    assert table.rows[2][3] == "not run"
    assert "orthohash with native: the method's paper has no quantization term" in table.note


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
    assert "<strong>0.645 ± 0.005</strong>" in text


def test_the_report_says_when_runs_are_of_different_code(comparison: Path) -> None:
    folder = ComparisonFolder(comparison)
    digest = json.loads(folder.results.read_text().splitlines()[0])["settings"]
    assert "Attention" not in write_report(comparison).read_text()
    for seed, code in ((0, "a" * 16), (1, "b" * 16)):
        run = GridRun("csq", "hswd", 16, *CHOICES["hswd"], seed)
        ResultsFile(folder.results, digest).append(run, {**line(0.64), "code": code})
    assert "Attention: the runs are of 2 versions" in write_report(comparison).read_text()


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


def test_the_report_names_the_commands_that_choose_settings_and_train(comparison: Path) -> None:
    tune, command = commands_of(ComparisonResults.read(comparison))
    assert "--quantizations none,native,hswd --bits 16 --seeds 0,1,2" in command
    assert f"--methods {','.join(sorted({method for method, _ in MAPS}))} " in command
    assert tune == f"{command} --tune"
    text = write_report(comparison).with_name("report.md").read_text()
    assert f"    {tune}\n    {command}\n" in text


def test_a_quantization_of_fewer_methods_has_commands_of_its_own(comparison: Path) -> None:
    results = ComparisonResults.read(comparison)
    results = ResultsFile(results.folder.results, digest_of(results.settings))
    results.append(GridRun("csq", "ot", 16, 0.3, "raw", 0), {"status": "done"})
    commands = commands_of(ComparisonResults.read(comparison))
    assert ["none,native,hswd" in command for command in commands] == [True, True, False, False]
    assert "--methods csq --quantizations ot --bits 16 " in commands[3]


def test_the_report_tells_of_files_that_were_left_out(comparison: Path) -> None:
    results = ComparisonResults.read(comparison)
    assert "left out" not in dict(about(results))["data"]
    assert not any("--on-bad-image" in command for command in commands_of(results))
    settings = json.loads((comparison / "settings.json").read_text())
    settings["data"]["skipped"] = ["dark/notes.txt"]
    results = dataclasses.replace(results, settings=settings)
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
    note = write_report(comparison).with_name("report.md").read_text()
    assert f"{{raw, relaxed}} × {{{', '.join(f'{weight:g}' for weight in weights)}}};" in note


def test_the_report_tells_features_of_untrained_networks(comparison: Path) -> None:
    text = write_report(comparison).with_name("report.md").read_text()
    assert "untrained" not in text
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
