"""What goes round a gradient method, one file each; also the mapping of them by name."""

import sys

from unlearnbench.registry import PluginPackage

sys.modules[__name__].__class__ = PluginPackage
