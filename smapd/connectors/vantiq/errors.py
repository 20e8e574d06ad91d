"""What the connector raises; no message ever holds a token."""

from __future__ import annotations

from smapd.errors import SmapError


class VantiqConnectorException(SmapError, RuntimeError):
    """Something between the connector and the Vantiq server went wrong."""

    code = "vantiq"


class VantiqConnectorConfigException(VantiqConnectorException):
    """The connector's configuration is wrong, or its token was refused.

    Trying again does not help: somebody has to change a setting.
    """

    code = "vantiq_config"


class ConnectFailed(VantiqConnectorException):
    """The server could not be reached, or did not let the source in.

    It is tried again with backoff, unless ``failOnConnectionError`` is true.
    """

    code = "vantiq_connect"


class SourceClosed(VantiqConnectorException):
    """The source is closed; nothing is sent.

    Stop sending: it does not come back.
    """

    code = "vantiq_closed"


class LinkLost(VantiqConnectorException):
    """The connection ended; what was on its way may not have arrived.

    Send it again once the source is connected again.
    """

    code = "vantiq_lost"
