"""The table of the stability study in docs/evidence.md, written from the figure that is kept, between two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN = "<!-- the stability study: written by `make figure NAME=stability SAVE=1`, do not edit by hand -->"
END = "<!-- end of the stability study -->"

JOINED = {
    "boxes jittered by up to 1%": "box jitter 1 to 5 %",
    "boxes jittered by up to 2%": "box jitter 1 to 5 %",
    "boxes jittered by up to 5%": "box jitter 1 to 5 %",
    "boxes jittered by up to 10%": "box jitter 10 %",
    "boxes 5 mm wider on each side": "boxes 5 mm wider on each side",
    "boxes 10 mm wider on each side": "boxes 10 mm wider",
    "boxes 20 mm wider on each side": "boxes 20 mm wider",
    "mask eroded by 4 mm": "mask eroded or dilated by 4 mm",
    "mask dilated by 4 mm": "mask eroded or dilated by 4 mm",
    "mask eroded by 8 mm": "mask eroded or dilated by 8 mm",
    "mask dilated by 8 mm": "mask eroded or dilated by 8 mm",
    "every slice": "every slice, every fourth slice",
    "every fourth slice": "every slice, every fourth slice",
    "feet to head": "direction (`boxed`, `mean`)",
    "1 point a slice": "1 point, 5 points a slice",
    "5 points a slice": "1 point, 5 points a slice",
    "streamed, head to feet": "mode `streamed`, three directions",
    "streamed, feet to head": "mode `streamed`, three directions",
    "streamed, both directions": "mode `streamed`, three directions",
    "tracked, head to feet": "mode `tracked`, two directions",
    "tracked, feet to head": "mode `tracked`, two directions",
    **{
        f"PET {mm} mm to the {side}": f"PET shifted by {mm} mm, three axes"
        for mm in (2, 4, 8)
        for side in ("left", "back", "head")
    },
}
"""Which line of the page a change of the figure belongs to; a change that is not named here has a line of its own."""


def write_stability(page: Path, figure: dict[str, Any]) -> None:
    """Put what the figure found between the marks of the page. Raises ValueError where the page lacks them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} has no marks for the stability study.")
    badge = figure["badge_one_case"]
    tried = (
        f"{figure['cases']}. The badge was `stable` in {figure['badge_stable']} of them. One badge encoded "
        f"{badge['encoded_slices']} slices, where the score needs {badge['of_a_score']}; made alone it agreed with the "
        f"one made among all changes within {badge['largest_difference_sd']:.0e} standard deviations."
    )
    page.write_text(
        "\n".join([before + BEGIN, "", f"Cases: {tried}", "", *_table(figure["rows"]), "", END]) + after, "utf-8"
    )


def _table(rows: list[dict[str, Any]]) -> list[str]:
    joined: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        joined.setdefault(JOINED.get(row["change"], row["change"]), []).append(row)
    lines = [
        "| change | tries | median | worst | worst, percentile points | worst, image only | another risk group |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, group in joined.items():
        median, worst, points, image = (
            max(row[name] for row in group) for name in ("median_sd", "worst_sd", "worst_points", "worst_sd_image_only")
        )
        moved = sum(int(row["another_group"].split(" of ")[0]) for row in group)
        tries = sum(row["tries"] for row in group)
        lines.append(
            f"| {title} | {tries} | {median:.2f} | {worst:.2f} | {points:.0f} | {image:.2f} | {moved} of {tries} |"
        )
    return lines
