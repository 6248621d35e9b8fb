"""Installing what the worker needs: the plan, one question, every way it can fail, the check, the repair, the panel."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class FakeTools:
    """A Slicer whose packages are a set of names; every call is written down."""

    def __init__(self, modules: types.SimpleNamespace, installed: Sequence[str] = ()) -> None:
        self._modules = modules
        self.installed = set(installed)
        self.calls: list[tuple[Any, ...]] = []
        self.broken: dict[str, str] = {}
        self.torch_utils = True
        self.extension_works_at_once = False
        self.suitable = True
        self.packaging = True
        self.fails: str | None = None

    def can_install(self) -> bool:
        return self.packaging

    def has_torch_utils(self) -> bool:
        return self.torch_utils

    def missing(self) -> list[Any]:
        needed = (self._modules.requirements.TORCH, *self._modules.requirements.PACKAGES)
        return [package for package in needed if package.name not in self.installed]

    def unsuitable_shipped(self) -> list[Any]:
        return [] if self.suitable else [self._modules.requirements.SHIPPED[-1]]

    def install_extension(self, name: str) -> None:
        self._do("extension", name)
        self.torch_utils = self.extension_works_at_once

    def install_torch(self, versions: str, *, afresh: bool) -> None:
        self._do("torch", versions, afresh)
        self.installed.add("torch")
        self.broken.pop("torch", None)

    def install(self, requirements: Sequence[str], skipped: Sequence[str], wheels: Path | None) -> None:
        self._do("install", tuple(requirements), tuple(skipped), wheels)
        self.installed |= {re.split("[<>=]", each)[0] for each in requirements}

    def reinstall(self, requirements: Sequence[str], wheels: Path | None) -> None:
        self._do("reinstall", tuple(requirements), wheels)
        for each in requirements:
            self.broken.pop(re.split("[<>=]", each)[0], None)

    def check_imports(self, packages: Sequence[Any]) -> Any:
        self._do("check", len(packages))
        return self._modules.import_check.ImportReport(dict(self.broken))

    def _do(self, *call: Any) -> None:
        self.calls.append(call)
        if self.fails == call[0]:
            raise self._modules.installing.InstallationFailed("no room on the disk.")

    @property
    def done(self) -> list[str]:
        return [call[0] for call in self.calls]


class FakeWorker:
    """A worker that writes down what it is asked."""

    def __init__(self) -> None:
        self.busy = False
        self.calls: list[Any] = []

    def submit(self, job: str, parameters: Any, listener: Any, *, background: bool = False) -> None:
        self.calls.append((job, parameters, background))

    def cancel(self) -> None:
        self.calls.append("cancel")

    def cancel_background(self) -> None:
        self.calls.append("cancel_background")

    def close(self) -> None:
        self.calls.append("close")


@contextmanager
def when_shown(application: Any, kind: type, act: Callable[[Any], None]) -> Iterator[None]:
    """Do something with the first dialog of a class that opens meanwhile."""
    import qt

    def look() -> None:
        shown = [each for each in application.topLevelWidgets() if isinstance(each, kind) and each.isVisible()]
        if shown:
            timer.stop()
            act(shown[0])

    timer = qt.QTimer()
    timer.timeout.connect(look)
    timer.start(20)
    yield
    timer.stop()


@pytest.fixture
def modules(application: Any) -> types.SimpleNamespace:
    """The module's files, imported the way that the module does."""
    folder = str(ROOT / "MemorySurvival")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    names = (
        "requirements",
        "import_check",
        "installing",
        "install_tools",
        "install_panel",
        "install_gate",
        "process_dialog",
        "errors",
    )
    return types.SimpleNamespace(**{name: importlib.import_module(f"MemorySurvivalPanels.{name}") for name in names})


@pytest.fixture
def tools(modules: types.SimpleNamespace) -> FakeTools:
    """A Slicer that has the extension and none of the packages."""
    return FakeTools(modules)


