"""What a connector has to know, and the sentence for each thing that is wrong with it."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from smapd.connectors.vantiq import (
    Limits,
    VantiqConnectorConfigException,
    VantiqConnectorException,
    VantiqSettings,
    read_server_config,
)
from smapd.connectors.vantiq.kwargs import check_kwargs
from smapd.connectors.vantiq.settings import Checked, split_sources, websocket_url

TOKEN = "Vrq1-very-secret"
GOOD = f"targetServer=https://dev.vantiq.com/\nsources=pump\nauthToken={TOKEN}\n"


def write(folder: Path, text: str | bytes, place: str = "serverConfig/server.config") -> Path:
    file = folder / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def read(folder: Path, text: str | bytes, **environ: str) -> Checked:
    write(folder, text)
    return read_server_config(folder, environ)


def refusal(folder: Path, text: str | bytes, **environ: str) -> str:
    with pytest.raises(VantiqConnectorConfigException) as raised:
        read(folder, text, **environ)
    message = raised.value.message
    assert message.startswith(str(folder / "serverConfig/server.config") + ": ")
    assert TOKEN not in message
    assert "\n" not in message
    return message


def test_the_folder_server_config_comes_first(tmp_path: Path) -> None:
    """VQ-28: serverConfig/server.config, else ./server.config."""
    write(tmp_path, GOOD.replace("pump", "here"), "server.config")
    assert list(read_server_config(tmp_path, {}).sources) == ["here"]

    write(tmp_path, GOOD.replace("pump", "there"))
    assert list(read_server_config(tmp_path, {}).sources) == ["there"]


def test_the_working_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)

    assert list(read_server_config(environ={}).sources) == ["pump"]


def test_without_a_file_the_sentence_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(VantiqConnectorConfigException) as raised:
        read_server_config(tmp_path, {})

    for part in ("serverConfig/server.config", str(tmp_path), "targetServer=", "authToken="):
        assert part in raised.value.message


def test_the_token_of_the_file_wins_over_the_environment(tmp_path: Path) -> None:
    """VQ-30: authToken in the file wins; else CONNECTOR_AUTH_TOKEN."""
    assert read(tmp_path, GOOD, CONNECTOR_AUTH_TOKEN="other").settings.token == TOKEN
    without = GOOD.replace(f"authToken={TOKEN}", "")
    assert read(tmp_path, without, CONNECTOR_AUTH_TOKEN=" other ").settings.token == "other"
    assert read(tmp_path, without + "authToken=", CONNECTOR_AUTH_TOKEN="x").settings.token == "x"


@pytest.mark.parametrize("environ", [{}, {"CONNECTOR_AUTH_TOKEN": "  "}])
def test_a_missing_token_is_an_error_before_any_login(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    message = refusal(tmp_path, GOOD.replace(f"authToken={TOKEN}", ""), **environ)

    assert "authToken is not set. Write authToken=" in message
    assert "CONNECTOR_AUTH_TOKEN in the environment" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sources=a\nauthToken=Vrq1-very-secret", "targetServer is not set. Write targetServer="),
        ("targetServer=\nsources=a\nauthToken=x", "targetServer is not set"),
        ("targetServer=https://h/\nauthToken=Vrq1-very-secret", "sources is not set. Write sourc"),
        ("targetServer=https://h/\nauthToken=x\nsources= , ,", "sources is not set"),
        (GOOD.replace("https://", ""), "targetServer: not a URL of http"),
        (GOOD.replace("https://", "ftp://"), "targetServer: not a URL of http"),
        (GOOD.replace("dev.vantiq.com", "h:99999"), "targetServer: not a URL"),
        (GOOD + "sendPings=perhaps", "sendPings: neither yes nor no"),
        (GOOD + "failOnConnectionError=2", "failOnConnectionError: neither yes nor no"),
        (GOOD + "tcpProbePort=http", "tcpProbePort: not a port"),
        (GOOD + "tcpProbePort=70000", "tcpProbePort: not a port"),
        (GOOD + "connectKWArgs={", "connectKWArgs: not a JSON object at letter 2"),
        (GOOD + "connectKWArgs=[1]", "connectKWArgs: not a JSON object. Write one, like"),
        (GOOD + 'connectKWArgs={"max_sise": 1}', "max_sise, which is no such setting. Did you mea"),
        (GOOD + 'connectKWArgs={"max_size": "1"}', "connectKWArgs: its max_size is not a number"),
        (GOOD + 'connectKWArgs={"max_size": true}', "connectKWArgs: its max_size is not a number"),
        (GOOD + 'connectKWArgs={"create_connection": "x"}', "which is no such setting"),
        (GOOD + 'connectKWArgs={"disableSslVerification": "yes"}', "is not true or false"),
        (GOOD + 'connectKWArgs={"port": 99999}', "its port is not a port, from 1 to 65535"),
        (GOOD + 'connectKWArgs={"local_addr": ["::", 65536]}', "its local_addr is not a list of"),
        (GOOD + 'connectKWArgs={"open_timeout": 1e999}', "its open_timeout is not a number of"),
        (GOOD.replace("dev.vantiq.com", "h:0"), "targetServer: not a URL"),
        (GOOD + "a=\\u12", "line 4: a \\u without four"),
        (b"a=1\n\xfc=2", "line 2: not UTF-8"),
        (b"#" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_remedy(
    tmp_path: Path, text: str | bytes, parts: str
) -> None:
    assert parts in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("additional_headers", {"K": "pw\r\nEvil: 1"}, "texts that a header may hold"),
        ("additional_headers", {"K": "pw\u20ac"}, "texts that a header may hold"),
        ("extra_headers", {"a b:": "pw"}, "texts that a header may hold"),
        ("origin", "pw\r\nEvil: 1", "a text that a header may hold"),
        ("user_agent_header", "pw\n", "a text that a header may hold"),
        ("proxy", "foo://u:pw@h", "a URL of http, https or socks"),
        ("proxy", "http://u:pw@h/path", "a URL of http, https or socks"),
        ("proxy", "http://u:pw@h:x", "a URL of http, https or socks"),
    ],
)
def test_what_no_header_or_proxy_may_be_is_said_before_it_is_tried(
    tmp_path: Path, name: str, value: Any, expected: str
) -> None:
    """Tried, it would fail for ever, and the library's error shows the value."""
    text = json.dumps({name: value}).replace("\\", "\\\\")

    message = refusal(tmp_path, GOOD + f"connectKWArgs={text}")

    assert f"connectKWArgs: its {name} is not " in message
    assert expected in message
    assert "pw" not in message


