"""Sinks: how a report's body is written, and where it is sent."""

from .formats import FORMATS, Format
from .http import HttpSink, SinkLimits, Targets, TlsFiles, TlsFilesUnusable, judge_location

__all__ = [
    "FORMATS",
    "Format",
    "HttpSink",
    "SinkLimits",
    "Targets",
    "TlsFiles",
    "TlsFilesUnusable",
    "judge_location",
]
