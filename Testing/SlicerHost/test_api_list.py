"""What the module, its .ui files and the host's stand-ins use of ctk, Slicer and Qt exists upstream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import api_uses
import collect_api
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "MemorySurvival").rglob("*.py"))
UI_FILES = sorted((ROOT / "Resources" / "UI").glob("*.ui"))
STAND_INS = sorted((ROOT / "Testing" / "SlicerHost" / "slicer_host").rglob("*.py"))
ADVICE = "not in api_allow_list.json (collect_api.py makes it), nor what tests drive a stand-in with (api_uses.py)"


@pytest.fixture(scope="module")
def widgets(application: Any) -> dict[str, str]:
    """Classes of the widgets by name; `application` because PySide6 is asked for its classes."""
    return api_uses.read_ui_files(UI_FILES)


def test_the_list_says_where_it_is_from() -> None:
    for name in ("slicer", "ctk"):
        assert re.fullmatch(r"[0-9a-f]{40}", api_uses.LIST[name]["revision"])
    assert set(collect_api.CLASSES) <= set(api_uses.CLASSES), "run collect_api.py again"


def test_the_module_uses_what_exists(widgets: dict[str, str]) -> None:
    checks = [api_uses.SourceCheck(path.name, path.read_text(encoding="utf-8"), widgets) for path in SOURCES]
    assert sum(check.looked_up for check in checks) > 150  # else it looks at nothing
    wrong = [each for check in checks for each in check.wrong]
    assert not wrong, "\n".join([ADVICE, *wrong])


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_ui_files_use_what_exists(widgets: dict[str, str], path: Path) -> None:
    assert not api_uses.wrong_in_ui_file(path)


def test_stand_ins_have_nothing_of_their_own(widgets: dict[str, str]) -> None:
    wrong = [each for path in STAND_INS for each in api_uses.wrong_in_stand_ins(path)]
    assert not wrong, "\n".join([ADVICE, *wrong])


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("ui.wheelsSelector.currentPth", "ctkPathLineEdit has no currentPth"),
        ("self._ui.wheelsSelector.currentPath()", "ctkPathLineEdit.currentPath is a property"),
        ("panel.ui.installButton.click = 3", "QPushButton.click is no property"),
        ("panel.ui.installButton.enabeld = True", "QPushButton has no enabeld"),
        ("b = ctk.ctkCollapsibleButton()\nb.colapsed = True", "ctkCollapsibleButton has no colapsed"),
        ("slicer.app.layoutManager().slicWidget('Red')", "qSlicerLayoutManager has no slicWidget"),
        ("slicer.app.extensionsManagerModel().installExtension2('x')", "has no installExtension2"),
        (
            "class A:\n def f(self):\n  self._c = slicer.qMRMLNodeComboBox()\n  self._c.nodeId",
            "qMRMLNodeComboBox has no",
        ),
        ("w = slicer.qMRMLUnheardOfWidget()", "no class qMRMLUnheardOfWidget"),
        ("ctk.ctkPathLineEdit.Dirz", "ctkPathLineEdit has no Dirz"),
        ("logic.registerCustomSampleDataSource(nodeName='x')", "has no parameter nodeName"),
        ("slicer.dicomDatabase.fileForInstances('x')", "ctkDICOMDatabase has no"),
    ],
)
def test_a_typo_is_found(widgets: dict[str, str], source: str, complaint: str) -> None:
    assert [each for each in api_uses.SourceCheck("a.py", source, widgets).wrong if complaint in each]


@pytest.mark.parametrize(
    "source",
    [
        "ui.wheelsSelector.currentPath = 'x'",
        "ui.installSection.text",  # of QAbstractButton
        "ctk.ctkPathLineEdit.Dirs | qt.Qt.AlignRight",
        "slicer.app.layoutManager().sliceWidget('Red').sliceView().scheduleRender()",
        "slicer.app.processEvents()",
        "ui.ctSelector.connect('currentNodeChanged(vtkMRMLNode*)', f)",
        "qt.QTimer.singleShot(0, f)",
        "something.else_.foo()",
    ],
)
def test_what_is_right_is_not_complained_of(widgets: dict[str, str], source: str) -> None:
    assert api_uses.SourceCheck("a.py", source, widgets).wrong == []


def test_a_wrong_ui_file_is_found(widgets: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.ui"
    path.write_text(
        '<ui><widget class="ctkPathLineEdit" name="a"><property name="filterz"/><property name="own" stdset="0"/>'
        '</widget><widget class="qMRMLUnheardOf" name="b"/><connections><connection><sender>a</sender>'
        "<signal>currentPathChanged(QString)</signal><receiver>a</receiver><slot>browsee()</slot></connection>"
        "</connections></ui>",
        encoding="utf-8",
    )
    assert api_uses.wrong_in_ui_file(path) == [
        "a.ui: a: ctkPathLineEdit has no property filterz",
        "a.ui: no class qMRMLUnheardOf; add it to collect_api.py",
        "a.ui: a has no slot browsee",
    ]


def test_a_wrong_stand_in_is_found(widgets: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "class ctkPathLineEdit:\n    currentPath = 1\n    pathNow = 2\n    def setCurrentPath(self): ...\n"
        "    def currentPathText(self): ...\n    def _own(self): ...\n",
        encoding="utf-8",
    )
    assert api_uses.wrong_in_stand_ins(path) == [
        "a.py:3: ctkPathLineEdit has no pathNow",
        "a.py:5: ctkPathLineEdit has no currentPathText",
    ]


HEADER = """
/** A comment: class qMine { */
class qOther;
#define MACRO(x) \\
  class qMine { x
class Q_EXPORT qMine : public qBase, public virtual Mixin
{
  Q_OBJECT
  QVTK_OBJECT
  Q_PROPERTY(QString title READ title WRITE setTitle NOTIFY titleChanged)
  Q_PROPERTY(bool open READ isOpen WRITE setOpen); // "http://not.a/comment {"
  Q_ENUM(Kind)
public:
  enum Kind { Small = 0x1, /* big */ Big };
  enum class Hidden { No };
  explicit qMine(QWidget* parent = nullptr);
  Q_INVOKABLE qOther* other(int which = 0) const { if (which) { return 0; } return 1; }
  Q_INVOKABLE virtual QList<int> numbers();
  void plain();
public slots:
  virtual void setTitle(const QString& title);
  void setOpen(bool open) override { this->Open = open; }
signals:
  void titleChanged(QString);
protected slots:
  void onTitle();
private:
  Q_DISABLE_COPY(qMine);
};
"""


def test_a_header_is_read_as_pythonqt_does() -> None:
    api = collect_api.parse_class(HEADER, "qMine")
    assert api is not None
    assert api.as_json() == {
        "bases": ["qBase", "Mixin"],
        "constants": ["Big", "Small"],
        "methods": {"numbers": "", "other": "qOther", "setOpen": "", "setTitle": ""},
        "properties": ["open", "title"],
        "signals": ["titleChanged"],
    }
    assert collect_api.parse_class(HEADER, "qOther") is None
