"""The step "Clinical values": a form for the chosen bundle, filled by hand, from a file, a table or DICOM tags."""

from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.bundle_catalog import covariate_fields, find_bundle
from MemorySurvivalPanels.covariate_values import (
    DICOM,
    TYPED,
    FileValues,
    FormValue,
    covariates_problem,
    describe_use,
    file_key,
    file_values,
    form_patient,
    given_values,
    read_form,
    read_number,
    remember_file,
    write_form,
)
from MemorySurvivalPanels.covariates_form import CovariatesForm
from MemorySurvivalPanels.covariates_identity import differs, hash_patient
from MemorySurvivalPanels.covariates_owner import keep_to_one_patient
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import dicom_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.patient import read_patient
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.table_values import read_table


class CovariatesPanel(Part):
    """Shows what would be used, lets it be typed over, and never lets one patient's values serve another."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        ui = self._ui = desk.ui
        self._updating = False
        self._asked: tuple[str, int, str] | None = None
        self._known: dict[str, dict[str, str]] = {}
        self._message = ""
        self.form = CovariatesForm(ui.covariatesFields, self._on_typed)
        ui.covariatesPath.currentPathChanged.connect(self._on_path)
        ui.covariatesDicomButton.clicked.connect(self._on_dicom)
        ui.covariatesTableButton.clicked.connect(self._on_table)
        ui.covariatesClearButton.clicked.connect(self._on_clear)
        ui.covariatesTableSelector.currentNodeChanged.connect(self._on_table_chosen)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change `parameters` from now on."""
        self._asked, self._message = None, ""
        self._known.clear()
        super().bind(parameters)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Clinical values"."""
        return ui.covariatesSection, ui.covariatesNextLabel

    def step(self) -> Step | None:
        """Whether the values can be used, and what will be scored with them."""
        if self.parameters is None or find_bundle(self.parameters.bundle) is None:
            return None
        if not covariate_fields(self.parameters.bundle):
            return None
        problem = covariates_problem(self.parameters)
        if problem is not None:
            given = bool(given_values(self.parameters)) or bool(self.parameters.covariates)
            return Step(StepState.ATTENTION if given else StepState.TO_DO, problem)
        if differs(self.parameters, self._patient_ids()):
            return Step(StepState.ATTENTION, _("The clinical values and the images have different patient IDs."))
        given = bool(given_values(self.parameters))
        return Step(StepState.DONE if given else StepState.TO_DO, describe_use(self.parameters))

    def update(self) -> None:
        """Follow the chosen case and bundle."""
        parameters = self.parameters
        if parameters is None or self._updating:
            return
        self._updating = True
        try:
            cleared = keep_to_one_patient(parameters)
            if self._ui.covariatesPath.currentPath != parameters.covariates:
                self._ui.covariatesPath.currentPath = parameters.covariates
            self._ask_for_file()
            self.form.set_fields(covariate_fields(parameters.bundle))
            self.form.show(given_values(parameters))
            self._show_choices()
        finally:
            self._updating = False
        if cleared:
            self._message = cleared
            self._desk.run_panel.show_note(cleared)

    def _show_choices(self) -> None:
        parameters = self.parameters
        takes = bool(covariate_fields(parameters.bundle))
        ui = self._ui
        ui.covariatesDicomButton.enabled = takes and self._dicom() is not None
        ui.covariatesTableButton.enabled = takes and ui.covariatesTableSelector.currentNode() is not None
        ui.covariatesClearButton.enabled = bool(read_form(parameters)) or bool(parameters.covariates)
        ui.covariatesStatusLabel.text = self._describe()
        ui.covariatesStatusLabel.visible = bool(ui.covariatesStatusLabel.text)

    def _describe(self) -> str:
        parameters = self.parameters
        lines = []
        if find_bundle(parameters.bundle) is None:
            lines.append(_("Which clinical values the model takes is not known yet."))
        elif not covariate_fields(parameters.bundle):
            lines.append(_("The chosen model takes no clinical values."))
        file = file_values(parameters)
        if file is not None and file.unknown:
            lines.append(_("The model has no use for: {names}.").format(names=", ".join(file.unknown)))
        if self._message:
            lines.append(self._message)
        return "\n".join(lines)

    def _ask_for_file(self) -> None:
        """Have the chosen file read once; it is read again when it, or the bundle, has changed."""
        key = file_key(self.parameters)
        if key is None or key == self._asked or file_values(self.parameters) is not None:
            return
        if not covariate_fields(self.parameters.bundle):
            return
        self._asked = key
        path, _changed, bundle = key

        def done(result: Mapping[str, Any]) -> None:
            values = {str(name): str(text) for name, text in (result.get("values") or {}).items()}
            unknown = tuple(str(each) for each in result.get("unknown") or ())
            self._take_file(key, FileValues(values, unknown, str(result.get("patient") or "")))

        def failed(sentence: str) -> None:
            self._take_file(key, FileValues({}, problem=sentence))

        listener = BackgroundAsk(done, failed)
        self._desk.worker().submit("covariates", {"bundle": bundle, "file": path}, listener, background=True)

    def _take_file(self, key: tuple[str, int, str], found: FileValues) -> None:
        remember_file(key, found)
        self._desk.changed()

    def _on_typed(self, name: str, text: str) -> None:
        if self.parameters is None:
            return
        values = read_form(self.parameters)
        file = file_values(self.parameters)
        if text.strip() or (file is not None and name in file.values):
            values[name] = FormValue(text.strip(), TYPED)
        else:
            values.pop(name, None)
        self._message = ""
        write_form(self.parameters, values, form_patient(self.parameters))

    def _on_path(self, path: str) -> None:
        if self.parameters is not None and not self._updating:
            self._message = ""
            self.parameters.covariates = path.strip()

    def _on_clear(self, *_ignored: Any) -> None:
        with slicer.util.NodeModify(self.parameters.parameterNode):
            self.parameters.covariates = ""
            write_form(self.parameters, {})
        self._message = ""
        self._desk.changed()

    def _on_dicom(self, *_ignored: Any) -> None:
        """Have the tags read; what is typed stays."""
        file = self._dicom()
        if file is None:
            return
        asked_for = (self.parameters.ct, self.parameters.pet, self.parameters.bundle)

        def done(result: Mapping[str, Any]) -> None:
            now = self.parameters
            if now is None or asked_for != (now.ct, now.pet, now.bundle):
                return
            found = {str(name): str(text) for name, text in (result.get("values") or {}).items()}
            self._fill(found, DICOM, _("The DICOM tags hold none of these values."))

        parameters = {"bundle": self.parameters.bundle, "dicom": str(file)}
        listener = BackgroundAsk(done, self._say)
        self._desk.worker().submit("covariates", parameters, listener, background=True)

    def _on_table_chosen(self, *_ignored: Any) -> None:
        if self.parameters is not None and not self._updating:
            self._show_choices()

    def _on_table(self, *_ignored: Any) -> None:
        """Take one patient's row of the chosen table; what is typed stays."""
        from MemorySurvivalLib.errors import InputError
        from MemorySurvivalLib.risk.covariate_fields import take_known

        node = self._ui.covariatesTableSelector.currentNode()
        if node is None:
            return
        try:
            texts, whose = read_table(node, list(self._patient_ids().values()))
            found = take_known(covariate_fields(self.parameters.bundle), texts)
        except (UserError, InputError) as error:
            self._say(str(error))
            return
        levels = {field.name for field in covariate_fields(self.parameters.bundle) if field.levels}
        found = {name: text if name in levels else read_number(text) for name, text in found.items()}
        source = _('from the table "{name}"').format(name=node.GetName())
        self._fill(found, source, _("No column of the table is one of these values."), hash_patient(whose))

    def _fill(self, found: Mapping[str, str], source: str, nothing: str, patient: str = "") -> None:
        values = read_form(self.parameters)
        kept = {name for name, one in values.items() if one.source == TYPED and one.text}
        new = {name: FormValue(text, source) for name, text in found.items() if name not in kept}
        write_form(self.parameters, {**values, **new}, patient or form_patient(self.parameters))
        self._say(self._count(len(new), len(found) - len(new)) if found else nothing)

    def _count(self, filled: int, kept: int) -> str:
        text = _("1 value was filled in.") if filled == 1 else _("{n} values were filled in.").format(n=filled)
        return f"{text} {_('What was typed stayed.')}" if kept else text

    def _say(self, sentence: str) -> None:
        self._message = sentence
        self._desk.changed()

    def _dicom(self) -> Any:
        return dicom_file(self.parameters.pet) or dicom_file(self.parameters.ct)

    def _patient_ids(self) -> dict[str, str]:
        images = {"CT": self.parameters.ct, "PET": self.parameters.pet}
        return {name: read_patient(node, self._known).patient_id for name, node in images.items()}
