"""The result card: charts and words as far as the bundle's rights go, flags, numbers in the user's locale, the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def german() -> Iterator[None]:
    import qt

    before = qt.QLocale()
    qt.QLocale.setDefault(qt.QLocale("de_DE"))
    yield
    qt.QLocale.setDefault(before)


@pytest.fixture
def scored(panel: Any, tmp_path: Path) -> Any:
    """The panel with a worker that only remembers; `finish` ends a run with a result with these parts changed."""
    from dicom_nodes import Recorder
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case

    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, _roi = add_small_case()
    panel.widget.logic.worker = Recorder()

    def finish(risk: dict[str, Any] | None = None, **changes: Any) -> None:
        panel.ui.scoreButton.click()
        troubled = changes.pop("troubled", False)
        result = {**make_result(measurements=make_measurements(), troubled=troubled), "risk": risk or {}, **changes}
        panel.widget.parts.score.job_finished(result, write_files(tmp_path))

    panel.finish = finish
    return panel


def validated_risk(survival: bool = True, labels: tuple[str, ...] = ()) -> dict[str, Any]:
    """The risk part of a record as a validated bundle's rights make it."""
    import msgspec

    from MemorySurvivalLib.bundle.manifest import BaselineHazard
    from MemorySurvivalLib.scoring import predict_survival

    curve = predict_survival(BaselineHazard((12.0, 24.0, 36.0), (0.2, 0.4, 0.7)), 0.4213, 36.0, (0.8, 1.2))
    risks = np.linspace(-1.5, 1.5, 60)
    return {
        "log_risk": 0.4213,
        "position": float((risks < 0.4213).mean()),
        "reference": "60 held-out patients",
        "reference_log_risks": risks.tolist(),
        "labels": list(labels),
        "survival": msgspec.to_builtins(curve) if survival else None,
        "covariates": None,
        "notes": [],
    }


def pixels(label: Any) -> np.ndarray:
    """A chart's pixels (rows, columns, RGBA)."""
    image = label.pixmap.toImage().convertToFormat(label.pixmap.toImage().Format.Format_RGBA8888)
    values = np.frombuffer(image.constBits(), np.uint8).copy()  # the image and its bytes end here
    return values.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width()]


def reddish(values: np.ndarray) -> np.ndarray:
    return (values[..., 3] > 200) & (values[..., 0].astype(int) > values[..., 2].astype(int) + 80)


def test_everything_that_a_validated_bundle_may_show(scored: Any) -> None:
    risk = validated_risk()
    scored.finish(
        risk, position=risk["position"], position_reference=risk["reference"], risk_group="high", gate_pet=0.7
    )
    ui = scored.ui
    assert ui.positionValue.text == "higher than 63 % of 60 held-out patients"
    assert ui.riskGroupValue.text == "high"
    assert ui.gateValue.text == "PET 70 %, CT 30 %"
    for chart in (ui.histogramChart, ui.gateChart, ui.survivalChart):
        assert chart.isVisible()
        assert pixels(chart)[..., 3].any()
    assert ui.survivalCaption.text == "Progression-free at 36 months: 34 % (31 % to 38 %)"
    assert ui.survivalNote.text.startswith("Calibrated out of fold at 36 months, where the curve ends.")
    assert "0.80 to 1.20" in ui.survivalNote.text


def test_no_curve_group_or_position_without_the_right(scored: Any) -> None:
    scored.finish({**validated_risk(survival=False), "reference_log_risks": [], "position": None})
    for part in ("histogramChart", "gateChart", "survivalCaption", "survivalChart", "survivalNote"):
        assert not getattr(scored.ui, part).isVisible(), part
    assert not scored.ui.riskGroupValue.isVisible()
    assert not scored.ui.positionValue.isVisible()
    assert scored.ui.logRiskValue.text == "+0.421"


@pytest.mark.parametrize(
    "spoil",
    [
        {"horizon_months": 0},
        {"horizon_months": "36"},
        {"probability": [0.9]},
        {"probability": [0.9, None, 0.5]},
        {"times_months": [36, 24, 12]},
        {"times_months": None},
    ],
)
def test_a_curve_that_makes_no_sense_is_not_drawn(scored: Any, spoil: dict[str, Any]) -> None:
    risk = validated_risk()
    risk["survival"] = {**risk["survival"], **spoil}
    scored.finish(risk)
    assert not scored.ui.survivalChart.isVisible()
    assert not scored.ui.survivalCaption.isVisible()