def test_headers_and_a_proxy_that_will_do_are_taken() -> None:
    found = {
        "additional_headers": {"Authorization": "Bearer a.b", "X-Empty": ""},
        "origin": None,
        "user_agent_header": "pump/1",
        "proxy": "http://u:pw@proxy:3128",
        "port": 443,
        "local_addr": ["10.0.0.2", 0],
    }

    assert check_kwargs(found) == found | {"local_addr": ("10.0.0.2", 0)}


def test_a_value_of_connect_kwargs_is_never_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD + 'connectKWArgs={"additional_headers": {"K": 7}, "x": "pw"}')

    assert "pw" not in message
    assert "7" not in message.split("connectKWArgs")[1]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "serverConfig" / "server.config"
    file.mkdir(parents=True)

    with pytest.raises(VantiqConnectorConfigException, match="cannot be read") as raised:
        read_server_config(tmp_path, {})

    assert raised.value.message.startswith(f"{file}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_one_may_not_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD).chmod(0)

    with pytest.raises(VantiqConnectorConfigException, match="Permission denied"):
        read_server_config(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://dev.vantiq.com/", "wss://dev.vantiq.com/api/v1/wsock/websocket"),
        ("http://h:8080", "ws://h:8080/api/v1/wsock/websocket"),
        ("HTTP://h", "ws://h/api/v1/wsock/websocket"),
        ("ws://h/else", "ws://h/api/v1/wsock/websocket"),
        ("wss://h/api/v2/wsock/websocket", "wss://h/api/v2/wsock/websocket"),
        ("https://h/proxy/api/v11/wsock/websocket", "wss://h/proxy/api/v11/wsock/websocket"),
        ("https://h/api/v1/wsock/websocket/", "wss://h/api/v1/wsock/websocket"),
        ("https://h/?a=1#x", "wss://h/api/v1/wsock/websocket?a=1"),
        ("http://[::1]:80/", "ws://[::1]:80/api/v1/wsock/websocket"),
    ],
)
def test_the_server_s_url_becomes_the_websocket_s(text: str, expected: str) -> None:
    """VQ-29: targetServer; W-01: http is ws, and a path that is not the API's is replaced."""
    assert websocket_url(text) == expected


