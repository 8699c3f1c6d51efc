"""Attacks on unlearned models, one file each; the package is also the mapping of them by name."""

import sys

from unlearnbench.registry import PluginPackage

sys.modules[__name__].__class__ = PluginPackage
