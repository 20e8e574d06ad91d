"""Connectors of a real daemon, against the mock server."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from smapd.testing.vantiq import Refuse, VantiqServer
from tests.connectors.tree.plant import TREE, notified, run, running, section, until

pytestmark = pytest.mark.real

CONF = Path(__file__).parents[3] / "conf" / "vantiq.ini"

LAMP = """
from smapd.actuate import BinaryActuator
from smapd.driver import SmapDriver


class Lamp(BinaryActuator):
    def __init__(self):
        self.state = 0

    def get_state(self):
        return self.state

    def set_state(self, state):
        self.state = state


class Lamps(SmapDriver):
    def setup(self, opts):
        self.add_actuator("/lamp", "on/off", Lamp())

    def start(self):
        pass
"""

BOMS = """
from smapd.twin import Integrator, IntegratorCallbacks, ThingRunner


class Boms(IntegratorCallbacks, ThingRunner):
    def __init__(self, config):
        super().__init__(config)
        self.integrator = Integrator(config["integrator"], self.client, self)

    def on_startup(self):
        self.integrator.start()

    def main(self):
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.integrator.stop()

    def on_asset_created(self, asset_id):
        pass

    def on_asset_deleted(self, asset_id):
        pass

    def on_t2_request(self, request):
        with self.integrator.t2_respond_streamed(request, "text/plain") as write:
            for n in range(3):
                write(f"{request.type_} {n};".encode())
"""

PUMPS = """
import asyncio
import threading
from smapd.connectors.vantiq import VantiqConnector


class Pumps:
    def __init__(self, connection, config):
        self.connection, self.config = connection, config

    async def connect(self, context, configuration):
        await self.connection.send_notification({
            "connected": context[VantiqConnector.SOURCE_NAME],
            "configuration": configuration,
            "config": self.config,
            "thread": threading.current_thread().name,
        })

    async def handle_publish(self, context, message):
        await self.connection.send_notification({"published": message})

    async def query(self, context, message):
        if "path" in message:
            return NotImplemented
        if "fail" in message:
            raise ValueError("no")
        await self.connection.send_query_response(context, VantiqConnector.QUERY_PARTIAL, {"n": 1})
        await self.connection.send_query_response(context, VantiqConnector.QUERY_COMPLETE, {"n": 2})

    async def close(self, context):
        pass
