"""Taking out of sentences what may tell who the patient is: paths, names, dates, UIDs, and texts that people typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from MemorySurvivalLib.privacy.identifiers import Identifier, name_words, needles, normalise
from MemorySurvivalLib.privacy.scan import Search
from MemorySurvivalLib.roi.roi import ROI_TITLES
from MemorySurvivalLib.roi.terminology import recognise

REMOVED = "[removed]"
REMOVED_DATE = "[date]"
REMOVED_UID = "[UID]"
REMOVED_PATH = "[path]"
LEFT_OUT = "A sentence was left out here, because it named the patient."

_UID = re.compile(r"(?<![\w.])[0-2](?:\.\d+){5,}(?![\w.])")
_CLOCK = r"(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(rf"(?<![\w.])(?:\d{{4}}-\d{{2}}-\d{{2}}|(?:19|20)\d{{6}}){_CLOCK}(?![\w])")
_PATH = re.compile(
    r"""(?<![\w.\]/])(?<!http:)(?<!https:)(?:[A-Za-z]:[\\/]|\\\\|~?/(?=[^\s/"']+/)|\.{1,2}/)[^\s"'<>|]+"""
)
_QUOTED = re.compile(r'"([^"]+)"')
_TYPED = (
    (re.compile(r"^(CT|PET|PT) .*?: "), r"\1 series: "),
    (re.compile(r"(Columns the model does not know were ignored): .*"), r"\1."),
    (re.compile(r"(Files whose names mean no structure were left out): .*"), r"\1."),
    (re.compile(r"^(The mask was accepted) by .* \(.*\)\.$"), r"\1 by a person."),
    (re.compile(r"^Covariates ([\w ]+): .*"), r"Covariates were given (\1)."),
    (re.compile(r"^The covariate .* was (\w+) as .*"), r"A covariate was \1, which is used instead of the file's."),
)
"""Sentences of ours in which a text of the input stands, and what is left of them."""


@dataclass(frozen=True)
class Wording:
    """How texts are cleaned for one case.

    `replacements` maps texts of the input (paths, series descriptions, segment names) to neutral ones, `identifiers`
    are what is known of the patient.
    """

    replacements: Mapping[str, str] = field(default_factory=dict)
    identifiers: tuple[Identifier, ...] = ()

    def clean(self, text: str) -> str:
        """The text without anything that tells who the patient is; a text that still would becomes `LEFT_OUT`."""
        for known in sorted(self.replacements, key=len, reverse=True):
            if known:
                text = re.sub(
                    rf"(?<!\w){re.escape(known)}(?!\w)(?:[^\s,;:\"']*[^\s,;:\"'.])?",
                    _literal(self.replacements[known]),
                    text,
                )
        for pattern, left in _TYPED:
            text = pattern.sub(left, text)
        text = _PATH.sub(REMOVED_PATH, text)
        text = _UID.sub(REMOVED_UID, text)
        text = _DATE.sub(REMOVED_DATE, text)
        text = _QUOTED.sub(lambda hit: hit[0] if is_known_name(hit[1]) else f'"{REMOVED}"', text)
        for word in self._words:
            text = word.sub(REMOVED, text)
        return LEFT_OUT if self._search.in_text(text) else text

    @cached_property
    def _search(self) -> Search:
        return Search(needles(self.identifiers))

    @cached_property
    def _words(self) -> tuple[re.Pattern[str], ...]:
        """The identifiers as they stand in the input, where nothing but upper and lower case differs."""
        raw = {part for one in self.identifiers for part in (one.text, *name_words(one.text))}
        wanted = sorted((word for word in raw if normalise(word) in self._known), key=len, reverse=True)
        return tuple(re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in wanted)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(one.text for one in needles(self.identifiers))


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")


def is_known_name(text: str) -> bool:
    """Whether a segment's or a site's name is one of anatomy or of ours, not something that a person typed."""
    plain = text.strip().removeprefix("near ")
    if plain in ("", "mask", REMOVED) or plain in ROI_TITLES or plain in ROI_TITLES.values():
        return True
    return recognise(plain) is not None


def neutral_names(names: Iterable[str], word: str = "segment") -> dict[str, str]:
    """Names that people typed -> neutral ones, numbered in their order; names of anatomy are left out."""
    typed = [name for name in dict.fromkeys(names) if not is_known_name(name)]
    return {name: f"{word} {number}" for number, name in enumerate(typed, start=1)}
