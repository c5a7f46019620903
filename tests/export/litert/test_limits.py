import pytest

from export.litert.bit_agreement import BitAgreement
from export.litert.limits import Limits
from export.litert.verification import EncoderReport, Verification


def verification(kind: str | None, bits: float = 1, **figures: object) -> Verification:
    agreement = BitAgreement(
        overall=bits,
        by_bit=[bits],
        worst_bit=0,
        margin=0.1,
        beyond_margin=1,
        share_beyond_margin=1,
        equal_codes=1,
    )
    report = EncoderReport(
        name="it", kind=kind, agreement=agreement, **{"map": 0.7, "map_loss": 0.0, **figures}
    )
    return Verification(
        fingerprint="f", bits=8, images=1, database=1, server_map=0.7, encoders=[report]
    )


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        (None, {"bits": 0.999}),
        ("float32", {"bits": 0.999, "size_ratio": 1.0}),
        ("float16", {"bits": 0.995, "size_ratio": 0.52}),
        ("dynamic-range", {"bits": 0.96, "size_ratio": 0.9}),
        ("int8", {"bits": 0.96, "size_ratio": 0.30, "map_loss": 0.01}),
        ("int8", {"map_loss": -0.5, "latency_ratio": {1: 9.0, 2: 9.0}}),
    ],
)
def test_what_meets_the_limits_breaks_none(kind: str | None, figures: dict) -> None:
    assert Limits().broken(verification(kind, **figures)) == []


@pytest.mark.parametrize(
    ("kind", "figures", "message"),
    [
        (None, {"bits": 0.9989}, "it: 99.890% of bits agree with the Keras model, less than 99.9"),
        ("float32", {"bits": 0.9989}, "less than 99.900%"),
        ("float16", {"bits": 0.9949}, "less than 99.500%"),
        ("float16", {"size_ratio": 0.53}, "the file has 53.0% of float32's size, more than 52.0%"),
        ("dynamic-range", {"bits": 0.95}, "less than 96.000%"),
        ("int8", {"bits": 0.9599}, "less than 96.000%"),
        ("int8", {"size_ratio": 0.31}, "31.0% of float32's size, more than 30.0%"),
        (
            "int8",
            {"map": 0.68, "map_loss": 0.02},
            "mAP 0.6800 is 0.0200 below the server's 0.7000, more than 0.01",
        ),
    ],
)
def test_what_is_broken_is_said_with_its_limit(
    kind: str | None, figures: dict, message: str
) -> None:
    (problem,) = Limits().broken(verification(kind, **figures))
    assert problem.startswith("it: ")
    assert message in problem


def test_a_latency_is_limited_on_demand() -> None:
    slow = verification("int8", latency_ratio={1: 0.5, 2: 1.25})
    assert Limits().broken(slow) == []
    assert Limits(latency={"int8": 1.3}).broken(slow) == []
    assert Limits(latency={"int8": 1.0}).broken(slow) == [
        "it: it takes 1.25 of float32's time with two threads, more than 1.00"
    ]
