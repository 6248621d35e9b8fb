"""The Python packages that the worker needs beyond those that Slicer ships, and which of them are missing."""

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One package: what pip is asked for, what is imported, and how much room it takes.

    `requirement` is a PEP 508 text such as "sam2==1.1.0"; `megabytes` is the installed size, measured on Linux.
    """

    requirement: str
    module: str
    megabytes: float

    @property
    def name(self) -> str:
        """The name on PyPI."""
        end = next((index for index, sign in enumerate(self.requirement) if sign in "<>=!~[; "), len(self.requirement))
        return self.requirement[:end]

    @property
    def versions(self) -> str:
        """The accepted versions, such as ">=2.5.1"; empty where any will do."""
        return self.requirement[len(self.name) :]


TORCH = Package("torch>=2.5.1", "torch", 700)
"""Only ever installed through the PyTorch extension, which knows the graphics card; the size is without CUDA."""

# Packages that only others need are named too: pip_install walks down from a package only where it installs it, so what
# is missing below a package that is there would otherwise stay missing.
PACKAGES = (
    Package("sam2==1.1.0", "sam2.modeling.sam2_base", 0.6),
    Package("hydra-core>=1.3.2", "hydra", 0.5),
    Package("omegaconf>=2.3,<2.4", "omegaconf", 0.3),
    Package("antlr4-python3-runtime==4.9.*", "antlr4", 0.5),
    Package("PyYAML>=5.1", "yaml", 2.9),
    Package("iopath>=0.1.10", "iopath", 0.1),
    Package("portalocker", "portalocker", 0.5),
    Package("tqdm>=4.66", "tqdm", 0.2),
    Package("safetensors>=0.5", "safetensors.torch", 1.3),
    Package("msgspec>=0.19", "msgspec", 0.5),
    Package("jinja2>=3.1", "jinja2", 0.5),
    Package("MarkupSafe>=2.0", "markupsafe", 0.1),
    Package("matplotlib>=3.9", "matplotlib", 24.9),
    Package("contourpy>=1.0.1", "contourpy", 1.1),
    Package("cycler>=0.10", "cycler", 0.1),
    Package("fonttools>=4.28.2", "fontTools", 23.5),
    Package("kiwisolver>=1.3.1", "kiwisolver", 5.6),
    Package("platformdirs>=4", "platformdirs", 0.7),
    Package("reportlab>=4.4", "reportlab.platypus", 9.4),
    Package("pynetdicom>=3.0", "pynetdicom", 10.1),
    Package("matplotlib-fontja>=1.1", "matplotlib_fontja", 6.0),
)

SHIPPED = (
    Package("numpy>=2.0", "numpy", 0),
    Package("scipy>=1.13", "scipy.ndimage", 0),
    Package("SimpleITK>=2.4", "SimpleITK", 0),
    Package("pillow>=9.4", "PIL", 0),
    Package("pydicom>=3.0", "pydicom", 0),
    Package("highdicom>=0.27", "highdicom", 0),
    Package("dicomweb-client>=0.59", "dicomweb_client", 0),
)
"""What Slicer 5.12 ships: checked, never installed or replaced."""

SKIPPED = (
    *(package.name for package in SHIPPED),
    TORCH.name,
    "torchvision",  # sam2's metadata asks for it, and nothing here uses it
    "charset-normalizer",
    "packaging",
    "pyparsing",
    "python-dateutil",
    "six",
    "typing_extensions",
    "setuptools",
    "wheel",
    "pip",
)
"""What pip must leave alone although a package asks for it."""


def missing_requirements() -> list[Package]:
    """Packages to install, torch first; empty where all are there in an accepted version.

    Asks for the versions on disk alone, imports nothing, and takes some milliseconds.
    """
    return [package for package in (TORCH, *PACKAGES) if not is_installed(package)]


def is_installed(package: Package) -> bool:
    """Whether an accepted version is there, by what its metadata says."""
    from packaging.requirements import Requirement  # ships with Slicer

    version = installed_version(package.name)
    return version is not None and Requirement(package.requirement).specifier.contains(version, prereleases=True)


def installed_version(name: str) -> str | None:
    """The version on disk, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def unsuitable_shipped() -> list[Package]:
    """Packages that Slicer ought to ship and does not, or in too old a version."""
    return [package for package in SHIPPED if not is_installed(package)]
