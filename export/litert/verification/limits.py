"""What a device's codes must hold to."""

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from keras_hashing.settings import Settings

if TYPE_CHECKING:
    from export.litert.verification.verify import EncoderReport, Verification


_SIZE_OVERHEAD = 8192  # bytes: graph and metadata, whatever the weights are stored as


class Limits(Settings):
    """What `verify` demands of each file; what cannot be measured breaks no limit.

    What counts is what a user loses: mAP. Quantized to int8, values near 0 change sign, and a good
    encoder may lose some bits at no cost; so few that agree as to break their limit are a fault.
    The SavedModel is held to the bits of float32.
    """

    model_config = ConfigDict(title="Limits (exit code 1 when one is broken, 2 for any error)")

    map_loss: float = Field(default=0.01, ge=0)
    """The most that the mAP of device queries may lie below the server's own."""
    float32_bits: float = Field(default=0.999, ge=0, le=1)
    """Least share of bits equal to the Keras model's."""
    float16_bits: float = Field(default=0.995, ge=0, le=1)
    """The same of float16."""
    dynamic_range_bits: float = Field(default=0.9, ge=0, le=1)
    """The same of dynamic-range."""
    int8_bits: float = Field(default=0.9, ge=0, le=1)
    """The same of int8."""
    float16_size: float = Field(default=0.52, ge=0)
    """Greatest size, as a share of the float32 file's; 8 KiB more are allowed, for graph and
    metadata."""
    int8_size: float = Field(default=0.30, ge=0)
    """The same of int8."""
    int8_latency: float | None = Field(default=None, ge=0)
    """Greatest median latency of int8 with two threads, as a share of float32's. (default: no
    limit; it depends on the machine)"""

    def broken(self, verification: "Verification") -> list[str]:
        """What is broken, one per line; empty if nothing is."""
        encoders = verification.encoders
        float32 = next((encoder.bytes for encoder in encoders if encoder.kind == "float32"), None)
        return [
            f"{encoder.name}: {problem}"
            for encoder in encoders
            for problem in self._problems(encoder, verification.server_map, float32)
        ]

    def _problems(
        self, encoder: "EncoderReport", server_map: float | None, float32_bytes: int | None
    ) -> list[str]:
        kind = (encoder.kind or "float32").replace("-", "_")
        problems = []
        if encoder.map_loss is not None and encoder.map_loss > self.map_loss:
            problems.append(
                f"mAP {encoder.map:.4f} is {encoder.map_loss:.4f} below the server's "
                f"{server_map:.4f}, more than {self.map_loss}"
            )
        least = getattr(self, f"{kind}_bits")
        if encoder.agreement.overall < least:
            problems.append(
                f"{encoder.agreement.overall:.3%} of bits agree with the Keras model, "
                f"less than {least:.3%}"
            )
        most, size = getattr(self, f"{kind}_size", None), encoder.bytes
        if (
            most is not None
            and size is not None
            and float32_bytes is not None
            and size > most * float32_bytes + _SIZE_OVERHEAD
        ):
            problems.append(
                f"the file has {size:,} bytes, {size / float32_bytes:.1%} of float32's "
                f"{float32_bytes:,}: more than {most:.1%} of them and {_SIZE_OVERHEAD:,} bytes"
            )
        longest, taken = getattr(self, f"{kind}_latency", None), encoder.latency_ratio.get(2)
        if longest is not None and taken is not None and taken > longest:
            problems.append(
                f"it takes {taken:.2f} of float32's time with two threads, more than {longest:.2f}"
            )
        return problems