def test_sources_are_split_at_commas_and_lose_their_blanks() -> None:
    """VQ-31: one name or a comma-separated list."""
    assert split_sources(" a , b\t,, My Source ,a") == ["a", "b", "MySource"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("yes", True), ("false", False), ("", False)],
)
def test_booleans_mean_what_they_say(tmp_path: Path, text: str, value: bool) -> None:
    """VQ-32, VQ-35: sendPings=false sends none, failOnConnectionError=false is false."""
    found = read(tmp_path, GOOD + f"sendPings={text}\nfailOnConnectionError={text}").settings

    assert (found.send_pings, found.fail_on_connection_error) == (value, value)


def test_pings_are_off_and_the_port_is_8000_unless_set(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)

    assert (found.settings.send_pings, found.probe_port) == (False, 8000)
    assert read(tmp_path, GOOD + "tcpProbePort:9001").probe_port == 9001


def test_connect_kwargs_change_limits_and_go_to_the_library(tmp_path: Path) -> None:
    """VQ-35: connectKWArgs; the size limit is configurable, 64 MiB unless set."""
    kwargs = (
        '{"max_size": 1048576, "open_timeout": 3, "ping_interval": 5, "ping_timeout": null,'
        ' "extra_headers": {"X-A": "b"}, "local_addr": ["::1", 0], "compression": null}'
    )
    found = read(tmp_path, GOOD + f"connectKWArgs={kwargs}").settings

    assert Limits().message_bytes == 64 * 2**20
    assert found.limits.message_bytes == 2**20
    assert (found.limits.connect_s, found.limits.ping_every_s) == (3.0, 5.0)
    assert found.limits.ping_answer_s == Limits().ping_answer_s
    assert found.connect_kwargs == {
        "additional_headers": {"X-A": "b"},
        "local_addr": ("::1", 0),
        "compression": None,
    }


def test_disable_ssl_verification_keeps_the_other_keys(tmp_path: Path) -> None:
    """W-18: disableSslVerification does not drop what stands beside it."""
    kwargs = '{"disableSslVerification": true, "server_hostname": "h"}'
    found = read(tmp_path, GOOD + f"connectKWArgs={kwargs}").settings

    assert found.tls is not None
    assert (found.tls.verify_mode, found.tls.check_hostname) == (ssl.CERT_NONE, False)
    assert found.connect_kwargs == {"server_hostname": "h"}


def test_certificates_are_checked_unless_that_is_disabled(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD).settings
    plain = read(tmp_path, GOOD.replace("https", "http")).settings

    assert found.tls is not None
    assert (found.tls.verify_mode, found.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert plain.tls is None


def test_an_authority_s_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD, SSL_CERT_FILE="/nowhere/ca.pem")

    assert "SSL_CERT_FILE in the environment names /nowhere/ca.pem" in message


def test_nothing_that_is_shown_holds_a_secret(tmp_path: Path) -> None:
    text = GOOD + 'reconnectSecret=hush1\nconnectKWArgs={"additional_headers": {"K": "hush2"}}'
    found = read(tmp_path, text.replace("https://", "https://user:hush3@"))

    shown = f"{found!r} {found} {found.settings!r} {found.properties} {found.settings.shown_url}"
    for secret in (TOKEN, "hush1", "hush2"):
        assert secret not in shown
    assert "hush3" not in found.settings.shown_url
    assert found.properties["authToken"] == TOKEN  # a program may ask for it by name


def test_settings_may_be_given_outright() -> None:
    found = VantiqSettings.of("http://h/", f" {TOKEN}\n", connect_kwargs={"max_size": None})

    assert (found.token, found.send_pings, found.limits.message_bytes) == (TOKEN, True, None)
    assert TOKEN not in repr(found)
    for wrong in (("h", TOKEN, {}), ("http://h/", " ", {}), ("http://h/", TOKEN, {"x": 1})):
        with pytest.raises(VantiqConnectorException) as raised:
            VantiqSettings.of(wrong[0], wrong[1], connect_kwargs=wrong[2])
        assert raised.value.message.startswith("the connector's settings: ")


def test_a_config_error_is_a_connector_exception_and_a_runtime_error() -> None:
    """VQ-01: programs catch VantiqConnectorException."""
    assert issubclass(VantiqConnectorConfigException, VantiqConnectorException)
    assert issubclass(VantiqConnectorException, RuntimeError)
