"""The model card of a rebuilt demonstration bundle: whose weights, what its heads are, how they did."""

from __future__ import annotations

from collections.abc import Sequence

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.memory.weights_store import WeightsRecord
from MemorySurvivalLib.study.shipping_card import CardFacts, describe_heads, describe_results


def write_rebuilt_card(facts: CardFacts, record: WeightsRecord, devices: Sequence[str]) -> str:
    """The card as Markdown; `devices` (in words) computed the memories."""
    backbone, configuration = facts.manifest.backbone, facts.configuration
    known = "a published release" if record.release else "an unknown release, brought by the user"
    return f"""# Demonstration model for {record.name} (SIMULATED MODEL)

{RESEARCH_USE}. Its heads learned from simulated patients only. It shows what the software does with these weights; it
says nothing about any person. Simulation tests the software and the method, not myeloma. What the weights themselves
learned from is for their makers to say.

- Backbone weights: {record.name} ({known}), sha256 {record.sha256}, {backbone.architecture} at
  {backbone.image_size} pixels, licence {record.licence}. **The weights are not in this bundle**: it names them by
  their hash, and whoever uses it needs that very file in their weights store.
- Embedded on: {"; ".join(devices) or "unknown"}.
{describe_heads(facts)}

{describe_results(facts)}

The heads are made as those of the demonstration bundle that ships, but for its lesion reader: that belongs to the
backbone whose memories it learned from. Nothing here is calibrated or validated, or compared with any clinical score.

Settings: those of the study with these weights, sha256 {configuration.sha256}, embedding sha256
{configuration.embedding.sha256}, seed {configuration.fitting.seed}.
"""
