import json
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from brute_force_model import make_card
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from prediction_server import ModelServer
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from export.server.server_config import (
    BATCHING,
    COMPOSE,
    MODELS,
    MONITORING,
    ServerConfig,
    batching_config,
    command_line,
    compose_file,
    health_command,
    models_config,
    monitoring_config,
    shell_command,
    write_server_config,
)
from keras_hashing.client.calls import Model
from keras_hashing.client.operations import Settings
from keras_hashing.encoder.card import IndexCard


def make_model(folder: Path, *versions: int, search: bool = True) -> Path:
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        card = make_card()
        if not search:
            card = card.model_copy(update={"signatures": ["encode"]})
        card.save(folder / str(version))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "models" / "fashion", 3, 4)


@pytest.fixture
def encoder_only(tmp_path: Path) -> Path:
    return make_model(tmp_path / "models" / "encoder", 1, search=False)


def parsed_models(config: ServerConfig) -> ModelServerConfig:
    return text_format.Parse(models_config(config), ModelServerConfig())


def message(name: str, fields: dict[str, object]) -> object:
    """A message like that of a proto that the Python package lacks; names and types count."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", syntax="proto3", dependency=["google/protobuf/wrappers.proto"]
    )
    kinds = descriptor_pb2.FieldDescriptorProto

    def add(parent: str, fields: dict[str, object]) -> None:
        described = file.message_type.add(name=parent)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added = described.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if isinstance(kind, dict):
                add(f"{parent}_{field}", kind)
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{parent}_{field}"
            elif isinstance(kind, str):
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".google.protobuf.{kind}"
            else:
                added.type = kind

    add(name, fields)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


# As tensorflow_serving/servables/tensorflow/session_bundle_config.proto declares them.
BATCHING_FIELDS = {
    "max_batch_size": "Int64Value",
    "max_execution_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
    "pad_variable_length_inputs": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "enable_large_batch_splitting": "BoolValue",
}
# As tensorflow_serving/config/monitoring_config.proto declares them.
MONITORING_FIELDS = {
    "prometheus_config": {
        "enable": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
        "path": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    }
}


def test_the_models_file_is_the_servers_message(model: Path) -> None:
    (config,) = parsed_models(ServerConfig(model_folder=model)).model_config_list.config
    assert (config.name, config.base_path) == ("fashion", str(model))
    assert config.model_platform == "tensorflow"
    assert config.model_version_policy.latest.num_versions == 1


def test_versions_can_be_pinned(model: Path) -> None:
    (config,) = parsed_models(
        ServerConfig(model_folder=model, versions=(3, 4))
    ).model_config_list.config
    assert list(config.model_version_policy.specific.versions) == [3, 4]


@pytest.mark.parametrize("name", ['it\'s "quoted"', "back\\slash", "Ünïcode", "dollar $HOME {}"])
def test_names_need_no_care(tmp_path: Path, name: str) -> None:
    folder = make_model(tmp_path / name, 1)
    config = ServerConfig(model_folder=folder)
    (parsed,) = parsed_models(config).model_config_list.config
    assert (parsed.name, parsed.base_path) == (name, str(folder))
    values = compose_strings(compose_file(config, tmp_path))
    assert values["source"][0] == f"./{name}"
    assert values["target"][0] == str(folder)
    assert shlex.split(shell_command(config, tmp_path)) == command_line(config, tmp_path)


def compose_strings(text: str) -> dict[str, list[str]]:
    """The strings of a compose file by their key (items of a list under their list's), read as
    YAML does the subset that is written: one value a line, strings as in JSON, `$$` for `$`."""
    values: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        assert "\t" not in line
        item = line.removeprefix("- ")
        name, colon, value = item.partition(": ")
        if item.startswith('"'):
            value = item
        elif colon:
            key = name
        else:
            assert item.endswith(":"), item
            key = item[:-1]
            continue
        content = json.loads(value) if value[0] in '"[' else value
        strings = content if isinstance(content, list) else [content]
        values.setdefault(key, []).extend(string.replace("$$", "$") for string in strings)
    return values


def test_the_compose_file_mounts_serves_and_checks(model: Path, tmp_path: Path) -> None:
    config = ServerConfig(model_folder=model, grpc_port=9500, rest_port=9501)
    values = compose_strings(compose_file(config, tmp_path))
    assert values["image"] == ["tensorflow/serving:2.21.0"]
    assert values["ports"] == ["9500:8500", "9501:8501"]
    assert [(tmp_path / source).resolve() for source in values["source"]] == [model, tmp_path]
    assert not any(Path(source).is_absolute() for source in values["source"])
    assert values["target"] == [str(model), str(tmp_path)]
    assert values["read_only"] == ["true", "true"]
    assert values["command"] == command_line(config, tmp_path)[3:]
    assert values["test"] == ["CMD", "bash", "-c", health_command("fashion")]


def test_indents_of_the_compose_file_are_regular(model: Path, tmp_path: Path) -> None:
    depths = [
        len(line) - len(line.lstrip())
        for line in compose_file(ServerConfig(model_folder=model), tmp_path).splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert all(depth % 2 == 0 for depth in depths)
    assert all(after - before <= 4 for before, after in pairwise(depths))


def test_each_setting_is_explained(model: Path, tmp_path: Path) -> None:
    """A comment stands right before each setting, or before the list that it belongs to."""
    config = ServerConfig(model_folder=model)
    for text in (models_config(config), batching_config(config), monitoring_config()):
        lines = [line.strip() for line in text.splitlines()]
        for before, line in pairwise(lines):
            if ":" in line and not line.startswith("#"):
                assert before.startswith("#"), line


def test_the_health_check_succeeds_while_a_version_is_available(
    model_folder: Path, server: ModelServer
) -> None:
    def healthy(name: str, port: int) -> bool:
        command = ["bash", "-c", health_command(name, port)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert healthy("thumbs", server.rest_port)
    assert not healthy("absent", server.rest_port)
    assert not healthy("100%s", server.rest_port)
    assert not healthy("thumbs", 1)


def test_the_batching_file_is_the_servers_message(encoder_only: Path) -> None:
    config = ServerConfig(
        model_folder=encoder_only, max_execution_batch_size=32, batch_timeout_micros=500
    )
    parsed = text_format.Parse(batching_config(config), message("Batching", BATCHING_FIELDS))
    assert parsed.max_batch_size.value == Settings(Model("m")).max_batch_size == 256
    assert parsed.max_execution_batch_size.value == 32
    assert parsed.batch_timeout_micros.value == 500
    assert parsed.num_batch_threads.value >= 1
    assert parsed.enable_large_batch_splitting.value
    assert not parsed.pad_variable_length_inputs


def test_searches_are_joined_but_not_cut(tmp_path: Path) -> None:
    """The parts of one request could be answered with different numbers of columns."""
    index = IndexCard(
        items=1, ids="string", default_k=10, largest_k=1000, rerank=False, batchable=True
    )
    (tmp_path / "shop" / "1").mkdir(parents=True)
    make_card().model_copy(update={"index": index}).save(tmp_path / "shop" / "1")
    config = ServerConfig(model_folder=tmp_path / "shop", batching=True)
    parsed = text_format.Parse(batching_config(config), message("Joining", BATCHING_FIELDS))
    assert parsed.max_batch_size.value == 256
    assert not parsed.enable_large_batch_splitting.value
    assert not parsed.HasField("max_execution_batch_size")


def test_the_monitoring_file_is_the_servers_message() -> None:
    parsed = text_format.Parse(monitoring_config(), message("Monitoring", MONITORING_FIELDS))
    assert parsed.prometheus_config.enable
    assert parsed.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_the_command_names_the_files_that_are_written(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    config = ServerConfig(model_folder=model)
    written = write_server_config(config, folder)
    assert [path.name for path in written] == [MODELS, BATCHING, MONITORING, COMPOSE]
    assert all(path.is_file() for path in written)
    command = command_line(config, folder)
    assert command[:3] == ["tensorflow_model_server", "--port=8500", "--rest_api_port=8501"]
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in command[1:])
    assert flags["model_config_file"] == str(folder / MODELS)
    assert flags["monitoring_config_file"] == str(folder / MONITORING)
    assert (flags["num_load_threads"], flags["max_num_load_retries"]) == ("2", "0")
    assert "enable_batching" not in flags
    assert "batching_parameters_file" not in flags


def test_batching_is_not_for_searches_by_scalars(
    model: Path, encoder_only: Path, tmp_path: Path
) -> None:
    command = command_line(ServerConfig(model_folder=encoder_only, batching=True), tmp_path)
    assert "--enable_batching=true" in command
    assert f"--batching_parameters_file={tmp_path / BATCHING}" in command
    with pytest.raises(ValueError, match="`batching` must be off for a version whose searches"):
        ServerConfig(model_folder=model, batching=True)


def test_batching_is_for_the_versions_that_are_served(tmp_path: Path) -> None:
    mixed = make_model(tmp_path / "mixed", 2, 3)
    make_model(mixed, 4, search=False)
    ServerConfig(model_folder=mixed, versions=(4,), batching=True)
    ServerConfig(model_folder=mixed, batching=True)
    for versions in ((2,), (2, 4)):
        with pytest.raises(ValueError, match="version 2 was written before"):
            ServerConfig(model_folder=mixed, versions=versions, batching=True)
    make_model(mixed, 5)
    ServerConfig(model_folder=mixed, versions=(4,), batching=True)


def test_the_files_go_into_a_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="output must be a folder. Received a file: .*fil"):
        write_server_config(ServerConfig(model_folder=model), tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b"}, "`name` must be printable"),
        ({"name": "a:b"}, "`name` must be printable"),
        ({"versions": (9,)}, r"`versions` must be among \[3, 4\]"),
        ({"grpc_port": 0}, "`grpc_port`: .* greater than or equal to 1. Received: 0"),
        ({"rest_port": 70000}, "`rest_port`: .* less than or equal to 65535. Received: 70000"),
        ({"rest_port": 8500}, "ports must differ"),
        ({"poll_seconds": 0}, "`poll_seconds`: .* greater than or equal to 1"),
        ({"max_execution_batch_size": 0}, "`max_execution_batch_size`: .* equal to 1"),
        ({"max_execution_batch_size": 257}, "less than or equal to 256. Received: 257"),
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros`: .* greater than or equal to 0"),
    ],
)
def test_options_have_rules(model: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerConfig.check({"model_folder": model, **options})


def test_a_folder_without_versions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no numbered version"):
        ServerConfig(model_folder=tmp_path)


def has_docker_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "compose", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_docker_compose(), reason="there is no docker compose")
def test_docker_reads_the_compose_file(model: Path, tmp_path: Path) -> None:
    write_server_config(ServerConfig(model_folder=model), tmp_path)
    command = ["docker", "compose", "--file", str(tmp_path / COMPOSE), "config", "--quiet"]
    subprocess.run(command, check=True)