def all_names(modules: types.SimpleNamespace) -> set[str]:
    return {"torch", *(package.name for package in modules.requirements.PACKAGES)}


def refuse(plan: Any) -> bool:
    raise AssertionError("nothing should have been asked")


def sentence_of(modules: types.SimpleNamespace, work: Any) -> str:
    """The one sentence with which it fails."""
    with pytest.raises(modules.errors.UserError) as caught:
        work()
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_the_table_is_what_the_project_needs(modules: types.SimpleNamespace) -> None:
    """Every runtime dependency of pyproject.toml is shipped or installed, in the versions that it names."""
    requirements = modules.requirements
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needed = (*project["dependencies"], *project["optional-dependencies"]["export"])
    wanted = dict(re.fullmatch(r"([\w.-]+)(.*)", each).groups() for each in needed)
    table = {each.name: each.versions for each in (requirements.TORCH, *requirements.PACKAGES, *requirements.SHIPPED)}
    for name, versions in wanted.items():
        assert versions in table[name], name
    shipped = {each.name for each in requirements.SHIPPED}
    assert shipped <= set(requirements.SKIPPED)
    assert not shipped & {each.name for each in requirements.PACKAGES}
    assert f'"sam2=={table["sam2"].removeprefix("==")}"' in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_packages_need_is_in_the_table_too(modules: types.SimpleNamespace) -> None:
    """A package that is needed only by another would stay missing where the other is there already."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    requirements = modules.requirements
    known = {canonicalize_name(each.name) for each in requirements.PACKAGES}
    known |= {canonicalize_name(name) for name in requirements.SKIPPED}
    for package in requirements.PACKAGES:
        for each in map(Requirement, requires(package.name) or []):
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                assert canonicalize_name(each.name) in known, f"{package.name} needs {each.name}"


def test_missing_packages_are_found_without_importing(modules: types.SimpleNamespace, monkeypatch: Any) -> None:
    requirements = modules.requirements
    versions = {"torch": "2.1.0", "sam2": "1.1.0", "omegaconf": "2.4.0", "hydra-core": "1.3.2.dev1"}
    monkeypatch.setattr(requirements, "installed_version", versions.get)
    missing = [package.name for package in requirements.missing_requirements()]
    assert missing[0] == "torch"  # too old
    assert "sam2" not in missing
    assert {"omegaconf", "hydra-core", "msgspec"} <= set(missing)  # too new, a version before, not there
    monkeypatch.setattr(requirements, "installed_version", lambda name: "2.14.0+cu130")
    assert "torch" not in [package.name for package in requirements.missing_requirements()]


def test_nothing_is_asked_where_all_is_there(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.installed = all_names(modules)
    modules.installing.Installer(tools).ensure(refuse)
    assert tools.calls == []


def test_first_use_asks_once_and_installs_torch_first(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    asked, told = [], []
    installer = modules.installing.Installer(tools)
    installer.tell = told.append
    installer.ensure(lambda plan: not asked.append(plan))
    assert len(asked) == 1
    assert tools.done == ["torch", "install", "check"]
    assert tools.calls[0][1:] == (">=2.5.1", False)
    _install, wanted, skipped, wheels = tools.calls[1]
    assert wanted[0] == "sam2==1.1.0"
    assert not [each for each in wanted if each.startswith(("torch", "numpy", "pydicom"))]
    assert {"torch", "torchvision", "numpy", "SimpleITK", "pydicom", "highdicom"} <= set(skipped)
    assert wheels is None
    assert told[-1] == "Everything is installed and can be imported."
    assert len(told) == 4
    lines = modules.installing.describe_plan(asked[0])
    assert len(lines) == 2
    assert "700 MB" in lines[0]
    assert "sam2, hydra-core" in lines[1]
    assert re.search(r"about 8\d MB", lines[1])


def test_declining_installs_nothing(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    installer = modules.installing.Installer(tools)
    text = sentence_of(modules, lambda: installer.ensure(lambda plan: False))
    assert text.startswith("Nothing was installed")
    assert tools.calls == []
    assert not installer.ready


def test_the_extension_comes_first_and_needs_a_restart(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.torch_utils = False
    asked: list[Any] = []
    installer = modules.installing.Installer(tools)
    text = sentence_of(modules, lambda: installer.ensure(lambda plan: not asked.append(plan)))
    assert tools.calls == [("extension", "PyTorch")]
    assert "restart" in text
    assert "restarted" in modules.installing.describe_plan(asked[0])[0]
    tools.extension_works_at_once = True
    installer.ensure(lambda plan: True)
    assert installer.ready


def test_an_old_slicer(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.packaging = False
    installer = modules.installing.Installer(tools)
    assert "5.12" in sentence_of(modules, lambda: installer.ensure(refuse))
    tools.packaging, tools.suitable = True, False
    assert "dicomweb-client>=0.59" in sentence_of(modules, lambda: installer.ensure(refuse))
    assert "5.12" in sentence_of(modules, installer.check)


@pytest.mark.parametrize("step", ["extension", "torch", "install", "check"])
def test_a_step_fails(modules: types.SimpleNamespace, tools: FakeTools, step: str) -> None:
    tools.torch_utils = step != "extension"
    tools.fails = step
    installer = modules.installing.Installer(tools)
    text = sentence_of(modules, lambda: installer.ensure(lambda plan: True))
    assert "no room on the disk" in text
    assert tools.done[-1] == step
    tools.fails, tools.extension_works_at_once = None, True
    installer.ensure(lambda plan: True)  # a second try goes on from there
    assert installer.ready


def test_pip_says_yes_and_a_package_is_still_missing(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    """slicer.packaging goes on with a warning where something that a package needs cannot be installed."""
    tools.install = lambda requirements, skipped, wheels: tools.installed.update(all_names(modules) - {"iopath"})
    installer = modules.installing.Installer(tools)
    assert "could not be installed: iopath" in sentence_of(modules, lambda: installer.ensure(lambda plan: True))


def test_what_was_installed_cannot_be_imported(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.broken = {"sam2": "ImportError: no such symbol"}
    installer = modules.installing.Installer(tools)
    text = sentence_of(modules, lambda: installer.ensure(lambda plan: True))
    assert text.startswith("sam2 is installed but cannot be imported (ImportError: no such symbol)")


def test_repair_installs_again_what_is_broken(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.installed = all_names(modules)
    installer = modules.installing.Installer(tools)
    assert installer.repair(refuse) == "Everything is installed and can be imported."
    tools.broken = {"msgspec": "ImportError: x"}
    asked: list[Any] = []
    assert installer.repair(lambda plan: not asked.append(plan)) == "Everything is installed and can be imported."
    assert [each.name for each in asked[0].packages] == ["msgspec"]
    assert tools.calls[-2:] == [("reinstall", ("msgspec>=0.19",), None), ("check", tools.calls[-1][1])]


def test_repair_of_torch_alone_where_the_rest_fails_for_it(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.installed = all_names(modules)
    tools.broken = {"torch": "OSError: libtorch", "sam2": "ImportError: cannot import torch"}
    installer = modules.installing.Installer(tools)
    text = sentence_of(modules, lambda: installer.repair(lambda plan: True))
    assert ("torch", ">=2.5.1", True) in tools.calls
    assert "reinstall" not in tools.done
    assert text.startswith("sam2 is installed but")  # the fake's sam2 stays broken: the check after it says so


def test_repair_of_what_slicer_ships_is_not_tried(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    tools.installed = all_names(modules)
    tools.broken = {"numpy": "ImportError: x"}
    installer = modules.installing.Installer(tools)
    assert "install Slicer again" in sentence_of(modules, lambda: installer.repair(refuse))
    assert tools.done == ["check"]


def test_without_internet(modules: types.SimpleNamespace, tools: FakeTools, tmp_path: Path) -> None:
    """The user's own wheels, torch too: the extension's installer always asks PyTorch's server."""
    folder = tmp_path / "wheels of mine"
    installer = modules.installing.Installer(tools)
    installer.wheels = folder
    assert "is not there" in sentence_of(modules, lambda: installer.ensure(refuse))
    folder.mkdir()
    assert "torch-*.whl" in sentence_of(modules, lambda: installer.ensure(refuse))
    (folder / "torch-2.13.0-cp312-cp312-win_amd64.whl").touch()
    tools.torch_utils = False  # not needed here
    asked: list[Any] = []
    installer.ensure(lambda plan: not asked.append(plan))
    assert tools.done == ["install", "install", "check"]
    assert tools.calls[0][1] == ("torch>=2.5.1",)
    assert "torch" not in tools.calls[0][2]
    assert {call[-1] for call in tools.calls[:2]} == {folder}
    assert "from your folder" in modules.installing.describe_plan(asked[0])[0]


