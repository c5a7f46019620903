"""The files and the command line that a stock TensorFlow Serving is set up with."""

import json
import os
import shlex
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from google.protobuf import text_format
from pydantic import Field, model_validator

from keras_hashing.encoder.card import LARGEST_REQUEST, Card
from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.version_folders import version_folders
from keras_hashing.settings import Settings

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
COMPOSE = "docker-compose.yml"
METRICS_PATH = "/monitoring/prometheus/metrics"


class ServerConfig(Settings):
    """How a model is to be served; options of `server-config`, but for folder and versions.

    Raises:
        FileNotFoundError: if the folder holds no version.
        pydantic.ValidationError: (a `ValueError`) if an argument breaks its rule, or `batching` is
            asked for a version whose searches take scalars only.
    """

    model_folder: Path
    """The folder of the model's numbered versions."""
    versions: tuple[int, ...] = ()
    """The versions to keep served; empty for the highest there is at any time."""
    name: str = ""
    """The model's name in requests. (default: the name of its folder)"""
    batching: bool = False
    """Have the server join requests to batches. Not where clients send pixels of several sizes, or
    searches whose k is a scalar."""
    batch_timeout_micros: int = Field(default=2000, ge=0)
    """How long a request may wait for others, microseconds."""
    max_execution_batch_size: int = Field(default=64, ge=1, le=LARGEST_REQUEST)
    """Images computed at once at most, 1 to 256; the limit of a request is 256."""
    batch_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Batches computed at once."""
    grpc_port: int = Field(default=8500, ge=1, le=65535)
    """Port of gRPC."""
    rest_port: int = Field(default=8501, ge=1, le=65535)
    """Port of REST and of the metrics."""
    poll_seconds: int = Field(default=1, ge=1)
    """How often the server looks for a new version, seconds."""
    image: str = "tensorflow/serving:2.21.0"  # the TensorFlow that wrote the model, or a later one
    """The container's image."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_folder(cls, values: dict[str, Any]) -> dict[str, Any]:
        folder = Path(values["model_folder"]).absolute()
        return {**values, "model_folder": folder, "name": values.get("name") or folder.name}

    @model_validator(mode="after")
    def _fits_the_folder(self) -> Self:
        existing = version_folders(self.model_folder)
        if not existing:
            raise FileNotFoundError(
                f"There is no numbered version of a model in {str(self.model_folder)!r}"
            )
        if not set(self.versions) <= set(existing):
            raise ValueError(
                f"`versions` must be among {sorted(existing)}, those in "
                f"{str(self.model_folder)!r}. Received: {self.versions}"
            )
        if not all(character.isprintable() and character not in "/:" for character in self.name):
            raise ValueError(f"`name` must be printable, with no / or :. Received: {self.name!r}")
        if self.grpc_port == self.rest_port:
            raise ValueError(f"The two ports must differ. Received: {self.grpc_port} for both")
        if self.batching:
            self._check_batching()
        return self

    @property
    def searches(self) -> bool:
        """Whether a version that is served has an index."""
        return any("search" in Card.load(folder).signatures for folder in self.served.values())

    @property
    def served(self) -> dict[int, Path]:
        """The versions that are served as the folder is now, by number."""
        existing = version_folders(self.model_folder)
        return {number: existing[number] for number in self.versions or (max(existing),)}

    def _check_batching(self) -> None:
        for number, folder in self.served.items():
            card = Card.load(folder)
            if "search" in card.signatures and not (card.index and card.index.batchable):
                raise ValueError(
                    "`batching` must be off for a version whose searches take scalars only: "
                    "TensorFlow Serving joins only inputs with a batch dimension. Publish the "
                    f"version anew. Received: batching=True, and version {number} was written "
                    "before `k` could be one number a row"
                )


