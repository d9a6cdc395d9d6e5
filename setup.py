"""The package `catalog`, put together from the top-level folders.

The symbolic links in `catalog/` are for tools that know packages by their paths (mypy,
import-linter). Nothing is built through them: a checkout without links builds the same.
"""

from setuptools import find_namespace_packages, setup

BESIDE = ("ingest", "queries", "migrations")
FOLDERS = {"catalog": "catalog", **{f"catalog.{name}": name for name in BESIDE}}
NOT_PACKAGES = ["*__pycache__*", *BESIDE, *(f"{name}.*" for name in BESIDE)]

packages = list(FOLDERS)
for package, folder in FOLDERS.items():
    for name in find_namespace_packages(folder, exclude=NOT_PACKAGES):
        packages.append(f"{package}.{name}")

setup(packages=packages, package_dir=FOLDERS)
