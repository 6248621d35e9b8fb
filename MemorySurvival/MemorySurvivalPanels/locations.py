"""Where the library and the shipped files are, in a source tree and inside an installed Slicer."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError

LIBRARY = "MemorySurvivalLib"
PANELS = "MemorySurvivalPanels"
MODULE_FOLDER = Path(__file__).resolve().parents[1]


def library_root() -> Path:
    """The folder that holds MemorySurvivalLib.

    An installed extension keeps it beside MemorySurvival.py; a source tree keeps it one folder up.
    """
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / LIBRARY / "__init__.py").is_file():
            return folder
    raise UserError(
        _("The folder MemorySurvivalLib is missing beside {folder}; install the extension again.").format(
            folder=MODULE_FOLDER
        )
    )


def library_version() -> str:
    """The version that belongs to this panel, read from the file so that nothing has to be imported for it."""
    text = (library_root() / LIBRARY / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise UserError(_("MemorySurvivalLib does not state its version; install the extension again."))
    return found.group(1)


def import_library() -> ModuleType:
    """The library of this panel's own version; refuses another one that is already imported."""
    expected = library_version()
    if LIBRARY not in sys.modules and str(library_root()) not in sys.path:
        sys.path.insert(0, str(library_root()))
    library = importlib.import_module(LIBRARY)
    if library.__version__ != expected:
        raise UserError(
            _(
                "MemorySurvivalLib {loaded} from {place} is already loaded, but this panel needs {expected}; "
                "remove the other copy and restart Slicer."
            ).format(loaded=library.__version__, place=Path(library.__file__).parent, expected=expected)
        )
    return library


def locate_resource(name: str) -> Path:
    """Path of a shipped file such as "UI/MemorySurvival.ui"; one sentence where it is missing."""
    import_library()
    errors = importlib.import_module(f"{LIBRARY}.errors")
    resources = importlib.import_module(f"{LIBRARY}.resources")
    try:
        return resources.locate_resource(name)
    except errors.MemorySurvivalError as error:
        raise UserError(str(error)) from error


def shipped_bundles() -> list[str]:
    """Names of the model bundles that come with the extension."""
    return sorted(path.stem for path in locate_resource("Bundles").glob("*.msbundle"))


def purge_packages() -> None:
    """Forget both packages, so that Reload reads every file of them again."""
    for name in list(sys.modules):
        if name.partition(".")[0] in (LIBRARY, PANELS):
            del sys.modules[name]