def write_server_config(config: ServerConfig, output: str | os.PathLike[str]) -> list[Path]:
    """Writes all files for a server; what is there under their names is replaced.

    Raises:
        NotADirectoryError: if `output` is a file.
        OSError: if they cannot be written.
    """
    folder = Path(output).absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"The output must be a folder. Received a file: {folder}")
    contents = {
        MODELS: models_config(config),
        BATCHING: batching_config(config),
        MONITORING: monitoring_config(),
        COMPOSE: compose_file(config, folder),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_text(folder / name, content)
    return [folder / name for name in contents]


def models_config(config: ServerConfig) -> str:
    """Returns what `--model_config_file` reads: the text of a `ModelServerConfig` message."""
    if config.versions:
        policy = "specific { " + " ".join(f"versions: {v}" for v in config.versions) + " }"
        meaning = "These versions and no others. To roll back, name an older one."
    else:
        policy = "latest { num_versions: 1 }"
        meaning = (
            "The highest version in the folder. A new one is loaded and warmed up first, then\n"
            "    # takes the place of the old one, which finishes the requests that it has begun.\n"
            "    # To pin versions instead: specific { versions: 3 versions: 4 }"
        )
    return f"""\
# Which models TensorFlow Serving serves: a ModelServerConfig, given by --model_config_file.
# With --model_config_file_poll_wait_seconds the server reads this file again when it changes.
model_config_list {{
  config {{
    # The name in requests: Client("host:{config.grpc_port}", {json.dumps(config.name)}), and in
    # URLs: http://host:{config.rest_port}/v1/models/NAME
    name: {_quoted(config.name)}
    # The folder that holds the numbered versions; the server watches it. The compose file mounts
    # it under the same path, so that this file serves both ways.
    base_path: {_quoted(str(config.model_folder))}
    # The only platform of the stock server.
    model_platform: "tensorflow"
    # {meaning}
    model_version_policy {{ {policy} }}
  }}
}}
"""


def batching_config(config: ServerConfig) -> str:
    """Returns what `--batching_parameters_file` reads: the text of a `BatchingParameters` message.

    It is in use with `--enable_batching` only, which `command_line` gives if `config.batching`.
    """
    use = "is in use" if config.batching else "is NOT in use: the command has no --enable_batching"
    return f"""\
# How TensorFlow Serving joins requests to batches: a BatchingParameters, given by
# --batching_parameters_file together with --enable_batching. As generated, it {use}.
#
# Batching pays where many clients send one image each and a GPU, or many cores, idle between.
# What to know before it is switched on:
# - Only inputs with a batch dimension can be joined: `k` and `max_distance` of `search` and
#   `search_code` must be lists with one number a row, as keras_hashing.client sends them; scalars
#   are refused (INVALID_ARGUMENT), and so are the defaults for more than one row.
# - `encode` must then get images of one size from all clients: images of two sizes that meet in a
#   batch are refused (FAILED_PRECONDITION). `encode_bytes` takes files of any sizes.
# - A batch stands or falls as a whole: one file that is no image has the images of the other
#   clients in its batch refused with it (INVALID_ARGUMENT).

# Images in a request at most: a larger request is refused (INVALID_ARGUMENT). Clients of
# keras_hashing send as many at most.
max_batch_size {{ value: {LARGEST_REQUEST} }}

{_execution(config)}
# How long a request waits for others to join, microseconds. 0: never.
batch_timeout_micros {{ value: {config.batch_timeout_micros} }}

# Batches that wait at most; with more the server answers UNAVAILABLE, which clients try again.
max_enqueued_batches {{ value: 100 }}

# Batches that are computed at once. The number of processors is a good start.
num_batch_threads {{ value: {config.batch_threads} }}

# Images of other sizes are not filled up with zeros: they would get wrong codes.
pad_variable_length_inputs: false
"""


def _execution(config: ServerConfig) -> str:
    """How many images are computed at once."""
    if config.searches:
        return """\
# No request is cut: its parts would be answered with other columns where they are joined with
# searches of another `k`, and could not be put together. So max_batch_size also limits what is
# computed at once. Generate this file anew when a first version with an index is published.
enable_large_batch_splitting { value: false }
"""
    return f"""\
# Images that are computed at once at most. More use more memory and answer later.
max_execution_batch_size {{ value: {config.max_execution_batch_size} }}

# Requests are cut and joined to batches of that size, which needs this.
enable_large_batch_splitting {{ value: true }}
"""


def monitoring_config() -> str:
    """Returns what `--monitoring_config_file` reads: the text of a `MonitoringConfig` message."""
    return f"""\
# What TensorFlow Serving tells of itself: a MonitoringConfig, given by --monitoring_config_file.
# Prometheus scrapes it from the REST port: http://host:REST_PORT{METRICS_PATH}
# Worth a graph: :tensorflow:serving:request_count and :tensorflow:serving:request_latency.
prometheus_config {{
  # Offer the metrics.
  enable: true
  # Under this path; in Prometheus it is `metrics_path`.
  path: "{METRICS_PATH}"
}}
"""


def command_line(config: ServerConfig, config_folder: str | os.PathLike[str]) -> list[str]:
    """Returns the command that starts a server without a container.

    Args:
        config: how the model is to be served.
        config_folder: where `write_server_config` has put the files.
    """
    return [
        "tensorflow_model_server",
        f"--port={config.grpc_port}",
        f"--rest_api_port={config.rest_port}",
        *_flags(config, Path(config_folder).absolute()),
    ]


def shell_command(config: ServerConfig, config_folder: str | os.PathLike[str]) -> str:
    """Returns `command_line` as it is typed into a shell."""
    return shlex.join(command_line(config, config_folder))


def compose_file(config: ServerConfig, config_folder: str | os.PathLike[str]) -> str:
    """Returns a compose file for the official image.

    Args:
        config: how the model is to be served.
        config_folder: where `write_server_config` puts the files; it is mounted too.
    """
    folder = Path(config_folder).absolute()
    flags = "\n".join(
        f"      # {meaning}\n      - {_yaml(flag)}"
        for flag, meaning in _flags(config, folder).items()
    )
    return f"""\
# One TensorFlow Serving with one model. Start it with: docker compose up --detach --wait
services:
  serving:
    # The official image, of the TensorFlow version that wrote the model or a later one.
    image: {_yaml(config.image)}
    # The image starts tensorflow_model_server --port=8500 --rest_api_port=8501 and adds these.
    command:
{flags}
    # An image of 8192×8192, the largest that is decoded, takes 0.2 GB (1 GB where the model wants
    # grey) while it is at work. With oneDNN, which TensorFlow has on by default, that memory
    # is kept for later: of a few such images at once 2.5 GB stay. Without it they return; networks
    # may be slower then.
    # environment:
    #   TF_ENABLE_ONEDNN_OPTS: "0"
    ports:
      # host:container. gRPC: what keras_hashing.client uses unless told otherwise.
      - "{config.grpc_port}:8500"
      # REST, and the metrics for Prometheus.
      - "{config.rest_port}:8501"
    volumes:
      # The folder of versions, mounted whole: versions that are published later show up by
      # themselves. Read-only: the server writes nothing. A source is relative to this file, so both
      # may move together; the target is a name inside the container alone.
      - type: bind
        source: {_yaml(_relative(config.model_folder, folder))}
        target: {_yaml(str(config.model_folder))}
        read_only: true
      # models.config, batching.config, monitoring.config.
      - type: bind
        source: {_yaml(".")}
        target: {_yaml(str(folder))}
        read_only: true
    healthcheck:
      # Healthy once a version is AVAILABLE, by the REST status of the model. The image has neither
      # curl nor wget; bash opens the connection itself.
      test: ["CMD", "bash", "-c", {_yaml(health_command(config.name))}]
      # Every so often,
      interval: 10s
      # with so much time for the answer;
      timeout: 5s
      # unhealthy after so many failures in a row,
      retries: 3
      # of which those in the first minutes do not count: a large index takes its time to load.
      start_period: 300s
    # Started again if it stops by itself, and with the machine.
    restart: unless-stopped
"""


def health_command(name: str, port: int = 8501) -> str:
    """Returns a bash command that succeeds if a version of the model is available.

    Args:
        name: the model's name.
        port: the REST port, on this machine.
    """
    request = f"GET /v1/models/{quote(name, safe='')} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n"
    return (
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && "
        f"printf {shlex.quote(request.replace('%', '%%'))} >&3 && "
        "timeout 4 grep -q '\"AVAILABLE\"' <&3"
    )


def _flags(config: ServerConfig, folder: Path) -> dict[str, str]:
    """The flags, each with what it is for."""
    batching = {
        "--enable_batching=true": "Join requests to batches,",
        f"--batching_parameters_file={folder / BATCHING}": "in this way.",
    }
    return {
        f"--model_config_file={folder / MODELS}": "Which model, and which of its versions.",
        "--model_config_file_poll_wait_seconds=60": "Look for changes of that file every minute.",
        f"--file_system_poll_wait_seconds={config.poll_seconds}": (
            "Look for new versions in the model's folder so often, seconds."
        ),
        "--num_load_threads=2": (
            "Load versions on threads of their own, for which no request waits: two, so that a bad "
            "version does not hold up the next;"
        ),
        "--num_unload_threads=1": "and unload them likewise.",
        "--max_num_load_retries=0": (
            "Report a version that cannot be loaded at once. By default the server tries again "
            "five times, a minute apart, and holds its load thread meanwhile."
        ),
        "--enable_model_warmup=true": (
            "Replay the version's warm-up requests before it takes over from the one before."
        ),
        f"--monitoring_config_file={folder / MONITORING}": "Metrics for Prometheus.",
        **(batching if config.batching else {}),
    }


def _quoted(text: str) -> str:
    """A string in the text format of protobuf."""
    return f'"{text_format.text_encoding.CEscape(text, as_utf8=True)}"'


def _relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder, as compose takes it for one and for no volume's name."""
    relative = Path(os.path.relpath(path, folder)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _yaml(text: str) -> str:
    """A string in a compose file: JSON's strings are YAML's; `$` would name a variable."""
    return json.dumps(text, ensure_ascii=False).replace("$", "$$")
