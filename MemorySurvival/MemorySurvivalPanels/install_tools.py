"""What the installer does with Slicer: slicer.packaging, the PyTorch extension, the extensions server, PythonSlicer."""

import importlib
import importlib.util
import inspect
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import requirements
from MemorySurvivalPanels.import_check import ImportReport, import_arguments, read_import_report
from MemorySurvivalPanels.installing import InstallationFailed
from MemorySurvivalPanels.process_dialog import ProcessGivenUp, run_python
from MemorySurvivalPanels.requirements import Package

_REQUESTER = "Memory Survival"


class SlicerTools:
    """An InstallTools for the Slicer that runs; imports nothing of what it installs into it, apart from PyTorch's own
    extension, which imports torch."""

    def can_install(self) -> bool:
        """Slicer 5.10 has a pip_install without skip_packages, and no slicer.packaging."""
        if importlib.util.find_spec("slicer.packaging") is None:
            return False
        return "skip_packages" in inspect.signature(_packaging().pip_install).parameters

    def has_torch_utils(self) -> bool:
        """Whether the module PyTorchUtils of the PyTorch extension can be imported."""
        return importlib.util.find_spec("PyTorchUtils") is not None

    def missing(self) -> list[Package]:
        """Packages to install."""
        importlib.invalidate_caches()
        return requirements.missing_requirements()

    def unsuitable_shipped(self) -> list[Package]:
        """Packages that Slicer ought to ship and does not."""
        return requirements.unsuitable_shipped()

    def install_extension(self, name: str) -> None:
        """Ask the extensions manager; it shows its own progress, and the restart is left to the user."""
        try:
            manager = slicer.app.extensionsManagerModel()
        except AttributeError as error:
            raise InstallationFailed(_("this Slicer has no Extensions Manager")) from error
        if not manager.installExtensionFromServer(name, False):
            raise InstallationFailed(_("the extensions server does not offer it or cannot be reached"))

    def install_torch(self, versions: str, *, afresh: bool) -> None:
        """PyTorchUtils picks the build that fits the graphics card; our own dialog has already asked."""
        module = importlib.import_module("PyTorchUtils")

        def work() -> None:
            logic = module.PyTorchUtilsLogic()
            if afresh:
                logic.uninstallTorch()
            if logic.installTorch(askConfirmation=False, torchVersionRequirement=versions) is None:
                raise InstallationFailed(_("its extension did not say why"))

        _run(work)

    def install(self, packages: Sequence[str], skipped: Sequence[str], wheels: Path | None) -> None:
        """Slicer shows a dialog with the progress; the question was ours."""
        with _pip_settings(wheels):
            _run(
                lambda: _packaging().pip_install(list(packages), skip_packages=list(skipped), requester=_REQUESTER),
            )

    def reinstall(self, packages: Sequence[str], wheels: Path | None) -> None:
        """Without what they need: that is there."""
        arguments = [*packages, "--force-reinstall", "--no-deps", "--no-cache-dir"]
        with _pip_settings(wheels):
            _run(lambda: _packaging().pip_install(arguments, requester=_REQUESTER))

    def check_imports(self, packages: Sequence[Package]) -> ImportReport:
        """In PythonSlicer, while a small dialog says so and Slicer goes on drawing."""
        try:
            ended = run_python(import_arguments(packages), _("Checking that every package can be imported…"))
        except ProcessGivenUp as error:
            raise InstallationFailed(str(error)) from error
        return read_import_report(packages, ended.output, ended.exit_code)


def _packaging() -> Any:
    return importlib.import_module("slicer.packaging")


def _run(work: Callable[[], Any]) -> None:
    """Do it, and turn what pip and PyTorchUtils raise into one reason."""
    try:
        work()
    except subprocess.CalledProcessError as error:
        raise InstallationFailed(_("pip ended with exit code {code}").format(code=error.returncode)) from error
    except (RuntimeError, ValueError, ImportError, OSError) as error:
        raise InstallationFailed(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


@contextmanager
def _pip_settings(wheels: Path | None) -> Iterator[None]:
    """Settings that pip reads from the environment, because skip_packages leaves no room for options.

    sam2 is built from its source: without isolation, else pip fetches another torch for the build alone ("0" switches
    the isolation off), and without its CUDA extension, which nothing here uses. A folder goes in as an address, because
    pip splits the value at spaces.
    """
    settings = {"PIP_NO_BUILD_ISOLATION": "0", "SAM2_BUILD_CUDA": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if wheels is not None:
        settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.resolve().as_uri()}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
