"""Offline: settings that keep other libraries off the network, and from writing outside docsim's own cache.

Each is set by the module that imports the library, right before the import; importing docsim alone sets nothing. What
the libraries would do otherwise is listed in docs/privacy.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

__all__ = ["before_haystack", "before_keras", "before_matplotlib", "before_onnxruntime", "before_ray", "cache_folder"]


def cache_folder() -> Path:
    """Return the only folder outside indexes and outputs that docsim writes to; it may not exist yet.

    It is ``docsim`` in the user's cache folder: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on macOS and
    ``%LOCALAPPDATA%`` on Windows. For a user without a home folder, it is in the folder for temporary files.
    """
    if sys.platform == "darwin":
        base = Path(os.path.expanduser("~/Library/Caches"))  # noqa: PTH111  # Path.expanduser raises without a home
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local"))  # noqa: PTH111
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    return (base if base.is_absolute() else Path(tempfile.gettempdir())) / "docsim"


def before_onnxruntime() -> None:
    """Turn off the telemetry of ONNX Runtime, whatever the environment says. It has to be done before the import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def before_keras() -> None:
    """Keep Keras' settings out of the home folder, and huggingface-hub, which it may import, off the network."""
    os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a program that downloads in the same process may set it to 0
    os.environ.setdefault("DO_NOT_TRACK", "1")


def before_matplotlib() -> None:
    """Keep matplotlib's list of fonts in docsim's cache."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))


def before_haystack() -> None:
    """Keep Haystack from reporting what pipelines are made of, unless somebody has chosen; it reads this once."""
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")


def before_ray() -> None:
    """Turn off the usage reports of Ray, whatever the environment says; its processes inherit that.

    Clusters ask for a token, and what Ray's own code logs is left to its files, unless the environment says otherwise.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
