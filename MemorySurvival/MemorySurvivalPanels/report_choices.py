"""What a person chose to export, and what the shown result allows: plain values, and the sentences about them."""

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

NONE, PSEUDONYM, IDENTIFIED = "none", "pseudonym", "identified"


@dataclass(frozen=True)
class ExportFacts:
    """What the result that is shown allows.

    `dicom` is whether its CT came from DICOM that is still there, `demonstration` whether a demonstration model made
    the risk, `heatmap` and `measured` whether it has them.
    """

    dicom: bool
    demonstration: bool
    heatmap: bool
    measured: bool


@dataclass(frozen=True)
class ExportChoices:
    """What is to be exported. Kept while Slicer runs, but for the pseudonym: it is one patient's."""

    identity: str = NONE
    pseudonym: str = ""
    formats: tuple[str, ...] = ("html",)
    objects: tuple[str, ...] = ()
    paper: str = "a4"
    volumes: bool = False
    tables: bool = False
    record: bool = False
    scene: bool = False
    leave_head_out: bool = False
    parent: str = ""
    to_folder: bool = True
    folder: str = ""
    node: str = ""
    token: str = ""

    @property
    def data(self) -> tuple[str, ...]:
        """What else is written into the folder, by name."""
        return tuple(name for name in ("volumes", "tables", "record", "scene") if getattr(self, name))

    def problem(self, facts: ExportFacts) -> str:
        """Why this cannot be exported, in a sentence; empty where it can."""
        if not self.to_folder and not self.node:
            return _("Choose a folder, a DICOM node, or both.")
        if self.to_folder and not self.folder.strip():
            return _("Say into which folder.")
        if self.node and not self.objects:
            return _("Choose at least one kind of DICOM object for the node.")
        if self.to_folder and not (self.formats or self.objects or self.data):
            return _("Choose at least one file or object.")
        if self.scene and self.identity == IDENTIFIED:
            return _("A scene copy names nobody; for an identified one save the scene itself.")
        if self.scene and self.leave_head_out:
            return _("A scene copy shows the head; leave the head in, or the scene copy out.")
        if self.node and facts.demonstration and not sent_objects(self, facts):
            return _("The risk of a simulated model is never sent to a node; choose masks or measurements.")
        return ""


def sent_objects(choices: ExportChoices, facts: ExportFacts) -> list[str]:
    """The chosen objects that would go to a node: of a demonstration model none with its risk."""
    if not facts.demonstration:
        return list(choices.objects)
    return [each for each in choices.objects if each == "seg" or (each == "sr" and facts.measured)]


def describe_identity(identity: str, facts: ExportFacts) -> str:
    """What a choice of identity means."""
    if identity == IDENTIFIED:
        return _("Name, number, birth date and study stand in every file. The DICOM objects join the patient's study.")
    if identity == PSEUDONYM:
        return _(
            "The code stands in every file, with sex and age; no dates of the examination. Objects are a new study."
        )
    text = _("No name, number or date of the examination is in any file. Objects are a new study of nobody.")
    if not facts.dicom:
        text += " " + _("The images are not DICOM, so they do not say whose they are.")
    return text


def describe_objects(facts: ExportFacts) -> str:
    """Which DICOM objects there cannot be, and why."""
    said = []
    if not facts.dicom:
        said.append(_("The CT is not DICOM, so masks, reports and heatmap have no images to refer to."))
    elif not facts.heatmap:
        said.append(_("There is no heatmap; explain the score first."))
    if facts.dicom and not facts.measured:
        said.append(_("There are no measurements, so there is no report of them."))
    return " ".join(said)


def describe_export(choices: ExportChoices, facts: ExportFacts, node_title: str) -> str:
    """What will be written and sent, and what to know of it."""
    titles = {
        "html": _("report.html"),
        "pdf": _("report.pdf"),
        "json": _("report.json"),
        "csv": _("report.csv"),
    }
    objects = {
        "seg": _("masks"),
        "sr": _("measurements and risk"),
        "pm": _("heatmap"),
        "pdf": _("report"),
        "sc": _("key images"),
    }
    lines = []
    if choices.to_folder:
        data = {
            "volumes": _("volumes"),
            "tables": _("measurements"),
            "record": _("record and pictures"),
            "scene": _("scene without names"),
        }
        what = [titles[each] for each in choices.formats] + [data[each] for each in choices.data]
        if choices.objects:
            named = ", ".join(objects[each] for each in choices.objects)
            what.append(_("DICOM ({objects})").format(objects=named))
        lines.append(_("Written: {what}.").format(what=", ".join(what)) if what else "")
    if choices.node:
        if facts.demonstration:
            objects["sr"] = _("measurements")
        named = ", ".join(objects[each] for each in sent_objects(choices, facts))
        whom = {
            NONE: _("naming nobody"),
            PSEUDONYM: _("under a pseudonym"),
            IDENTIFIED: _("with the patient's name and number"),
        }[choices.identity]
        if named:
            lines.append(_("Sent to {node}: {objects}, {whom}.").format(node=node_title, objects=named, whom=whom))
        if facts.demonstration:
            lines.append(_("Of a simulated model only masks and measurements are sent; its risk stays here."))
    drawn = {"html", "pdf", "volumes", "record", "scene"} & {*choices.formats, *choices.data}
    if (drawn or choices.objects) and not choices.leave_head_out and choices.identity != IDENTIFIED:
        lines.append(_("Pictures and volumes may show the head; a patient may be recognised by the face."))
    return "\n".join(line for line in lines if line)


def describe_done(result: dict[str, Any]) -> str:
    """What an export wrote, left out and sent, in lines."""
    lines = []
    if result.get("folder"):
        files = [str(each) for each in result.get("files") or []]
        objects = sum(each.startswith("dicom/") and each.endswith(".dcm") for each in files)
        what = [each for each in files if "/" not in each]
        if objects:
            what.append(_("DICOM objects: {count}").format(count=objects))
        lines.append(_("Written into {folder}: {what}.").format(folder=result["folder"], what=", ".join(what)))
    sent = result.get("sent")
    if sent:
        lines.append(str(sent["sentence"]))
    lines += [str(each) for each in result.get("left_out") or []]
    lines += [str(each) for each in result.get("notes") or []]
    return "\n".join(lines)
