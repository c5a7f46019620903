"""The processes that train one model together, as the environment names them. Loads no Keras."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
_NUMBER_OF = "KERAS_DISTRIBUTION_NUM_PROCESSES"
_OWN_NUMBER = "KERAS_DISTRIBUTION_PROCESS_ID"
# Launchers that JAX asks itself: what tells that they started the process, how many, and which.
_LAUNCHERS = (
    ("SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Args:
        count: How many there are.
        number: Which of them this one is, from 0. The first writes the run folder.
        coordinator: Host and port at which the first one awaits the others; None for alone, and
            where the launcher tells JAX.
    """

    count: int = 1
    number: int = 0
    coordinator: str | None = None


ALONE = Processes()


def processes_of(environment: Mapping[str, str] = os.environ) -> Processes:
    """The processes that Keras' variables name, or else Slurm's `srun` or Open MPI's `mpirun`.

    Raises:
        ValueError: when Keras' variables are not complete, or do not fit each other.
    """
    if _NUMBER_OF in environment:
        for name in (ADDRESSES, _OWN_NUMBER):
            if not environment.get(name):
                raise ValueError(f"`{name}` must be set beside `{_NUMBER_OF}`. Received: nothing")
        count = _integer(environment, _NUMBER_OF, 1, None)
        number = _integer(environment, _OWN_NUMBER, 0, count - 1)
        coordinator = environment[ADDRESSES].split(",")[0]
        if not coordinator.rpartition(":")[2].isdigit():
            raise ValueError(
                f"`{ADDRESSES}` must begin with host:port of process 0. Received: {coordinator!r}"
            )
        return Processes(count, number, coordinator)
    for sign, number_of, own_number in _LAUNCHERS:
        if sign in environment and int(environment.get(number_of, 1)) > 1:
            return Processes(int(environment[number_of]), int(environment[own_number]))
    return ALONE


def _integer(environment: Mapping[str, str], name: str, least: int, most: int | None) -> int:
    text = environment[name]
    if not text.isdigit() or int(text) < least or (most is not None and int(text) > most):
        limit = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {limit}. Received: {text!r}")
    return int(text)
