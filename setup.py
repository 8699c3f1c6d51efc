"""Which folders are packages; everything else is said in pyproject.toml.

The plugin folders lie beside the package in a checkout and inside it in a wheel.
"""

from setuptools import find_packages, setup

PLUGINS = ("methods", "wrappers", "tasks", "attacks", "benchmarks", "reports")

setup(
    packages=[
        *find_packages(include=["unlearnbench", "unlearnbench.*"]),
        *(
            f"unlearnbench.{package}"
            for folder in PLUGINS
            for package in find_packages(include=[folder, f"{folder}.*"])
        ),
    ],
    package_dir={f"unlearnbench.{folder}": folder for folder in PLUGINS},
)