"""


def test_the_example_of_conf_does_what_it_says(tmp_path: Path) -> None:
    """conf/vantiq.ini: readings and events out, an actuator set, queries answered."""
    (tmp_path / "lamps.py").write_text(LAMP)

    async def main() -> None:
        async with VantiqServer(sources={"pumpStation": {}}) as server:
            text = CONF.read_text().replace("https://dev.vantiq.com/", server.url)
            text += "\n[/station/lamps]\ntype = lamps.Lamps\n"
            async with running(text, path=[tmp_path], env={"VANTIQ_TOKEN": server.token}) as plant:
                session = await server.session("pumpStation")
                await plant.add("/station/level", 1.5, 2.5)
                (readings,) = await notified(session, 1)
                assert readings["path"] == "/station/level"
                assert readings["Readings"] == [[1_000_000, 1.5], [1_000_001, 2.5]]
                assert readings["First"] == 0

                await plant.publish("station-1", "Serviced", {"by": "Ann"})
                (event,) = await notified(session, 1)
                assert (event["asset"], event["name"]) == ("station-1", "Serviced")
                assert event["data"] == {"by": "Ann"}

                await session.publish({"path": "/station/lamps/lamp", "state": 1})
                (set_,) = await notified(session, 1)
                assert (set_["path"], set_["Readings"][0][1]) == ("/station/lamps/lamp", 1)

                await session.publish({"asset": "station-1", "name": "Ordered", "data": {"n": 2}})
                await plant.becomes(lambda s: s["sources"][0]["published"]["published"] == 1)
                found = (await plant.get("/assets/station-1/events")).json()["events"]
                assert [one["name"] for one in found] == ["Serviced", "Ordered"]
                assert found[1]["source"] == "connector plant"

                (node,) = await session.query({"path": "/station/level"})
                assert node.body[0]["Readings"] == [[1_000_001, 2.5]]
                (past,) = await session.query({"path": "/station/level", "from": 1_000_001})
                assert past.body == [{"path": "/station/level", "time": 1_000_001, "value": 2.5}]
                assert session.received == 3  # its own event does not come back
                assert server.complaints == []
                assert await plant.stop() == 0

    run(main())


def test_a_query_asks_an_asset_and_its_answer_is_streamed(tmp_path: Path) -> None:
    """VQ-24: chunks of a type 2 answer as QUERY_PARTIAL."""
    (tmp_path / "boms.py").write_text(BOMS)

    async def main() -> None:
        async with VantiqServer() as server:
            text = TREE + section(server) + "[integrator boms]\ntype = boms.Boms\nT2 = yes\n"
            async with running(text, path=[tmp_path]) as plant:
                session = await server.session("pump")
                async with asyncio.timeout(10):
                    while True:  # until the integrator has started
                        answers = await session.query({"asset": "hall-1", "type": "Bom"})
                        if answers[-1].status == 200:
                            break
                        await asyncio.sleep(0.1)
                text = "".join(row["data"] for one in answers for row in one.body)
                assert text == "Bom 0;Bom 1;Bom 2;"
                assert [one.status for one in answers][:-1] == [100] * (len(answers) - 1)
                assert len(answers) > 1
                (unknown,) = await session.query({"asset": "nix", "type": "Bom"})
                assert unknown.body["messageCode"] == "smapd.asset_unknown"
                assert await plant.stop() == 0

    run(main())


def test_a_class_named_in_the_file_handles_what_comes(tmp_path: Path) -> None:
    """VQ-20 to VQ-25: on the users' loop; what it does not answer the tree does."""
    (tmp_path / "pumps.py").write_text(PUMPS)

    async def main() -> None:
        async with VantiqServer(sources={"pump": {"rate": 5}}) as server:
            text = TREE + section(
                server,
                "Handler = pumps.Pumps",
                "MaxSpeed = 30",
                "Secret = env:PUMP",
                "Publish = event",
            )
            async with running(text, path=[tmp_path], env={"PUMP": "p-1"}) as plant:
                session = await server.session("pump")
                (told,) = await notified(session, 1)
                assert told == {
                    "connected": "pump",
                    "configuration": {"rate": 5},
                    "config": {"max_speed": "30", "secret": "p-1"},
                    "thread": "loop-user",
                }
                answers = await session.query({"n": 0})
                assert [(one.status, one.body) for one in answers] == [
                    (100, {"n": 1}),
                    (200, {"n": 2}),
                ]
                (node,) = await session.query({"path": "/hall/t"})
                assert node.body[0]["path"] == "/hall/t"
                (failed,) = await session.query({"fail": 1})
                assert failed.status == 400
                await session.publish({"asset": "hall-1", "name": "Made", "data": {}})
                await session.publish({"own": 1})
                assert await notified(session, 1) == [{"published": {"own": 1}}]
                shown = await plant.source()
                assert shown["published"]["published"] == 1
                assert shown["published"]["unknown"] == 0
                assert server.complaints == []
                assert await plant.stop() == 0

    run(main())


def test_a_class_that_is_broken_stops_its_section_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('half written')\n")

    async def main() -> None:
        async with VantiqServer() as server:
            text = TREE + section(server, "Handler = broken.Pumps", name="bad")
            text += section(server, "Sources = fan", "Handler = smapd.nix.Pumps", name="worse")
            text += section(server, "Sources = well", "Notify = /hall/+")
            async with running(text, path=[tmp_path]) as plant:
                session = await server.session("well")
                await plant.add("/hall/t", 1.0)
                assert (await notified(session, 1))[0]["path"] == "/hall/t"
                shown = (await plant.get("/status")).json()["connectors"]
                problems = [one["sources"][0]["problem"] for one in shown]
                assert "its module raised RuntimeError: half written" in problems[0]
                assert "there is no module smapd.nix" in problems[1]
                assert problems[2] == ""
                assert [one["healthy"] for one in shown] == [None, None, True]
                assert (await plant.get("/healthz")).status == 200
                assert await plant.stop() == 0

    run(main())


