"""The section "Reading": the reading layout in one click, its windows and its rotating PET, the cursor and the keys."""

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels import views
from MemorySurvivalPanels.cursor_readout import Readout, find_hottest, read_out
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mip_frames import MipFrames
from MemorySurvivalPanels.mip_job import MipJob
from MemorySurvivalPanels.mip_view import MipView
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.pet_scale import describe_content, look_scale, stated_scale
from MemorySurvivalPanels.reading_layout import CORONAL, SAGITTAL, ReadingLayout
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.window_presets import SUV_RANGES, ct_windows, inverted_grey

_SUV_KEYS = ("F5", "F6", "F7", "F8")
_REST_MS = 700


class ReadingPanel(Part, VTKObservationMixin):
    """Shows CT and PET of the parameter node in the reading layout while the user wants it."""

    def __init__(self, desk: Desk) -> None:
        VTKObservationMixin.__init__(self)
        self._desk, self._ui = desk, desk.ui
        self.layout = ReadingLayout()
        self.mip = MipView(self.go_to_hottest, self._show_turn)
        self._job: MipJob | None = None
        self._made_of: tuple[Any, ...] | None = None
        self._suv_per_unit: float | None = None
        self._sentence = ""
        self._updating = False
        self._was_playing = False
        self._settled = qt.QTimer()  # a volume that is being dragged about is projected when it has come to rest
        self._settled.setSingleShot(True)
        self._settled.setInterval(_REST_MS)
        self._settled.connect("timeout()", self._make_frames)
        self._fill_choices()
        self._add_keys()
        ui = self._ui
        ui.readingButton.connect("toggled(bool)", self._on_toggled)
        ui.suvRangeCombo.connect("currentIndexChanged(int)", lambda *_: self._show_windows())
        ui.ctWindowCombo.connect("currentIndexChanged(int)", lambda *_: self._show_windows())
        ui.lowerRowCombo.connect("currentIndexChanged(int)", lambda *_: self._on_lower_row())
        ui.mipPlayButton.connect("toggled(bool)", self._on_play)
        ui.mipSlider.connect("valueChanged(int)", self._on_slider)

    def update(self) -> None:
        """Follow the chosen images, and make another rotating view where another PET is shown or lies elsewhere."""
        if self._updating:
            return
        self._updating = True
        try:
            ready = self._pair() is not None
            if self._ui.readingButton.checked and not self.layout.shown:  # the user chose another layout of Slicer's
                self._forget()
            self._ui.readingButton.enabled = ready or self.layout.shown
            if self.layout.shown and self._ui.readingButton.checked and self.parameters is not None:
                self._show_pair()
            self._show_controls()
        finally:
            self._updating = False

    def enter(self) -> None:
        """The keys are known by now; the mouse is followed while the module is open."""
        self._fill_keys()
        self._take_up_layout()
        imported = slicer.mrmlScene.EndImportEvent
        if not self.hasObserver(slicer.mrmlScene, imported, self._take_up_layout):
            self.addObserver(slicer.mrmlScene, imported, self._take_up_layout)
        self._follow_cursor()
        if self._was_playing:
            self._ui.mipPlayButton.checked = True

    def leave(self) -> None:
        """The layout stays; nothing turns or follows the mouse meanwhile."""
        self._was_playing = self.mip.playing
        self._ui.mipPlayButton.checked = False
        self.removeObservers(self._on_cursor)
        self.removeObservers(self._take_up_layout)
        self._show_readout(Readout())

    def step(self) -> Step | None:
        """Whether the images are laid out for reading."""
        if self.parameters is None:
            return None
        if self.layout.shown and self._ui.readingButton.checked:
            state = StepState.ATTENTION if self._sentence and self._job is None else StepState.DONE
            return Step(state, self._sentence)
        if self._pair() is None:
            return Step(StepState.TO_DO, _("Choose CT and PET first."))
        return Step(StepState.TO_DO, _("Shows PET, CT and fusion side by side, linked, beside the rotating PET."))

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Reading"."""
        return ui.readingSection, ui.readingNextLabel

    def close(self) -> None:
        """Go back to the user's own views."""
        self.removeObservers()
        self._forget()
        self.layout.leave()

    def scene_closed(self) -> None:
        """The volumes are gone; so is the reason for these views."""
        self._was_playing = False
        self._forget()
        self.layout.leave()

    def _take_up_layout(self, caller: Any = None, event: Any = None) -> None:
        """A scene that was saved in the reading layout comes with its empty views: fill them, or leave them."""
        if not self.layout.orphaned:
            return
        if self._pair() is not None:
            self._ui.readingButton.checked = True
        else:
            self.layout.leave()

    def _pair(self) -> tuple[Any, Any] | None:
        parameters = self.parameters
        if parameters is None:
            return None
        nodes = (parameters.ct, parameters.pet)
        usable = all(node is not None and node.GetImageData() is not None for node in nodes)
        return nodes if usable and nodes[0] is not nodes[1] else None

    def _on_toggled(self, wanted: bool) -> None:
        if self._updating:
            return
        # A Slicer without a main window has no views.
        if wanted and self._pair() is not None and slicer.app.layoutManager() is not None:
            self.layout.show(*self._pair())
            self._observe_layout()
            self._follow_cursor()
            self._keep_overlay()
            self._on_lower_row()
            qt.QTimer.singleShot(0, self.fit)
        else:
            self._forget()
            self.layout.leave()
        self._desk.changed()

    def _keep_overlay(self) -> None:
        """A heatmap that is seen in the user's own views is seen over the CT here too."""
        heatmap = self.parameters.heatmap
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            seen = heatmap is not None and composite.GetForegroundVolumeID() == heatmap.GetID()
            if seen and not views.view_role(composite):
                views.show_overlay(foreground=heatmap, opacity=composite.GetForegroundOpacity())
                return

    def fit(self) -> None:
        """Once the views have their size."""
        if self.layout.shown:
            self.layout.fit()
            self.mip.fit()

    def _observe_layout(self) -> None:
        node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout)

    def _on_layout(self, caller: Any, event: Any) -> None:
        if self._ui.readingButton.checked and not self.layout.shown:
            self._forget()
            self._desk.changed()

    def _forget(self) -> None:
        """Take the hidden volumes away and stand still."""
        self.removeObservers(self._on_layout)
        self._abandon()
        self.mip.clear()
        self.layout.forget()
        self._made_of, self._suv_per_unit, self._sentence = None, None, ""
        was_updating, self._updating = self._updating, True
        self._ui.readingButton.checked = False
        self._ui.mipPlayButton.checked = False
        self._updating = was_updating

    def _abandon(self) -> None:
        if self._job is not None:
            self._job.abandon()
        self._job = None
        self._settled.stop()

    def _show_pair(self) -> None:
        pair = self._pair()
        if pair is None:
            self._abandon()
            self.mip.clear()
            self.layout.empty()
            self._made_of, self._sentence = None, _("Choose CT and PET first.")
            return
        self.layout.show(*pair)
        made_of = describe_content(self.parameters)
        if made_of == self._made_of:
            return
        first, self._made_of = self._made_of is None, made_of
        self._abandon()
        self.mip.clear()
        self._suv_per_unit = None
        self._sentence = _("The rotating view is being made…")
        self._show_windows()
        if first:
            self._make_frames()
        else:
            self._settled.start()

    def _make_frames(self) -> None:
        if self._made_of is None or self._pair() is None:
            return
        self._job = MipJob(self._desk, self._on_made, self._on_failed)
        try:
            self._job.start(self.parameters)
        except UserError as error:
            self._job = None
            self._sentence = str(error)
            qt.QTimer.singleShot(0, self._desk.changed)

    def _on_made(self, frames: MipFrames, suv_per_unit: float | None, why_no_suv: str) -> None:
        self._job = None
        self._suv_per_unit = suv_per_unit
        self._sentence = "" if suv_per_unit is not None else _("No SUV scale: {why}").format(why=why_no_suv)
        if self.layout.shown and self.layout.mip_widget is not None:
            self.mip.show(frames, self.layout.mip_widget, inverted_grey())
            self._show_windows()
            self._ui.mipPlayButton.checked = self.parameters is not None  # not while another module is open
        self._desk.changed()

    def _on_failed(self, sentence: str) -> None:
        self._job = None
        self._sentence = sentence or _("The rotating view was not made; open the reading layout again.")
        self._desk.changed()

    def go_to_hottest(self, ras: tuple[float, float, float]) -> None:
        """Take the views to the highest PET voxel around a point, as after a click on the rotating view."""
        self._ui.mipPlayButton.checked = False
        pet = self.parameters.pet if self.parameters is not None else None
        if pet is not None and self.mip.frames is not None:
            ras = find_hottest(pet, ras, self.mip.frames.spacing_mm)
        views.jump_views(ras)

    def _show_windows(self) -> None:
        upper = SUV_RANGES[max(self._ui.suvRangeCombo.currentIndex, 0)]
        self.layout.show_ct(ct_windows()[max(self._ui.ctWindowCombo.currentIndex, 0)])
        scale = self._suv_per_unit
        if scale is None:
            scale = look_scale(self.parameters)
        self.layout.show_suv(upper, scale)
        self.mip.show_range(0.0, upper / scale)

    def _on_lower_row(self) -> None:
        if self.layout.shown:
            self.layout.turn_lower_row(self._ui.lowerRowCombo.itemData(self._ui.lowerRowCombo.currentIndex))

    def _on_play(self, wanted: bool) -> None:
        if wanted:
            self.mip.play()
        else:
            self.mip.pause()
        self._ui.mipPlayButton.text = _("Stand still") if wanted else _("Turn")

    def _on_slider(self, value: int) -> None:
        if not self._updating:
            self.mip.turn_to(value)

    def _show_turn(self) -> None:
        was_updating, self._updating = self._updating, True
        frames = self.mip.frames
        self._ui.mipSlider.maximum = max(frames.count - 1, 0) if frames is not None else 0
        self._ui.mipSlider.value = self.mip.number
        if self._ui.mipPlayButton.checked and not self.mip.playing and frames is None:
            self._ui.mipPlayButton.checked = False
        self._updating = was_updating

    def _show_controls(self) -> None:
        ui = self._ui
        shown = self.layout.shown and ui.readingButton.checked
        ui.readingButton.text = _("Back to my layout") if shown else _("Reading layout")
        for control in (ui.suvRangeCombo, ui.ctWindowCombo, ui.lowerRowCombo):
            control.enabled = shown
        turning = self.mip.node is not None
        ui.mipPlayButton.enabled = ui.mipSlider.enabled = turning

    def _follow_cursor(self) -> None:
        crosshair, event = views.crosshair_node(), slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
        if crosshair is not None and not self.hasObserver(crosshair, event, self._on_cursor):
            self.addObserver(crosshair, event, self._on_cursor)

    def _on_cursor(self, crosshair: Any, event: Any = None) -> None:
        if self.parameters is None:
            return
        ras = [0.0, 0.0, 0.0]
        known = crosshair.GetCursorPositionRAS(ras)
        point: tuple[float, float, float] | None = (ras[0], ras[1], ras[2]) if known else None
        if point is not None and self.mip.node is not None:
            over = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0])
            if over is not None and over.GetAttribute(views.OWN_VIEW) == views.MIP:
                point = self.mip.find_point(point)
        parameters = self.parameters
        self._show_readout(
            read_out(
                point,
                ct=parameters.ct,
                pet=parameters.pet,
                region=parameters.roi,
                effect=parameters.heatmap,
                suv_per_unit=self._suv_per_unit if self._suv_per_unit is not None else stated_scale(parameters),
            )
        )

    def _show_readout(self, readout: Readout) -> None:
        ui = self._ui
        for label, text in (
            (ui.cursorSuvValue, readout.suv),
            (ui.cursorHuValue, readout.hu),
            (ui.cursorRegionValue, readout.region),
            (ui.cursorEffectValue, readout.effect),
        ):
            label.text = text

    def _fill_choices(self) -> None:
        ui = self._ui
        for upper, key in zip(SUV_RANGES, _SUV_KEYS, strict=True):
            ui.suvRangeCombo.addItem(_("SUV 0–{upper}  ({key})").format(upper=f"{upper:.0f}", key=key))
        for window in ct_windows():
            ui.ctWindowCombo.addItem(window.name)
        for text, orientation in ((_("Coronal"), CORONAL), (_("Sagittal"), SAGITTAL)):
            ui.lowerRowCombo.addItem(text, orientation)
        self._show_readout(Readout())

    def _add_keys(self) -> None:
        add, ui = self._desk.shortcuts.add, self._ui
        add("F9", _("Reading layout on or off"), lambda: self._press(ui.readingButton))
        for index, (upper, key) in enumerate(zip(SUV_RANGES, _SUV_KEYS, strict=True)):
            text = _("PET at SUV 0–{upper}").format(upper=f"{upper:.0f}")
            add(key, text, lambda index=index: setattr(ui.suvRangeCombo, "currentIndex", index))
        add("C", _("CT in soft tissue or bone window"), lambda: _next_choice(ui.ctWindowCombo))
        add("O", _("Lower row coronal or sagittal"), lambda: _next_choice(ui.lowerRowCombo))
        add("K", _("Rotating PET: turn or stand still"), lambda: self._press(ui.mipPlayButton))
        add("J", _("Rotating PET: a step to the left"), lambda: self._turn_by_hand(-1))
        add("L", _("Rotating PET: a step to the right"), lambda: self._turn_by_hand(1))

    def _press(self, button: Any) -> None:
        if button.enabled:
            button.toggle()

    def _turn_by_hand(self, frames: int) -> None:
        self._ui.mipPlayButton.checked = False
        self.mip.turn(frames)

    def _fill_keys(self) -> None:
        lines = (f"<td><b>{each.key}</b></td><td>&nbsp;{each.text}</td>" for each in self._desk.shortcuts.listed)
        self._ui.keysLabel.text = "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _next_choice(combo: Any) -> None:
    if combo.enabled:
        combo.currentIndex = (combo.currentIndex + 1) % combo.count
