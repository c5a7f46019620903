"""What a device's codes must hold to."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from keras_hashing.device.kinds import Kind

if TYPE_CHECKING:
    from export.litert.verification.verify import EncoderReport, Verification


class Limits(BaseModel):
    """What `verify` demands of each file; what cannot be measured breaks no limit.

    What counts is what a user loses: mAP. Quantized to int8, values near 0 change sign, and a good
    encoder may lose some bits at no cost; so few that agree as to break their limit are a fault.

    A file may have `size` × the float32 file's size + `size_overhead`: graph and metadata take some
    kilobytes whatever the weights are stored as, which a small network's file shows.

    Attributes:
        bits: by kind, the least share of bits that agree with the Keras model; the SavedModel is
            held to float32's.
        size: by kind, the greatest size as a share of the float32 file's.
        size_overhead: bytes that a file may have beyond that share.
        map_loss: the most that the mAP of device queries may lie below the server's own.
        latency: by kind, the greatest median latency with two threads, as a share of float32's.
    """

    model_config = ConfigDict(frozen=True)

    bits: dict[Kind, float]
    size: dict[Kind, float]
    size_overhead: int = Field(default=8192, ge=0)
    map_loss: float
    latency: dict[Kind, float] = Field(default={})

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
        kind: Kind = encoder.kind or "float32"
        problems = []
        if encoder.map_loss is not None and encoder.map_loss > self.map_loss:
            problems.append(
                f"mAP {encoder.map:.4f} is {encoder.map_loss:.4f} below the server's "
                f"{server_map:.4f}, more than {self.map_loss}"
            )
        least = self.bits.get(kind)
        if least is not None and encoder.agreement.overall < least:
            problems.append(
                f"{encoder.agreement.overall:.3%} of bits agree with the Keras model, "
                f"less than {least:.3%}"
            )
        most, size = self.size.get(kind), encoder.bytes
        if (
            most is not None
            and size is not None
            and float32_bytes is not None
            and size > most * float32_bytes + self.size_overhead
        ):
            problems.append(
                f"the file has {size:,} bytes, {size / float32_bytes:.1%} of float32's "
                f"{float32_bytes:,}: more than {most:.1%} of them and {self.size_overhead:,} bytes"
            )
        longest, taken = self.latency.get(kind), encoder.latency_ratio.get(2)
        if longest is not None and taken is not None and taken > longest:
            problems.append(
                f"it takes {taken:.2f} of float32's time with two threads, more than {longest:.2f}"
            )
        return problems
