"""Models of one vector a patient as a bundle's head: linear or a network on pooled states, statistics, covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.risk.downsamplers import PooledDownsampler
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead, StatisticsValues
from MemorySurvivalLib.training.models.cox import FittedCox
from MemorySurvivalLib.training.models.deep_surv import FittedDeepSurv
from MemorySurvivalLib.training.models.features import FittedFeatures
from MemorySurvivalLib.training.models.image import ExportedHead, check_exported
from MemorySurvivalLib.training.stacked_mlp import FittedMlp

FittedVector = FittedCox | FittedDeepSurv | FittedMlp
"""What `export_vector` can bring into a bundle."""


def export_vector(name: str, fitted: FittedVector, grid: tuple[int, int], region: str = "") -> ExportedHead:
    """The head of a fitted model for a bundle; `grid` (h, w) is that of the states that scoring will give.

    Where a cohort holds several regions, `region` is the bundle's: statistics named "region/tlg_g" become `tlg_g`.

    The head gives the model's log-risks within float32 rounding. Its inputs are laid out otherwise: values that the
    model left out have weight 0. Raises InputError for vectors that scoring cannot make: without memory states, of
    several readouts, or pooled in another way than by mean or maximum over the grid.
    """
    features = fitted.features
    modalities, readout = _inputs(name, features)
    states = features.states
    assert states is not None
    assert features.config.states is not None
    channels = len(states.names) // len(modalities)
    if features.axes is not None and len(modalities) > 1:
        raise InputError(
            f"{name} takes principal axes of PET and CT together, which a bundle's head has for each image alone; "
            "leave them out, or fit it on one image."
        )
    schema = features.clinical.schema if features.clinical else None
    measured = features.statistics.names if features.statistics else ()
    names = tuple(one.removeprefix(f"{region}/") if region else one for one in measured)
    hidden = _hidden(fitted)
    spec = HeadSpec(
        modalities=modalities,
        fusion="concatenation",
        covariate_width=schema.width if schema else 0,
        hidden=hidden,
        dropout=0.0,
        downsampler="pooled",
        memory_shape=(channels, *grid),
        statistics=names,
        pooling="mean" if features.config.states.pooling == "mean" else "max",
        components=features.axes.shape[1] if features.axes is not None else 0,
        statistics_as="values",
        batch_norm=isinstance(fitted, FittedDeepSurv),
    )
    check_exported(name, spec)
    head = RiskHead(spec)
    with torch.no_grad():
        for number, modality in enumerate(modalities):
            part = slice(number * channels, (number + 1) * channels)
            downsampler = head.downsamplers[modality]
            assert isinstance(downsampler, PooledDownsampler)
            downsampler.mean.copy_(_tensor(states.mean[part])[:, None, None])
            downsampler.sd.copy_(_tensor(states.sd[part])[:, None, None])
            if features.axes is not None:
                axes = np.zeros((channels, features.axes.shape[1]))
                axes[states.used] = features.axes
                downsampler.axes.copy_(_tensor(axes))
        if features.statistics is not None:
            assert isinstance(head.statistics, StatisticsValues)
            head.statistics.mean.copy_(_tensor(features.statistics.mean))
            head.statistics.sd.copy_(_tensor(features.statistics.sd))
        _fill_network(head.deepsurv, fitted, _columns(features, spec))
        head.offset.copy_(torch.tensor(fitted.offset))
    return ExportedHead(head.eval(), readout, schema)


def _inputs(name: str, features: FittedFeatures) -> tuple[tuple[Modality, ...], str]:
    config = features.config.states
    if config is None or features.states is None:
        raise InputError(f"{name} takes no memory states; a bundle's head does, so fit it with pooled states.")
    if config.pooling not in ("mean", "max"):
        raise InputError(
            f'{name} pools states by "{config.pooling}", which scoring does not do; choose mean or max to export it.'
        )
    parts = [key.partition("/") for key in config.keys]
    modalities, readouts = [part[0] for part in parts], {part[2] for part in parts}
    if len(readouts) != 1 or len(set(modalities)) != len(modalities) or not set(modalities) <= set(MODALITIES):
        raise InputError(
            f"{name} takes the states {', '.join(config.keys)}; a bundle's head takes one readout of PET, CT or both."
        )
    return cast(tuple[Modality, ...], tuple(modalities)), readouts.pop()


def _hidden(fitted: FittedVector) -> tuple[int, ...]:
    if isinstance(fitted, FittedCox):
        return ()
    if isinstance(fitted, FittedMlp):
        return (fitted.hidden.shape[1],)
    return tuple(layer.out_features for layer in _linear(fitted.network)[:-1])


def _columns(features: FittedFeatures, spec: HeadSpec) -> tuple[list[int], int]:
    """Where each value of the model's vector stands among the head's inputs, and how many inputs the head has.

    The model has covariates, statistics (used, then flags of those marked), states (used); the head has states,
    statistics (all, then all flags), covariates.
    """
    states, statistics = features.states, features.statistics
    assert states is not None
    of_states = spec.embedding_size * len(spec.modalities)
    after = of_states + 2 * len(spec.statistics)
    columns = list(range(after, after + spec.covariate_width))
    if statistics is not None:
        columns += (of_states + np.flatnonzero(statistics.used)).tolist()
        columns += (of_states + len(spec.statistics) + np.flatnonzero(statistics.marked)).tolist()
    columns += list(range(spec.components)) if features.axes is not None else np.flatnonzero(states.used).tolist()
    return columns, after + spec.covariate_width


def _fill_network(network: torch.nn.Sequential, fitted: FittedVector, columns: tuple[list[int], int]) -> None:
    first = _linear(network)[0]
    places, count = columns

    def spread(weights: torch.Tensor) -> torch.Tensor:
        wide = torch.zeros(len(weights), count)
        wide[:, places] = weights
        return wide

    if isinstance(fitted, FittedDeepSurv):
        own = fitted.network.state_dict()
        own = {key: spread(value) if key == "0.weight" else value for key, value in own.items()}
        network.load_state_dict(own)
        return
    last = _linear(network)[-1]
    if isinstance(fitted, FittedCox):
        first.weight.copy_(spread(_tensor(fitted.coefficients)[None]))
        first.bias.zero_()
        return
    first.weight.copy_(spread(_tensor(fitted.hidden).T))
    first.bias.copy_(_tensor(fitted.bias)[0])
    last.weight.copy_(_tensor(fitted.out).T)
    last.bias.zero_()


def _linear(network: torch.nn.Sequential) -> Sequence[torch.nn.Linear]:
    return [layer for layer in network if isinstance(layer, torch.nn.Linear)]


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
