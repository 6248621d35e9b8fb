"""Installing what the worker needs: what is missing, the one question, the installation, the check, the repair."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.import_check import ImportReport
from MemorySurvivalPanels.requirements import PACKAGES, SHIPPED, SKIPPED, TORCH, Package

PYTORCH_EXTENSION = "PyTorch"


class InstallationFailed(Exception):
    """A tool could not do it; the text says why, in whatever words the tool has."""


class InstallTools(Protocol):
    """What the installer needs of Slicer; each function raises InstallationFailed where it cannot do it."""

    def can_install(self) -> bool:
        """Whether this Slicer has slicer.packaging with skip_packages."""

    def has_torch_utils(self) -> bool:
        """Whether the PyTorch extension is there."""

    def missing(self) -> list[Package]:
        """Packages to install."""

    def unsuitable_shipped(self) -> list[Package]:
        """Packages that Slicer ought to ship and does not."""

    def install_extension(self, name: str) -> None:
        """Get an extension from the extensions server; it is there after a restart of Slicer."""

    def install_torch(self, versions: str, *, afresh: bool) -> None:
        """Install torch through the PyTorch extension; `afresh` removes what is there first."""

    def install(self, requirements: Sequence[str], skipped: Sequence[str], wheels: Path | None) -> None:
        """Install packages with what they need, except `skipped`; from a folder of wheels alone where one is given."""

    def reinstall(self, requirements: Sequence[str], wheels: Path | None) -> None:
        """Install these packages anew and nothing else."""

    def check_imports(self, packages: Sequence[Package]) -> ImportReport:
        """Import the packages in a process of their own."""


@dataclass(frozen=True)
class Plan:
    """What one question asks about: the packages, whether the PyTorch extension comes first, where the wheels are."""

    packages: tuple[Package, ...]
    needs_extension: bool
    wheels: Path | None = None
    repair: bool = False

    @property
    def needs_torch(self) -> bool:
        """Whether torch is among the packages."""
        return TORCH in self.packages

    @property
    def others(self) -> tuple[Package, ...]:
        """The packages without torch."""
        return tuple(package for package in self.packages if package != TORCH)

    @property
    def megabytes(self) -> float:
        """The room that all of it takes."""
        return sum(package.megabytes for package in self.packages)


Ask = Callable[[Plan], bool]
Tell = Callable[[str], None]


class Installer:
    """Brings the packages in, after asking once.

    `tell` is given a sentence at every step. `wheels` is a folder to take everything from, without internet.
    """

    def __init__(self, tools: InstallTools) -> None:
        self._tools = tools
        self.tell: Tell = lambda _text: None
        self._busy = False
        self._was_ready = False
        self.wheels: Path | None = None

    @property
    def ready(self) -> bool:
        """Whether all packages are there, by what their metadata says; asked of the disk until it is so."""
        self._was_ready = self._was_ready or not self._tools.missing()
        return self._was_ready

    def ensure(self, ask: Ask) -> None:
        """Return when the packages are there: at once where nothing is missing, else after asking and installing.

        Raises UserError with one sentence where the user declines, Slicer is too old, the PyTorch extension is missing,
        an installation fails, or what was installed cannot be imported.
        """
        missing = self._tools.missing()
        if missing:
            self._in_turn(lambda: self._install(self._plan(missing), ask))

    def repair(self, ask: Ask) -> str:
        """Install what is missing, install again what cannot be imported, and say in one sentence how it stands.

        Raises UserError as `ensure` does. Nothing is asked where nothing is amiss.
        """
        return self._in_turn(lambda: self._repair(ask))

    def check(self) -> str:
        """Import everything in a process of its own and say how it stands. Raises UserError where it does not stand."""
        return self._in_turn(self._check)

    def _in_turn(self, work: Callable[[], str]) -> str:
        """The dialogs of an installation let the user click elsewhere; a second one must not begin."""
        if self._busy:
            raise UserError(_("An installation is under way; wait until it is over."))
        self._busy = True
        self._was_ready = False
        try:
            return work()
        finally:
            self._busy = False

    def _plan(self, packages: Sequence[Package], *, repair: bool = False) -> Plan:
        if not self._tools.can_install():
            raise UserError(
                _("This Slicer cannot install Python packages as this module needs it; use Slicer 5.12 or newer.")
            )
        self._refuse_unsuitable_slicer()
        if self.wheels is not None and not self.wheels.is_dir():
            raise UserError(
                _("The folder {folder} is not there; choose the folder with the wheels.").format(folder=self.wheels)
            )
        if self.wheels is None:
            needs_extension = TORCH in packages and not self._tools.has_torch_utils()
            return Plan(tuple(packages), needs_extension, repair=repair)
        if TORCH in packages and not any(self.wheels.glob("torch-*.whl")):
            raise UserError(
                _("The folder {folder} has no wheel of PyTorch (torch-*.whl); put one into it.").format(
                    folder=self.wheels
                )
            )
        return Plan(tuple(packages), False, self.wheels, repair)

    def _refuse_unsuitable_slicer(self) -> None:
        unsuitable = self._tools.unsuitable_shipped()
        if unsuitable:
            names = ", ".join(package.requirement for package in unsuitable)
            raise UserError(
                _("Slicer's own Python lacks {packages}; install Slicer 5.12 or newer.").format(packages=names)
            )

    def _install(self, plan: Plan, ask: Ask) -> str:
        if not ask(plan):
            raise UserError(
                _("Nothing was installed; scoring and masks wait until you press Install under Installation.")
            )
        if plan.needs_extension:
            self._get_extension()
        if plan.needs_torch:
            self._install_torch(plan)
        missing = {package.name for package in self._tools.missing()}
        fresh = [package.requirement for package in plan.others if package.name in missing]
        broken = [package.requirement for package in plan.others if package.name not in missing and plan.repair]
        if fresh:
            self.tell(_("Installing {count} packages…").format(count=len(fresh)))
            self._try(_("The packages"), lambda: self._tools.install(fresh, SKIPPED, plan.wheels))
        if broken:
            self.tell(_("Installing again: {packages}…").format(packages=", ".join(broken)))
            self._try(_("The packages"), lambda: self._tools.reinstall(broken, plan.wheels))
        left = self._tools.missing()
        if left:
            raise self._told(
                _("These packages could not be installed: {packages}; the application log says why.").format(
                    packages=", ".join(package.name for package in left)
                )
            )
        return self._check()

    def _install_torch(self, plan: Plan) -> None:
        broken = plan.repair and TORCH.name not in {package.name for package in self._tools.missing()}
        if plan.wheels is None:
            self.tell(_("Installing PyTorch through its extension; this takes minutes…"))
            self._try(_("PyTorch"), lambda: self._tools.install_torch(TORCH.versions, afresh=broken))
            return
        # The extension's installer always asks PyTorch's own server, so offline the user's own wheel is taken instead.
        self.tell(_("Installing PyTorch from {folder}…").format(folder=plan.wheels))
        if broken:
            self._try(_("PyTorch"), lambda: self._tools.reinstall([TORCH.requirement], plan.wheels))
        else:
            skipped = [name for name in SKIPPED if name != TORCH.name]
            self._try(_("PyTorch"), lambda: self._tools.install([TORCH.requirement], skipped, plan.wheels))

    def _get_extension(self) -> None:
        self.tell(_("Getting the extension PyTorch…"))
        self._try(_("The extension PyTorch"), lambda: self._tools.install_extension(PYTORCH_EXTENSION))
        if not self._tools.has_torch_utils():
            raise self._told(
                _("The extension PyTorch is there after a restart of Slicer; restart it, then install again.")
            )

    def _repair(self, ask: Ask) -> str:
        self._refuse_unsuitable_slicer()
        missing = self._tools.missing()
        report = self._imports() if not missing else ImportReport({})
        shipped = [package.name for package in SHIPPED if package.name in report.problems]
        if shipped:
            raise self._told(
                _("{packages} came with Slicer and cannot be imported; install Slicer again.").format(
                    packages=", ".join(shipped)
                )
            )
        broken = [package for package in (TORCH, *PACKAGES) if package.name in report.problems]
        # A package that fails because torch does will work again with it.
        if TORCH in broken:
            broken = [package for package in broken if package == TORCH or _own_fault(report, package)]
        if missing or broken:
            return self._install(self._plan(missing or broken, repair=not missing), ask)
        return self._told_sentence(_fine_sentence())

    def _check(self) -> str:
        self._refuse_unsuitable_slicer()
        missing = self._tools.missing()
        if missing:
            raise self._told(
                _("{count} packages are missing: {packages}.").format(
                    count=len(missing), packages=", ".join(package.name for package in missing)
                )
            )
        report = self._imports()
        if not report.fine:
            name, reason = next(iter(report.problems.items()))
            raise self._told(
                _(
                    "{package} is installed but cannot be imported ({reason}); "
                    "press Check and repair under Installation."
                ).format(package=name, reason=reason)
            )
        return self._told_sentence(_fine_sentence())

    def _imports(self) -> ImportReport:
        self.tell(_("Checking that every package can be imported…"))
        try:
            return self._tools.check_imports((*SHIPPED, TORCH, *PACKAGES))
        except InstallationFailed as error:
            raise self._told(_("The packages were not checked: {reason}.").format(reason=error)) from error

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except InstallationFailed as error:
            reason = str(error).rstrip(".")
            raise self._told(
                _("{what} could not be installed ({reason}); the application log says more.").format(
                    what=what, reason=reason
                )
            ) from error

    def _told(self, sentence: str) -> UserError:
        self.tell(sentence)
        return UserError(sentence)

    def _told_sentence(self, sentence: str) -> str:
        self.tell(sentence)
        return sentence


def _fine_sentence() -> str:
    return _("Everything is installed and can be imported.")


def _own_fault(report: ImportReport, package: Package) -> bool:
    """Whether a package cannot be imported for another reason than torch."""
    return re.search(r"\btorch\b|exit code", report.problems[package.name]) is None


def describe_plan(plan: Plan) -> list[str]:
    """What is going to happen, a line each, with sizes."""
    lines = []
    if plan.needs_extension:
        lines.append(_("the Slicer extension PyTorch, from the extensions server; Slicer has to be restarted after it"))
    if plan.needs_torch:
        way = (
            _("PyTorch, from your folder: about {size} MB, several GB with support for NVIDIA graphics cards")
            if plan.wheels is not None
            else _("PyTorch, through the extension PyTorch: about {size} MB, several GB with an NVIDIA graphics card")
        )
        lines.append(way.format(size=round(TORCH.megabytes)))
    if plan.others:
        names = ", ".join(package.name for package in plan.others)
        size = max(1, round(sum(package.megabytes for package in plan.others)))
        lines.append(_("{names}: about {size} MB").format(names=names, size=size))
    return lines
