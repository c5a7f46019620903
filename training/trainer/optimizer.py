"""The optimizer of a run."""

from typing import Any

import keras

from keras_hashing.models import HashingModel
from keras_hashing.optimizers import DiscriminativeAdamW
from training.settings import FitSettings
from training.trainer.feature_network import HIDDEN_LAYER

_WARM_UP_SHARE = 0.05
_ADAM_EPSILON = 1e-8  # PyTorch's


def new_optimizer(
    settings: FitSettings, steps_per_epoch: int, model: HashingModel
) -> keras.optimizers.Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero over the whole run; or plain Adam."""
    if settings.optimizer == "adam":
        options = {"weight_decay": 0.0, "l2": settings.weight_decay, "epsilon": _ADAM_EPSILON}
        return _discriminative(settings, model, settings.learning_rate, options)
    steps = settings.epochs * steps_per_epoch
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
    options = {"weight_decay": settings.weight_decay}
    if settings.backbone_rate == 1:
        return keras.optimizers.AdamW(schedule, **options, **_average(settings))
    return _discriminative(settings, model, schedule, options)


def _discriminative(
    settings: FitSettings, model: HashingModel, rate: Any, options: dict[str, Any]
) -> DiscriminativeAdamW:
    return DiscriminativeAdamW(
        rate,
        backbone_rate=settings.backbone_rate,
        full_rate=(HIDDEN_LAYER, model.head.name, model.method.name),
        **options,
        **_average(settings),
    )


def _average(settings: FitSettings) -> dict[str, Any]:
    """What the optimizer takes to average the weights."""
    if not settings.average_weights:
        return {}
    return {"use_ema": True, "ema_momentum": settings.average_weights}
