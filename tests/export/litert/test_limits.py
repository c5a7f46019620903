import pytest

from export.cli.litert import _print_verification
from export.litert.verification.bit_agreement import BitAgreement
from export.litert.verification.limits import Limits
from export.litert.verification.verify import EncoderReport, Verification

FLOAT32_BYTES = 1_000_000


def verification(kind: str | None, bits: float = 1, **figures: object) -> Verification:
    """That of an encoder, and of a float32 file if the encoder is of another kind."""
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
        name="it",
        kind=kind,
        agreement=agreement,
        **{"neighbours": 0.9, "map": 0.7, "map_loss": 0.0, **figures},
    )
    perfect = agreement.model_copy(update={"overall": 1.0})
    float32 = EncoderReport(
        name="float32",
        kind="float32",
        agreement=perfect,
        neighbours=1,
        map=0.7,
        map_loss=0,
        bytes=FLOAT32_BYTES,
    )
    return Verification(
        fingerprint="f",
        bits=8,
        images=1,
        database=1,
        server_map=0.7,
        encoders=[report] if kind == "float32" else [report, float32],
    )


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        (None, {"bits": 0.999}),
        ("float32", {"bits": 0.999, "bytes": FLOAT32_BYTES}),
        ("float16", {"bits": 0.995, "bytes": 520_000 + 8192}),
        ("dynamic-range", {"bits": 0.9, "bytes": 900_000}),
        ("int8", {"bits": 0.9, "bytes": 300_000 + 8192, "map_loss": 0.01}),
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
        (
            "float16",
            {"bytes": 530_000},
            "the file has 530,000 bytes, 53.0% of float32's 1,000,000: more than 52.0% of them and "
            "8,192 bytes",
        ),
        ("float16", {"bytes": 520_000 + 8193}, "more than 52.0% of them and 8,192 bytes"),
        ("dynamic-range", {"bits": 0.89}, "less than 90.000%"),
        ("int8", {"bits": 0.8999}, "less than 90.000%"),
        ("int8", {"bytes": 310_000}, "31.0% of float32's 1,000,000: more than 30.0% of them"),
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
    assert Limits(int8_latency=1.3).broken(slow) == []
    assert Limits(int8_latency=1.0).broken(slow) == [
        "it: it takes 1.25 of float32's time with two threads, more than 1.00"
    ]


def test_a_size_without_a_float32_file_breaks_no_limit() -> None:
    alone = verification("int8", bytes=FLOAT32_BYTES)
    assert Limits().broken(alone) != []
    assert Limits().broken(alone.model_copy(update={"encoders": alone.encoders[:1]})) == []


def test_the_table_fits_into_80_columns_and_no_figure_is_cut_on_fewer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    figures = {"bytes": 123_456_789, "size_ratio": 0.251, "latency_ms": {1: 1234.56, 2: 987.65}}
    found = verification("dynamic-range", bits=0.95531, **figures).encoders[0]
    agreement = found.agreement.model_copy(update={"by_bit": [0.985] * 128, "worst_bit": 127})
    named = {"name": "encoder-dynamic-range.tflite", "agreement": agreement}
    found = found.model_copy(update=named)
    _print_verification(verification("float32").model_copy(update={"encoders": [found]}), "images")
    printed = capsys.readouterr().out
    for cell in ("0.7000", "+0.0000", "90.0%", "95.531%", "98.5% (127)", "123,456,789", "1234.56"):
        assert f" {cell} " in printed
    assert 60 < max(map(len, printed.splitlines())) <= 80