def test_while_the_server_is_away_nothing_is_lost_and_the_daemon_is_healthy() -> None:
    """The source comes back by itself, and what waited comes at once."""

    async def main() -> None:
        server = VantiqServer()
        await server.start()
        async with running(
            TREE + section(server, "Notify = /hall/+", "Assets = *", "Sequence = yes")
        ) as plant:
            session = await server.session("pump")
            await plant.add("/hall/t", 1.0)
            await notified(session, 1)
            # not before it is confirmed, or it would come again
            await plant.becomes(lambda s: s["sources"][0]["readings"]["readings"] == 1)
            await server.stop()
            await plant.becomes(lambda s: s["sources"][0]["state"] == "waiting")
            await plant.add("/hall/t", 2.0, 3.0, ms=2_000_000)
            await plant.publish("hall-1", "Made", {"n": 1})
            shown = await plant.becomes(lambda s: s["sources"][0]["readings"]["waiting"] == 2)
            assert shown["sources"][0]["readings"]["state"] == "paused"
            assert shown["sources"][0]["events"]["waiting"] == 1
            assert (await plant.get("/healthz")).status == 200
            assert (await plant.get("/readyz")).status == 200
            metrics = (await plant.get("/metrics")).body.decode()
            assert 'smapd_connector_up{connector="plant",source="pump"} 0.0' in metrics
            assert (
                'smapd_connector_waiting_readings{connector="plant",source="pump"} 2.0' in metrics
            )

            await server.start()
            again = await server.session("pump", after=session, timeout_s=20)
            got = await notified(again, 2)
            assert sorted(one.get("First", -1) for one in got) == [-1, 1]
            assert again.secret == session.secret
            await plant.becomes(lambda s: s["sources"][0]["state"] == "connected")
            assert server.complaints == []
            assert await plant.stop() == 0
        await server.stop()

    run(main())


def test_a_server_that_does_not_read_gets_the_batch_again_on_the_next_connection() -> None:
    """The ping behind a batch is not answered: nothing counts as delivered."""

    async def main() -> None:
        async with VantiqServer() as server:
            kwargs = "ConnectKWArgs = '{\"ping_timeout\": 0.5}'"
            text = TREE + section(server, "Notify = /hall/+", "Sequence = yes", kwargs)
            async with running(text) as plant:
                session = await server.session("pump")
                session.freeze()
                await plant.add("/hall/t", 1.0)
                again = await server.session("pump", after=session, timeout_s=20)
                (told,) = await notified(again, 1)
                assert told["First"] == 0
                shown = await plant.becomes(lambda s: s["sources"][0]["readings"]["waiting"] == 0)
                assert shown["sources"][0]["readings"]["readings"] == 1
                assert shown["sources"][0]["counters"]["lost"] == 1

    run(main())


def test_a_secret_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    """VQ-30; never a login without a token, and none is shown anywhere."""
    token = tmp_path / "token"

    async def main() -> None:
        async with VantiqServer(token="t-0815-secret") as server:
            text = TREE + section(server, f"AuthToken = file:{token}", "Notify = /hall/+")
            async with running(text) as plant:
                await plant.becomes(lambda s: str(token) in s["sources"][0]["problem"])
                await plant.add("/hall/t", 1.0)
                assert server.attempts == []
                token.write_text("t-0815-secret\n")
                session = await server.session("pump", timeout_s=20)
                assert (await notified(session, 1))[0]["Readings"][0][1] == 1.0
                everything = (await plant.get("/status")).body + (await plant.get("/metrics")).body
                assert await plant.stop() == 0
                assert b"0815" not in everything
                assert "0815" not in plant.daemon.text()

    run(main())


def test_a_missing_token_is_taken_from_the_environment_or_named() -> None:
    """VQ-30: CONNECTOR_AUTH_TOKEN."""

    async def main() -> None:
        async with VantiqServer() as server:
            text = TREE + section(server).replace(f"AuthToken = {server.token}\n", "")
            async with running(text) as plant:
                shown = await plant.becomes(lambda s: s["sources"][0]["problem"])
                assert "authToken is not set" in shown["sources"][0]["problem"]
                assert "CONNECTOR_AUTH_TOKEN" in shown["sources"][0]["problem"]
                assert server.attempts == []
            async with running(text, env={"CONNECTOR_AUTH_TOKEN": server.token}):
                await server.session("pump")

    run(main())