def test_an_uncalibrated_curve_says_so_and_has_no_interval(scored: Any) -> None:
    risk = validated_risk(labels=("SIMULATED MODEL", "SIMULATED CASE"))
    for name in ("lower", "upper", "slope_interval"):
        risk["survival"].pop(name)
    scored.finish(risk)
    assert scored.ui.survivalCaption.text == "Progression-free at 36 months: 34 %"
    assert scored.ui.survivalNote.text == "SIMULATED MODEL · SIMULATED CASE: not calibrated; without an interval."


def test_the_marker_stands_where_the_log_risk_is(scored: Any) -> None:
    """The red line's column goes from left to right as the log-risk goes from the lowest to the highest."""
    places = []
    for log_risk in (-1.5, 0.0, 1.5):
        risk = {**validated_risk(), "log_risk": log_risk}
        scored.finish(risk, log_risk=log_risk, position=0.5)
        picture = pixels(scored.ui.histogramChart)
        line = reddish(picture)[picture.shape[0] // 3 : picture.shape[0] // 2]  # below its words
        places.append(np.argwhere(line)[:, 1].mean() / picture.shape[1])
    assert places[0] < 0.03
    assert places[1] == pytest.approx(0.5, abs=0.02)
    assert places[2] > 0.97


def test_bins_count_every_reference_case_once(panel: Any) -> None:
    from MemorySurvivalPanels.result_charts import bin_counts

    risks = np.linspace(-1, 1, 400).tolist()
    counts = bin_counts(risks, -1.0, 1.0)
    assert len(counts) == 20
    assert sum(counts) == 400
    assert max(counts) - min(counts) <= 1
    assert sum(bin_counts([0.5] * 30, 0.5, 0.5)) == 30  # all the same, and this case too
    assert bin_counts([0.0, 0.1, 3.0], 0.0, 3.0)[0] == 2


def test_the_curve_falls_to_its_value_at_the_horizon(scored: Any) -> None:
    risk = validated_risk()
    for name in ("lower", "upper", "slope_interval"):
        risk["survival"].pop(name)
    scored.finish(risk)
    curve = reddish(pixels(scored.ui.survivalChart))
    columns = np.flatnonzero(curve.any(axis=0))
    heights = [np.flatnonzero(curve[:, column]).mean() for column in columns]
    assert heights[0] < heights[len(heights) // 2] < heights[-1]
    share = (heights[-1] - heights[0]) / (1 - 0.3437)  # from 100 % down to the last value, in pixels of 100 %
    floor = heights[0] + share
    assert floor < curve.shape[0]
    band = risk["survival"] | {"lower": [0.5, 0.4, 0.1], "upper": [0.9, 0.8, 0.6]}
    before = (pixels(scored.ui.survivalChart)[..., 3] > 0).sum()
    scored.finish({**risk, "survival": band})
    assert (pixels(scored.ui.survivalChart)[..., 3] > 0).sum() > before * 1.2


@pytest.mark.parametrize("dark", [False, True])
def test_charts_can_be_read_in_both_themes(scored: Any, dark: bool) -> None:
    """Words and marker stand out from the background by at least 4.5 : 1 (WCAG)."""
    import qt

    label = scored.ui.histogramChart
    palette = qt.QPalette()
    palette.setColor(qt.QPalette.Window, qt.QColor("#2b2b2b" if dark else "#efefef"))
    palette.setColor(qt.QPalette.WindowText, qt.QColor("#e0e0e0" if dark else "#101010"))
    label.palette = palette
    risk = validated_risk()
    scored.finish(risk, position=0.6)
    picture = pixels(label)
    marker = picture[reddish(picture)][:, :3].mean(axis=0)
    ground = np.array([0x2B] * 3 if dark else [0xEF] * 3)
    assert contrast(marker, ground) > 4.5


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    def luminance(colour: np.ndarray) -> float:
        linear = ((colour / 255 + 0.055) / 1.055) ** 2.4
        return float(linear @ [0.2126, 0.7152, 0.0722])

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_numbers_are_in_the_users_locale_on_screen_and_in_c_locale_in_the_scene(german: None, scored: Any) -> None:
    from MemorySurvivalPanels.scored_cases import find_results

    risk = validated_risk()
    scored.finish(risk, position=0.6, position_reference="60 held-out patients", gate_pet=0.7)
    assert scored.ui.logRiskValue.text == "+0,421"
    assert "0,80 to 1,20" in scored.ui.survivalNote.text
    assert scored.ui.lesionTable.item(0, 3).text() == "8,0"
    parameters = scored.widget._parameters
    (node,) = find_results(parameters.ct, parameters.pet)
    assert '"log_risk": 0.4213' in node.GetText()


def test_flags_are_chips_and_warnings_say_more(scored: Any) -> None:
    import re

    risk = {
        **validated_risk(labels=("ENGINEERING USE: ROI NOT OF THE MODEL'S KIND",)),
        "log_risk": 9.0,
        "covariates": {"missing": ["r_iss", "calcium"]},
    }
    scored.finish(risk, troubled=True, shown=["The PET is taken as shown."])
    text = re.sub("<[^>]*>", "", scored.ui.chipsLabel.text).replace("&nbsp;", " ")
    assert [each.strip() for each in text.split("⚑")[1:]] == [
        "other region",
        "PET check",
        "misregistration",
        "taken as shown",
        "mask edited",
        "stray mask pieces",
        "out of distribution",
        "2 covariates missing",
    ]
    assert "outside those of all 60 reference cases" in scored.ui.warningsLabel.text


def test_a_clean_result_has_no_chips(scored: Any) -> None:
    scored.finish(validated_risk())
    assert not scored.ui.chipsLabel.isVisible()
    assert not scored.ui.warningsLabel.isVisible()


def test_the_image_only_head_is_said(scored: Any) -> None:
    scored.finish({**validated_risk(), "notes": ["No covariates were given; the image-only head was used."]})
    assert "images&nbsp;only" in scored.ui.chipsLabel.text


def test_the_report_is_previewed_where_slicer_has_a_web_widget(scored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt
    import slicer

    opened: list[str] = []

    class WebWidget(qt.QWidget):
        def setUrl(self, url: str) -> None:
            opened.append(url)

    scored.finish()
    assert not scored.ui.previewButton.isVisible()  # this host has none, as some builds of Slicer
    monkeypatch.setattr(slicer, "qSlicerWebWidget", WebWidget, raising=False)
    scored.widget.onParametersChanged()
    assert scored.ui.previewButton.isVisible()
    scored.ui.previewButton.click()
    (url,) = opened
    assert Path(qt.QUrl(url).toLocalFile()).read_text(encoding="utf-8") == "<p>report</p>"
    slicer.mrmlScene.Clear()
    assert scored.widget.parts.report._window is None


def test_a_failure_with_a_log_offers_it(scored: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    scored.ui.scoreButton.click()
    scored.widget.parts.score.job_failed(Failure("It failed.", log=("first line", "last line")))
    assert scored.ui.logButton.isVisible()
    scored.ui.logButton.click()
    window = scored.widget.parts.run_panel._log_window
    (text,) = [each for each in window.children() if each.metaObject().className() == "QPlainTextEdit"]
    assert text.plainText == "first line\nlast line"
    assert not window.modal
    window.close()
    scored.ui.scoreButton.click()
    assert not scored.ui.logButton.isVisible()
    scored.widget.parts.score.job_failed(Failure("It failed without a word."))
    assert not scored.ui.logButton.isVisible()


def test_the_estimate_stands_where_nothing_is_missing(scored: Any) -> None:
    run = scored.widget.parts.run_panel
    run.set_estimate("About 2 min on this computer.")
    assert scored.ui.stageLabel.text == "About 2 min on this computer."
    assert scored.ui.stageLabel.isVisible()
    scored.widget._parameters.pet = None
    assert scored.ui.stageLabel.text == "Choose the PET volume."
