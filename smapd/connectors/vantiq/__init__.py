"""Sources of a Vantiq server, over its extension protocol; runs under plain ``asyncio.run()``."""

from .connection import VantiqSourceConnection
from .connectors import VantiqConnectorSet
from .crossing import Crossing, ThreadCrossing
from .errors import (
    ConnectFailed,
    LinkLost,
    SourceClosed,
    VantiqConnectorConfigException,
    VantiqConnectorException,
)
from .names import VantiqConnector, setup_logging
from .probe import Health
from .settings import Limits, VantiqSettings, read_server_config
from .states import (
    Closed,
    Connected,
    Connecting,
    Counters,
    Idle,
    Refused,
    SourceState,
    Waiting,
)

__all__ = [
    "Closed",
    "ConnectFailed",
    "Connected",
    "Connecting",
    "Counters",
    "Crossing",
    "Health",
    "Idle",
    "Limits",
    "LinkLost",
    "Refused",
    "SourceClosed",
    "SourceState",
    "ThreadCrossing",
    "VantiqConnector",
    "VantiqConnectorConfigException",
    "VantiqConnectorException",
    "VantiqConnectorSet",
    "VantiqSettings",
    "VantiqSourceConnection",
    "Waiting",
    "read_server_config",
    "setup_logging",
]
