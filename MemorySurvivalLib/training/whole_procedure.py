"""Is there any signal? The whole procedure, tuning included, run again on permuted outcomes."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.training.data import CohortData, Index
from MemorySurvivalLib.training.folds import Groups, canonical_order
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.nested import Validation, validate_models
from MemorySurvivalLib.training.results import hash_data
from MemorySurvivalLib.training.tuning import Recipe


@dataclass(frozen=True)
class PermutationTest:
    """Mean Harrell's c over all outer folds, with the true outcomes and with each permutation of them.

    A permutation that could not be fitted at all is None and counts as if it had reached the observed c.
    """

    observed: float
    permuted: tuple[float | None, ...]
    flat: bool

    @property
    def p_value(self) -> float:
        """One-sided: the share of arrangements, the true one among them, whose c is at least the observed one."""
        reached = sum(1 for c in self.permuted if c is None or c >= self.observed - 1e-12)
        return (1 + reached) / (1 + len(self.permuted))

    @property
    def method(self) -> str:
        """What was done, in one sentence."""
        how = "flat cross-validation, tuning on the test folds," if self.flat else "nested cross-validation with tuning"
        return (
            f"One-sided permutation test: {how} was repeated on {len(self.permuted)} permutations of the outcomes; "
            "the statistic is the mean of Harrell's c over the outer folds."
        )


def permutation_test(
    data: CohortData,
    recipe: Recipe,
    settings: Validation,
    permutations: int,
    folder: Path | None = None,
    *,
    groups: Groups | None = None,
    progress: ProgressCallback = ignore_progress,
) -> PermutationTest:
    """Test the null hypothesis that outcomes have nothing to do with anything else of the patients.

    Time and event stay together and move between patients (between groups of equal size, where rows are grouped);
    folds are made anew from the permuted outcomes. It does not test whether one kind of data adds to another: there
    compare models on equal folds. With a `folder`, finished permutations and folds are files that any machine
    continues, and more permutations may be asked for later. Raises InputError when the true outcomes cannot be fitted.
    """
    if permutations < 1:
        raise InputError(f"A permutation test needs at least 1 permutation; got {permutations}.")
    study = hashlib.sha256(msgspec.json.encode((hash_data(data), repr(recipe), settings))).hexdigest()
    meter = Meter(f"permutations of {recipe.name}", permutations + 1, progress)
    found: list[float | None] = []
    for number in range(permutations + 1):
        path = None if folder is None else folder / f"permutation-{number:04d}.json"
        kept = None if path is None else _read(path, study)
        if kept is None:
            kept = _Kept(study, _statistic(data, recipe, settings, number, folder, groups))
            if path is not None:
                with atomic_file(path) as partial:
                    partial.write_bytes(msgspec.json.encode(kept))
        if number == 0 and kept.c is None:
            raise InputError(f"{recipe.name} could be fitted in none of the folds, so there is nothing to test.")
        found.append(kept.c)
        meter.step()
    assert found[0] is not None
    return PermutationTest(found[0], tuple(found[1:]), settings.flat)


def permute_outcomes(data: CohortData, groups: Groups | None, seed: int, number: int) -> CohortData:
    """The cohort with outcomes moved between patients; number 0 leaves them where they are."""
    if number == 0:
        return data
    order = canonical_order(data)
    taken_from = np.arange(len(data))
    own = np.arange(len(data)) if groups is None else groups
    rng = np.random.default_rng([seed, number])
    members: dict[int, list[Index]] = {}
    for name in dict.fromkeys(own[order].tolist()):
        rows = order[own[order] == name]
        members.setdefault(len(rows), []).append(rows)
    for size in sorted(members):
        alike = members[size]
        for to, of in zip(alike, rng.permutation(len(alike)), strict=True):
            taken_from[to] = alike[of]
    return replace(data, times_months=data.times_months[taken_from], events=data.events[taken_from])


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    study: str
    c: float | None


def _statistic(
    data: CohortData, recipe: Recipe, settings: Validation, number: int, folder: Path | None, groups: Groups | None
) -> float | None:
    permuted = permute_outcomes(data, groups, settings.seed, number)
    units = None if folder is None else folder / f"permutation-{number:04d}-units"
    (model,) = validate_models(permuted, [recipe], settings, units, groups=groups)
    if units is not None:
        shutil.rmtree(units)
    values = model.fold_values(concordance, permuted)
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _read(path: Path, study: str) -> _Kept | None:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The result {path} cannot be read ({error}); delete it and run again.") from error
    if kept.study != study:
        raise InputError(f"{path} is of a test with other patients or settings; choose another folder for this one.")
    return kept