def test_no_second_installation_meanwhile(modules: types.SimpleNamespace, tools: FakeTools) -> None:
    """Slicer's own dialogs run the event loop: a click may come in the middle."""
    installer = modules.installing.Installer(tools)
    said = []
    work = tools.install

    def click_again(*arguments: Any) -> None:
        said.append(sentence_of(modules, lambda: installer.repair(refuse)))
        work(*arguments)

    tools.install = click_again
    installer.ensure(lambda plan: True)
    assert said == ["An installation is under way; wait until it is over."]


def test_import_check_in_a_process_of_its_own(
    modules: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = modules.requirements.Package
    (tmp_path / "talks.py").write_text("print('hello'); print('[1]')", encoding="utf-8")
    (tmp_path / "fails.py").write_text("raise OSError('two\\nlines')", encoding="utf-8")
    (tmp_path / "dies.py").write_text("import os; os._exit(9)", encoding="utf-8")
    packages = [package(name, name, 1) for name in ("talks", "fails", "absent", "dies", "json")]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = modules.install_tools.SlicerTools().check_imports(packages)
    assert report.problems == {
        "fails": "OSError: two",
        "absent": "ModuleNotFoundError: No module named 'absent'",
        "dies": "Python ended with exit code 9",
    }
    assert not report.fine
    with pytest.raises(modules.process_dialog.ProcessGivenUp, match="cannot be started"):
        modules.process_dialog.run_python([], "Checking…", "/no/such/program")


def test_cancelling_the_check(modules: types.SimpleNamespace, application: Any) -> None:
    import qt

    with (
        when_shown(application, qt.QProgressDialog, lambda dialog: dialog.cancel()),
        pytest.raises(modules.process_dialog.ProcessGivenUp, match="cancelled"),
    ):
        modules.process_dialog.run_python(["-c", "import time; time.sleep(60)"], "Checking…")


@pytest.fixture
def packaging(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A slicer.packaging that writes down what it was asked for, and the settings at that time."""
    calls: list[dict[str, Any]] = []

    def pip_install(requirements: Any, skip_packages: Any = None, requester: Any = None) -> None:
        settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SAM2_"))}
        calls.append({"requirements": requirements, "skip": skip_packages, "settings": settings})
        if requirements == ["fails"]:
            raise subprocess.CalledProcessError(1, "pip install")

    module = types.ModuleType("slicer.packaging")
    module.pip_install = pip_install
    module.__spec__ = importlib.machinery.ModuleSpec("slicer.packaging", None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return calls


def test_pip_is_set_up_and_left_as_it_was(
    modules: types.SimpleNamespace, packaging: list[dict[str, Any]], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "mine")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    before = dict(os.environ)
    tools = modules.install_tools.SlicerTools()
    assert tools.can_install()
    folder = tmp_path / "with a space"
    folder.mkdir()
    tools.install(["sam2==1.1.0"], ["torch"], folder)
    assert packaging[0]["requirements"] == ["sam2==1.1.0"]
    assert packaging[0]["skip"] == ["torch"]
    assert packaging[0]["settings"]["PIP_FIND_LINKS"] == folder.as_uri()
    assert packaging[0]["settings"]["PIP_NO_INDEX"] == "1"
    assert packaging[0]["settings"]["PIP_NO_BUILD_ISOLATION"] == "0"
    assert packaging[0]["settings"]["SAM2_BUILD_CUDA"] == "0"
    tools.reinstall(["msgspec>=0.19"], None)
    assert packaging[1]["requirements"][:3] == ["msgspec>=0.19", "--force-reinstall", "--no-deps"]
    assert packaging[1]["settings"]["PIP_FIND_LINKS"] == "mine"
    with pytest.raises(modules.installing.InstallationFailed, match="exit code 1"):
        tools.install(["fails"], [], None)
    assert dict(os.environ) == before


def test_torch_goes_through_the_extension(modules: types.SimpleNamespace, monkeypatch: Any) -> None:
    calls: list[Any] = []

    class PyTorchUtilsLogic:
        answer: Any = object()

        def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> Any:
            calls.append((askConfirmation, torchVersionRequirement))
            return self.answer

        def uninstallTorch(self) -> None:
            calls.append("uninstall")

    tools = modules.install_tools.SlicerTools()
    assert not tools.has_torch_utils()
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    module.__spec__ = importlib.machinery.ModuleSpec("PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    assert tools.has_torch_utils()
    tools.install_torch(">=2.5.1", afresh=False)
    tools.install_torch(">=2.5.1", afresh=True)
    assert calls == [(False, ">=2.5.1"), "uninstall", (False, ">=2.5.1")]
    PyTorchUtilsLogic.answer = None
    with pytest.raises(modules.installing.InstallationFailed):
        tools.install_torch("", afresh=False)


def test_the_extensions_manager(modules: types.SimpleNamespace, monkeypatch: Any) -> None:
    import slicer

    tools = modules.install_tools.SlicerTools()
    calls: list[Any] = []
    manager = types.SimpleNamespace(installExtensionFromServer=lambda *given: not calls.append(given))
    app = types.SimpleNamespace(extensionsManagerModel=lambda: manager, translate=lambda context, text: text)
    monkeypatch.setattr(slicer, "app", app)
    tools.install_extension("PyTorch")
    assert calls == [("PyTorch", False)]
    manager.installExtensionFromServer = lambda *given: False
    with pytest.raises(modules.installing.InstallationFailed, match="server"):
        tools.install_extension("PyTorch")
    del app.extensionsManagerModel
    with pytest.raises(modules.installing.InstallationFailed, match="Extensions Manager"):
        tools.install_extension("PyTorch")


@pytest.fixture
def section(modules: types.SimpleNamespace, tools: FakeTools, slot_errors: Any) -> types.SimpleNamespace:
    """The section of the panel over a fake Slicer; the question is answered with `answer`."""
    import slicer

    widget = slicer.util.loadUI(str(ROOT / "Resources" / "UI" / "Install.ui"))
    ui = slicer.util.childWidgetVariables(widget)
    answer = types.SimpleNamespace(yes=True, plans=[])

    def ask(plan: Any) -> bool:
        answer.plans.append(plan)
        return answer.yes

    worker = FakeWorker()
    desk = types.SimpleNamespace(ui=ui, worker=lambda: worker)
    came: list[str] = []
    shown = modules.install_panel.InstallPanel(
        desk, lambda: came.append("installed"), modules.installing.Installer(tools), ask
    )
    return types.SimpleNamespace(widget=widget, ui=ui, panel=shown, answer=answer, worker=worker, came=came)


def test_the_section_installs_and_repairs(section: Any, tools: FakeTools, modules: types.SimpleNamespace) -> None:
    assert "missing" in section.ui.installLabel.text
    assert not section.ui.installSection.collapsed
    section.answer.yes = False
    section.ui.installButton.click()
    assert section.ui.installLabel.text.startswith("Nothing was installed")
    assert section.ui.installButton.enabled
    assert section.panel.ensure() == section.ui.installLabel.text
    assert section.came == []
    section.answer.yes = True
    assert section.panel.ensure() is None
    assert section.came == ["installed"]
    assert section.ui.installLabel.text == "Everything is installed and can be imported."
    assert not section.ui.installButton.enabled
    asked = len(section.answer.plans)
    assert section.panel.ensure() is None
    assert len(section.answer.plans) == asked
    tools.broken = {"jinja2": "ImportError: x"}
    section.ui.repairButton.click()
    assert "reinstall" in tools.done
    assert section.ui.repairButton.enabled
    assert section.ui.installLabel.text == "Everything is installed and can be imported."
    assert section.worker.calls[-2:] == ["cancel_background", "close"]  # a warm one has the old packages in it


def test_nothing_is_installed_under_a_running_job(section: Any, tools: FakeTools) -> None:
    section.worker.busy = True
    section.ui.installButton.click()
    assert "under way" in section.ui.installLabel.text
    assert tools.calls == []
    assert section.worker.calls == []
    assert section.ui.installButton.enabled


def test_the_gate_asks_only_for_what_a_person_asked_for(
    section: Any, tools: FakeTools, modules: types.SimpleNamespace
) -> None:
    gate = modules.install_gate.InstallGate(section.worker, section.panel)
    failed: list[Any] = []
    listener = types.SimpleNamespace(job_failed=failed.append)
    gate.submit("bundles", {}, listener)
    gate.submit("mip", {}, listener, background=True)
    assert [each.kind for each in failed] == ["NotInstalled", "NotInstalled"]
    assert section.answer.plans == []
    section.answer.yes = False
    gate.submit("score", {}, listener)
    assert failed[-1].sentence.startswith("Nothing was installed")
    assert not [call for call in section.worker.calls if isinstance(call, tuple)]
    section.answer.yes = True
    gate.submit("explain", {"a": 1}, listener, background=True)
    gate.submit("bundles", {}, listener)
    assert len(failed) == 3
    assert section.worker.calls[-2:] == [("explain", {"a": 1}, True), ("bundles", {}, False)]
    gate.cancel()
    gate.cancel_background()
    gate.close()
    assert section.worker.calls[-3:] == ["cancel", "cancel_background", "close"]
    assert gate.busy is False


def test_the_gate_knows_the_workers_jobs(modules: types.SimpleNamespace) -> None:
    from MemorySurvivalLib.jobs import JOBS

    assert set(JOBS) >= modules.install_gate.ASKED_FOR


def test_the_section_takes_a_folder(section: Any, tools: FakeTools, tmp_path: Path) -> None:
    section.ui.wheelsSelector.currentPath = str(tmp_path)
    section.ui.installButton.click()
    assert "torch-*.whl" in section.ui.installLabel.text
    section.ui.wheelsSelector.currentPath = ""
    section.ui.installButton.click()
    assert tools.done[0] == "torch"


def test_every_control_explains_itself(section: Any) -> None:
    for name in ("installLabel", "wheelsSelector", "installButton", "repairButton"):
        assert getattr(section.ui, name).toolTip, name


@pytest.mark.parametrize("answer", [True, False])
def test_the_question_is_one_dialog(modules: types.SimpleNamespace, application: Any, answer: bool) -> None:
    import qt

    requirements, seen = modules.requirements, []

    def press(box: Any) -> None:
        seen.append(f"{box.text}\n{box.informativeText}")
        wanted = qt.QMessageBox.AcceptRole if answer else qt.QMessageBox.RejectRole
        next(each for each in box.buttons() if box.buttonRole(each) == wanted).click()

    plan = modules.installing.Plan((requirements.TORCH, *requirements.PACKAGES), needs_extension=True)
    with when_shown(application, qt.QMessageBox, press):
        assert modules.install_panel.ask_to_install(plan) is answer
    assert len(seen) == 1
    for part in ("extension PyTorch", "700 MB", "sam2", "downloaded", "nothing about a patient is sent"):
        assert part in seen[0]
