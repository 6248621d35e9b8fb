"""Laboratory and FISH values of the patient, and the staging scores that follow from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.covariate_values import FILE, TYPED, FileValues, FormValue, field_problem, given_values
from MemorySurvivalPanels.covariates_form import CovariatesForm
from MemorySurvivalPanels.covariates_identity import hash_patient
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.patient import read_patient

if TYPE_CHECKING:
    from MemorySurvivalLib.clinical.record import ClinicalScore
    from MemorySurvivalLib.risk.covariate_fields import CovariateField

_FileKey = tuple[str, int]


class StagingValues:
    """A form like that of the clinical values: what is typed wins over the covariates file, which wins over what the
    model's own form holds under the same name. What cannot be true is not computed with, and said."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._form = CovariatesForm(desk.ui.stagingFields, self._on_typed)
        self._files: dict[_FileKey, FileValues] = {}
        self._asked: _FileKey | None = None
        self._parameters: ScoreParameters | None = None
        self._known: dict[str, dict[str, str]] = {}
        self.scores: tuple[ClinicalScore, ...] = ()
        self.problem = ""

    @property
    def editors(self) -> Mapping[str, Any]:
        """The fields by the names of their values."""
        return self._form.editors

    def show(self, parameters: ScoreParameters) -> None:
        """Show the values of the chosen patient and what follows from them."""
        from MemorySurvivalLib.clinical.staging import compute_scores
        from MemorySurvivalLib.errors import InputError

        self._parameters = parameters
        fields = _fields()
        if not self._form.editors:
            self._form.set_fields(fields)
            for name, editor in self._form.editors.items():
                editor.objectName = f"staging_{name}"  # a model may ask for the same value in its own form
        self._ask_for_file()
        values = self._values()
        self._form.show(values)
        problems = {
            field.name: field_problem(field, values[field.name].text) for field in fields if field.name in values
        }
        self.problem = next((problem for problem in problems.values() if problem), "")
        sound = {name: one.text for name, one in values.items() if not problems[name]}
        try:
            self.scores = compute_scores(sound)
        except InputError as error:
            self.scores, self.problem = compute_scores({}), str(error)
        self._ui.stagingScoresLabel.text = "\n".join(f"•  {score.sentence}" for score in self.scores)
        self._ui.stagingScoresLabel.toolTip = "\n".join(score.citation for score in self.scores)
        told = [self.problem, self._describe_file()]
        self._ui.stagingStatusLabel.text = "\n".join(each for each in told if each)
        self._ui.stagingStatusLabel.visible = any(told)

    def let_go(self) -> None:
        """Write no more into the shown patient's choices."""
        self._parameters = None

    def forget(self) -> None:
        """Read files anew."""
        self._files.clear()
        self._asked = None

    def _values(self) -> dict[str, FormValue]:
        parameters = self._parameters
        names = {field.name for field in _fields()}
        found = {name: one for name, one in given_values(parameters).items() if name in names}
        file = self._file()
        if file is not None and not self._of_another_patient(file):
            found.update({name: FormValue(text, FILE) for name, text in file.values.items()})
        found.update(read_staging(parameters))
        return {name: one for name, one in found.items() if name in names and one.text.strip()}

    def _on_typed(self, name: str, text: str) -> None:
        if self._parameters is None:
            return
        values = read_staging(self._parameters)
        file = self._file()
        if text.strip() or (file is not None and name in file.values):
            values[name] = FormValue(text.strip(), TYPED)
        else:
            values.pop(name, None)
        write_staging(self._parameters, values)

    def _key(self) -> _FileKey | None:
        if self._parameters is None or not self._parameters.covariates:
            return None
        path = Path(self._parameters.covariates)
        try:
            return str(path), path.stat().st_mtime_ns
        except OSError:
            return None

    def _file(self) -> FileValues | None:
        key = self._key()
        return None if key is None else self._files.get(key)

    def _ask_for_file(self) -> None:
        """Have the covariates file read once for the values of staging; it is read again when it has changed."""
        key = self._key()
        if key is None or key == self._asked or key in self._files:
            return
        self._asked = key

        def done(result: Mapping[str, Any]) -> None:
            values = {str(name): str(text) for name, text in (result.get("values") or {}).items()}
            self._take(key, FileValues(values, patient=str(result.get("patient") or "")))

        def failed(sentence: str) -> None:
            self._take(key, FileValues({}, problem=sentence))

        self._desk.worker().submit("staging", {"file": key[0]}, BackgroundAsk(done, failed), background=True)

    def _take(self, key: _FileKey, found: FileValues) -> None:
        self._files[key] = found
        self._desk.changed()

    def _describe_file(self) -> str:
        file = self._file()
        if file is None:
            return ""
        if self._of_another_patient(file):
            return _("The covariates file is of another patient ID than the images; its values are not used here.")
        return file.problem

    def _of_another_patient(self, file: FileValues) -> bool:
        nodes = (self._parameters.ct, self._parameters.pet)
        images = {hash_patient(read_patient(node, self._known).patient_id) for node in nodes if node is not None} - {""}
        return bool(file.patient) and any(whose != file.patient for whose in images)


def read_staging(parameters: ScoreParameters) -> dict[str, FormValue]:
    """The values that are saved with the scene; empty for what another version wrote."""
    try:
        stored = json.loads(parameters.staging_values or "{}")
        return {str(name): FormValue(str(one["text"]), str(one["source"])) for name, one in stored.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_staging(parameters: ScoreParameters, values: Mapping[str, FormValue]) -> None:
    """Save values with the scene."""
    stored = {name: {"text": one.text, "source": one.source} for name, one in sorted(values.items())}
    text = json.dumps(stored) if stored else ""
    if parameters.staging_values != text:
        parameters.staging_values = text


def _fields() -> "tuple[CovariateField, ...]":
    from MemorySurvivalLib.clinical.staging_fields import STAGING_FIELDS

    return STAGING_FIELDS
