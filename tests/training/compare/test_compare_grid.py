"""What a comparison consists of, and how its results are kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_hashing import methods
from keras_hashing.names import QUANTIZATIONS
from training.compare.comparison import best_choices
from training.compare.comparison_folder import ComparisonFolder
from training.compare.grid import (
    Choice,
    Grid,
    by_cell,
    candidates,
    default_choice,
    grid_runs,
    reason_not_run,
    tuning_runs,
)
from training.compare.grid_run import GridRun
from training.compare.recipe import FineTuning, Recipe, digest_of
from training.compare.results_file import ResultsFile
from training.compare.workers.digest_of_code import digest_of_code, meaning_of
from training.compare.workers.frozen_data import validation_split

ALL = Grid()
RUN = GridRun("dpsh", "hswd", 16, 0.1, "raw", 0)


def choices_of(grid: Grid) -> dict:
    return {column: default_choice(column) for column in grid.columns}


def test_the_grid_has_every_defined_cell_and_orthohash_has_no_native_one() -> None:
    runs = grid_runs(ALL, choices_of(ALL), single_label=True)
    assert len(runs) == len(set(runs)) == (8 * 5 - 1) * 3 * 3
    undefined = [column for column in ALL.columns if reason_not_run(column, single_label=True)]
    assert undefined == [("orthohash", "native")]


def test_baselines_that_train_nothing_are_run_once_and_not_with_every_quantization() -> None:
    grid = Grid(methods="itq,crovca", quantizations="hswd,none", bits=(16, 32), seeds=(0, 1))
    assert grid.columns == [("itq", "none"), ("crovca", "hswd"), ("crovca", "none")]
    runs = grid_runs(grid, choices_of(grid), single_label=False)
    assert len(runs) == 3 * 4
    alone = Grid(methods="itq,lsh,pca", quantizations="hswd")
    assert {column[1] for column in alone.columns} == {"none"}
    assert len(tuning_runs(alone, single_label=True)) == 3
    assert "nothing is trained" in (reason_not_run(("pca", "hswd"), single_label=True) or "")
    assert set(Grid(methods="all").methods) == set(methods.available())


def test_methods_for_one_label_are_not_run_on_several_and_the_reason_is_given() -> None:
    runs = grid_runs(ALL, choices_of(ALL), single_label=False)
    assert "greedyhash" not in {run.method for run in runs}
    assert {run.method for run in runs} == set(methods.available()) - {"greedyhash"}
    for quantization in QUANTIZATIONS:
        reason = reason_not_run(("greedyhash", quantization), single_label=False)
        assert reason is not None
        assert "one label" in reason


def test_every_column_with_a_choice_has_the_same_number_of_trials() -> None:
    trials = {
        column: len(set(candidates(column)))
        for column in ALL.columns
        if column[1] != "none" and reason_not_run(column, single_label=True) is None
    }
    assert set(trials.values()) == {6}
    runs = tuning_runs(ALL, single_label=True)
    assert len(runs) == 6 * len(trials) + 8
    assert {(run.bits, run.seed, run.stage) for run in runs} == {(32, 0, "tuning")}


def test_the_weights_that_are_tried_can_be_chosen() -> None:
    grid = Grid.check(
        {"methods": "dpsh", "quantizations": "none, hswd", "tune_weights": "0.1,0.3,3"}
    )
    tried = [(run.weight, run.place) for run in tuning_runs(grid, single_label=True)]
    weights = [(weight, place) for place in ("raw", "relaxed") for weight in (0.1, 0.3, 3.0)]
    assert tried == [(0.0, ""), *weights]


def test_hashnets_native_quantization_is_tuned_as_the_schedule_that_it_is() -> None:
    assert {choice.place for choice in candidates(("hashnet", "native"))} == {"schedule"}
    assert default_choice(("hashnet", "native")) == Choice(1.0, "schedule")
    assert default_choice(("csq", "native")) == Choice(0.3, "relaxed")


def test_a_method_with_options_is_a_row_of_its_own() -> None:
    grid = Grid.check({"methods": "dsdh,dsdh:eta=3", "quantizations": "native", "bits": "16"})
    runs = grid_runs(grid, choices_of(grid), single_label=True)
    assert len(runs) == len(set(runs)) == 2 * 3
    assert len({run.file_name for run in runs}) == 6
    assert all(GridRun.of(json.loads(json.dumps(run.to_json()))) == run for run in runs)
    assert runs[-1].file_name == "dsdh_eta=3-native-0.3raw-16-seed2"
    with pytest.raises(ValueError, match="DSDH has no option `etta`"):
        reason_not_run(("dsdh:etta=3", "none"), single_label=True)


def test_runs_of_a_cell_stay_together() -> None:
    groups = by_cell(grid_runs(ALL, choices_of(ALL), single_label=True))
    assert len(groups) == 39 * 3
    assert all([run.seed for run in group] == [0, 1, 2] for group in groups)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": ("dpsh", "dpsch")}, "`methods` must be among csq, dch.*Received: dpsch"),
        ({"methods": ("dsdh:eta",)}, "as in 'dsdh:eta=3:window=1000'.*Received: method='dsdh:eta'"),
        ({"quantizations": ("hwsd",)}, "`quantizations` must be among none, native"),
        ({"bits": (0,)}, "`bits` must be a positive integer. Received: bits=0"),
        ({"bits": (16, 16)}, "`bits` must not repeat"),
        ({"seeds": (-1,)}, "`seeds` must be 0 or more. Received: -1"),
        ({"seeds": ()}, "`seeds` must name at least one"),
        ({"tune_weights": (0.1, 1.0)}, "`tune_weights` must be three different.*0.1, 1"),
        ({"tune_weights": (0.1, 1.0, 1.0)}, "`tune_weights` must be three different"),
        ({"tune_weights": (0.0, 0.1, 1.0)}, "`tune_weights` must be finite and more than 0"),
    ],
)
def test_what_is_no_grid_is_refused(changed: dict, message: str) -> None:
    lists = {"methods": ("dpsh",), "quantizations": ("hswd",), "bits": (16,), "seeds": (0,)}
    with pytest.raises(ValueError, match=message):
        Grid(**{**lists, **changed})


def test_the_setting_with_the_highest_validation_map_is_chosen_and_of_equals_the_first() -> None:
    runs = [
        GridRun("dpsh", "hswd", 32, weight, place, 0, "tuning")
        for place in ("raw", "relaxed")
        for weight in (0.01, 0.1)
    ]
    found = {run: {"map": value} for run, value in zip(runs, (0.5, 0.7, 0.6, 0.7), strict=True)}
    assert best_choices(runs, found) == {("dpsh", "hswd"): (Choice(0.1, "raw"), 0.7)}
    found[runs[1]] = {"status": "failed", "error": "no number"}
    assert best_choices(runs, found) == {("dpsh", "hswd"): (Choice(0.1, "relaxed"), 0.7)}
    with pytest.raises(ValueError, match="No setting could be trained for dpsh hswd"):
        best_choices(runs, {run: {"status": "failed"} for run in runs})


def test_validation_holds_out_a_tenth_of_each_class_twice_and_trains_on_the_rest() -> None:
    labels = np.eye(4)[np.arange(400) % 4]
    train = np.arange(100, 300)
    split = validation_split(labels, train, seed=3)
    assert labels[split.query].sum(axis=0).tolist() == [5] * 4
    assert labels[split.database].sum(axis=0).tolist() == [5] * 4
    together = np.concatenate([split.query, split.database, split.train])
    np.testing.assert_array_equal(np.sort(together), train)
    np.testing.assert_array_equal(split.query, validation_split(labels, train, seed=3).query)
    assert not np.array_equal(split.query, validation_split(labels, train, seed=4).query)


def test_validation_of_several_labels_has_a_tenth_of_each_class_at_least() -> None:
    labels = np.random.default_rng(0).random((500, 6)) < [0.05, 0.1, 0.2, 0.3, 0.5, 0.8]
    train = np.flatnonzero(labels.any(axis=1))
    split = validation_split(labels, train, seed=0)
    for part in (split.query, split.database):
        assert (labels[part].sum(axis=0) >= np.round(0.1 * labels[train].sum(axis=0))).all()


def test_results_are_read_back_as_written(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path / "results.jsonl", "a" * 16)
    assert results.read() == {}
    results.append(RUN, {"status": "done", "map": 0.25})
    second = GridRun("csq", "native", 32, 1.0, "relaxed", 1)
    results.append(second, {"status": "done", "map": 0.5})
    found = results.read()
    assert {run: line["map"] for run, line in found.items()} == {RUN: 0.25, second: 0.5}


def test_a_half_line_is_not_read_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path / "results.jsonl", "a" * 16)
    results.append(RUN, {"map": 0.25})
    with results.path.open("a") as file:
        file.write('{"settings": "aaaaaaaaaaaaaaaa", "meth')
    assert list(results.read()) == [RUN]
    second = GridRun("csq", "native", 32, 1.0, "relaxed", 1)
    results.append(second, {"map": 0.5})
    assert list(results.read()) == [RUN, second]
    assert all(json.loads(line) for line in results.path.read_text().splitlines())


def test_a_half_line_that_is_all_of_the_file_is_dropped(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path / "results.jsonl", "a" * 16)
    results.path.write_text('{"settings"')
    assert results.read() == {}
    results.append(RUN, {"map": 0.25})
    assert list(results.read()) == [RUN]


def test_results_of_other_settings_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    ResultsFile(path, "a" * 16).append(RUN, {"map": 0.25})
    with pytest.raises(ValueError, match="Line 1 of .* other settings.*expected bbbb"):
        ResultsFile(path, "b" * 16).read()
    path.write_text('{"epoch": 1}\n')
    with pytest.raises(ValueError, match="Line 1 of .* is no result of a comparison"):
        ResultsFile(path, "a" * 16).read()


def test_a_folder_keeps_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path)
    settings = {"recipe": Recipe().model_dump(), "data": {"features": "f" * 16}}
    assert folder.keep_settings(settings) == digest_of(settings) == folder.keep_settings(settings)
    other = {**settings, "recipe": Recipe(epochs=7).model_dump()}
    with pytest.raises(ValueError, match="`epochs` was 25. Received: 7; choose another --output"):
        folder.keep_settings(other)
    for changed, told in (
        ({"quantization_weight": 1.0}, "`quantization_weight` was 0.3. Received: 1.0"),
        ({"quantize": "relaxed"}, "`quantize` was 'raw'. Received: 'relaxed'"),
        ({"fine_tuning": FineTuning()}, "`fine_tune` was False. Received: True"),
    ):
        with pytest.raises(ValueError, match=told):
            folder.keep_settings({"recipe": Recipe(**changed).model_dump()})
    with pytest.raises(ValueError, match=r"`skipped` was not there. Received: \['a'\]"):
        folder.keep_settings({"data": {**settings["data"], "skipped": ["a"]}})


def test_a_folder_whose_settings_name_a_default_is_of_the_same_settings(tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path)
    settings = {"recipe": {**Recipe().model_dump(), "quantize": "raw", "train_classes": None}}
    folder.settings.write_text(json.dumps(settings))  # as an earlier version wrote them
    assert folder.keep_settings({"recipe": Recipe().model_dump()}) == digest_of(settings)
    tuned = Recipe(fine_tuning=FineTuning(optimizer="adam")).model_dump()
    folder.settings.write_text(json.dumps({"recipe": tuned}))
    with pytest.raises(ValueError, match="`optimizer` was 'adam'. Received: 'adamw'"):
        folder.keep_settings({"recipe": Recipe(fine_tuning=FineTuning()).model_dump()})


def test_two_comparisons_do_not_share_a_folder_at_the_same_time(tmp_path: Path) -> None:
    first, second = ComparisonFolder(tmp_path), ComparisonFolder(tmp_path)
    with (
        first.opened(),
        pytest.raises(ValueError, match="Another process is comparing"),
        second.opened(),
    ):
        pass
    with second.opened():
        pass


def test_the_recipe_says_what_breaks_its_rule() -> None:
    with pytest.raises(ValueError, match="`epochs`.*Received: 0"):
        Recipe.check({"epochs": 0})


def test_the_digest_of_the_code_sees_what_it_does_and_not_what_it_says() -> None:
    plain = "def f(x):\n    return x + 1\n"
    told = '"""Module."""\ndef f(x):\n    """Adds."""\n    # one\n    return (x + 1)\n'
    assert meaning_of(plain) == meaning_of(told)
    assert meaning_of(plain) != meaning_of(plain.replace("1", "2"))
    assert digest_of_code() == digest_of_code()
    assert len(digest_of_code()) == 16
