"""The sink that posts to a URL."""

from .attempt import SinkLimits
from .names import judge_location
from .sink import HttpSink
from .targets import Targets
from .tls import TlsFiles, TlsFilesUnusable

__all__ = ["HttpSink", "SinkLimits", "Targets", "TlsFiles", "TlsFilesUnusable", "judge_location"]
