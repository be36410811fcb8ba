"""The packages whose versions decide what a stage makes."""

from functools import cache
from importlib.metadata import packages_distributions

from cxrflow.machine.packages import one_name
from cxrflow.stage.code_hash import imported_from_outside

# What computes behind a package that a module imports.
BEHIND = {
    "keras": ("tensorflow", "h5py"),
    "pydicom": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "scikit-learn": ("scipy",),
}


def packages_of(stage: str) -> frozenset[str]:
    """Packages, by name, that a stage's modules import, and those that compute behind them.

    Args:
        stage: module, such as "cxrflow.embed_features".
    """
    names = {name for module in imported_from_outside(stage) for name in _packages_by_module().get(module, ())}
    return frozenset(names.union(*(BEHIND.get(name, ()) for name in names)))


@cache
def _packages_by_module() -> dict[str, list[str]]:
    """Importable module to the names of the packages that bring it."""
    return {module: [one_name(name) for name in names] for module, names in packages_distributions().items()}
