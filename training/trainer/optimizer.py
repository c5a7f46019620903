"""The optimizer of a run."""

from typing import Any

import keras

from keras_hashing.models import HashingModel
from keras_hashing.optimizers import DiscriminativeAdamW
from training.settings import FitSettings
from training.trainer.feature_network import HIDDEN_LAYER

_WARM_UP_SHARE = 0.05


def new_optimizer(
    settings: FitSettings, steps_per_epoch: int, model: HashingModel
) -> keras.optimizers.Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero over the whole run."""
    steps = settings.epochs * steps_per_epoch
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    if settings.average_weights:
        options |= {"use_ema": True, "ema_momentum": settings.average_weights}
    if settings.backbone_rate == 1:
        return keras.optimizers.AdamW(schedule, **options)
    return DiscriminativeAdamW(
        schedule,
        backbone_rate=settings.backbone_rate,
        full_rate=(HIDDEN_LAYER, model.head.name, model.method.name),
        **options,
    )