def test_a_refused_token_is_shown_and_the_probe_is_shut(tmp_path: Path) -> None:
    """VQ-19: the port is open only while healthy; a refusal is not hammered."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with VantiqServer(sources={"pump": {}, "fan": {}}) as server:
            text = TREE + section(server, "Sources = pump, fan", f"TcpProbePort = {port}")
            async with running(text) as plant:
                await server.session("fan")
                await plant.becomes(lambda s: s["healthy"])
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b""
                writer.close()

                server.always(Refuse("login", 401))
                server.sessions["pump"].drop()
                shown = await plant.becomes(lambda s: s["healthy"] is False)
                states = {one["source"]: one["state"] for one in shown["sources"]}
                assert states == {"pump": "refused", "fan": "connected"}
                with pytest.raises(OSError):
                    await asyncio.open_connection("127.0.0.1", port)
                attempts = len(server.attempts)
                await asyncio.sleep(1.5)
                assert len(server.attempts) == attempts
                assert (await plant.get("/healthz")).status == 200
                assert await plant.stop() == 0

    run(main())


def test_a_server_config_file_says_what_the_section_does_not(tmp_path: Path) -> None:
    """VQ-28 to VQ-35 in the tree; the section wins."""
    file = tmp_path / "server.config"

    async def main() -> None:
        async with VantiqServer(sources={"pump": {}, "fan": {}}) as server:
            text = TREE + f"[connector plant]\ntype = vantiq\nServerConfig = {file}\n"
            async with running(text + "ReconnectSecret = mine\n") as plant:
                shown = await plant.becomes(lambda s: s["problem"])
                assert str(file) in shown["problem"]
                file.write_text(
                    f"targetServer={server.url}\nauthToken={server.token}\nsources=pump, fan\n"
                    "sendPings=false\nreconnectSecret=theirs\n"
                )
                pump = await server.session("pump", timeout_s=20)
                fan = await server.session("fan")
                assert (pump.secret, fan.secret) == ("pump_mine", "fan_mine")
                assert (await plant.status())["problem"] == ""

    run(main())


def test_fail_on_connection_error_ends_a_source_for_good() -> None:
    """VQ-35."""

    async def main() -> None:
        async with VantiqServer() as server:
            server.script(Refuse("http", 503))
            text = TREE + section(server, "FailOnConnectionError = yes")
            async with running(text) as plant:
                shown = await plant.becomes(lambda s: s["sources"][0]["state"] == "refused")
                assert "HTTP 503" in shown["sources"][0]["why"]
                await asyncio.sleep(1.5)
                assert len(server.attempts) == 1
                assert await plant.stop() == 0

    run(main())


def test_a_flood_of_queries_and_publishes_keeps_the_daemon_answering() -> None:
    """Bounded: and every query gets its answer."""

    async def main() -> None:
        async with VantiqServer() as server:
            async with running(TREE + section(server, "Publish = both")) as plant:
                session = await server.session("pump")
                addresses = [await session.ask({"path": "/hall/t"}) for _ in range(3000)]
                for n in range(3000):
                    await session.publish({"path": f"/nix/{n}", "state": 1})
                assert (await plant.get("/healthz")).status == 200
                for address in addresses:
                    (answer,) = await session.answers(address, timeout_s=30)
                    assert answer.status == 200
                shown = await plant.becomes(
                    lambda s: s["sources"][0]["published"]["failed"] == 3000
                )
                assert shown["sources"][0]["asked"]["answered"] == 3000
                assert len((await plant.get("/status")).json()["faults"]) == 1
                assert await plant.stop() == 0

    run(main())


def test_a_stop_is_quick_while_the_server_hangs() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            text = TREE + section(server, "Notify = /hall/+", "Assets = *")
            async with running(text) as plant:
                session = await server.session("pump")
                await plant.add("/hall/t", 1.0)
                await until(lambda: session.received)
                session.freeze()
                await plant.add("/hall/t", 2.0, ms=3_000_000)
                loop = asyncio.get_running_loop()
                began_s = loop.time()
                assert await plant.stop() == 0
                assert loop.time() - began_s < 5
                session.thaw()

    run(main())
