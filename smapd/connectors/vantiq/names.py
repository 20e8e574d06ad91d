"""The constants of the connector's public face, and the optional set-up of logging."""

from __future__ import annotations

import configparser
import logging
import logging.config
from pathlib import Path
from typing import Final

from .errors import VantiqConnectorConfigException

LOGGER_FILE = "serverConfig/logger.ini"


def setup_logging() -> None:
    """Take the logging set-up from ``serverConfig/logger.ini``; without it, INFO goes to stderr.

    Never needed: everything works without. Loggers that exist stay as they are, and no file is
    written unless logger.ini names one.

    :raises VantiqConnectorConfigException: if there is a logger.ini that cannot be used.
    """
    file = Path(LOGGER_FILE)
    if not file.exists():
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s"
        )
        return
    try:
        logging.config.fileConfig(file, disable_existing_loggers=False, encoding="utf-8")
    # fileConfig lets through whatever its sections lack, and what their classes raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, configparser.Error) as error:
        why = " ".join(str(error).split())[:200]
        raise VantiqConnectorConfigException(
            f"{file.absolute()}: no logging set-up ({type(error).__name__}: {why}). Write it as "
            "Python's logging.config.fileConfig reads it, or remove the file."
        ) from error


class VantiqConnector:
    """Constants for handlers, answers and ``server.config``."""

    # an error answer to a query
    ERROR_CODE: Final = "messageCode"
    ERROR_TEMPLATE: Final = "messageTemplate"
    ERROR_PARAMETERS: Final = "parameters"

    # the context that a handler is given
    SOURCE_NAME: Final = "source_name"
    RESPONSE_ADDRESS: Final = "response_address"

    # the status of an answer
    QUERY_COMPLETE: Final = 200
    QUERY_EMPTY: Final = 204
    QUERY_PARTIAL: Final = 100
    QUERY_ERROR: Final = 400

    # properties of server.config
    SOURCES: Final = "sources"
    TARGET_SERVER: Final = "targetServer"
    AUTH_TOKEN: Final = "authToken"
    FIXED_RECONNECT_SECRET: Final = "reconnectSecret"
    SEND_PINGS: Final = "sendPings"
    FAIL_ON_CONNECTION_ERROR: Final = "failOnConnectionError"
    PORT_PROPERTY_NAME: Final = "tcpProbePort"
    TCP_PROBE_PORT_DEFAULT: Final = 8000
    CONNECT_KW_ARGS: Final = "connectKWArgs"
    DISABLE_SSL_VERIFICATION: Final = "disableSslVerification"

    # the environment's place for the token
    CONNECTOR_AUTH_TOKEN: Final = "CONNECTOR_AUTH_TOKEN"

    setup_logging = staticmethod(setup_logging)
