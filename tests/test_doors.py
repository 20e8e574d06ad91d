"""The door of each room: what it exports, and that it does nothing else.

A name that is added or taken away is meant to be seen here.
"""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

DOORS = {
    "smapd.access": "Access",
    "smapd.actuation": """
        Actuators BinaryModel ContinuousIntegerModel ContinuousModel IntegerModel Jobs MOST_HUNG
        NStateModel POOL StateModel
    """,
    "smapd.assembly": "Daemon LoadedPlan Settings TABLES build embed",
    "smapd.cli": "jprint main run_driver uuid",
    "smapd.config": """
        NodeSection OtherSection Plan attach_section detach_section dump find_driver
        finish_driver_section list_drivers load_plan load_text namespace resolve with_driver
    """,
    "smapd.connectors": "",
    "smapd.core": """
        Actuator Collection DEFAULT_TIMEZONE DriverCalls Home Intake Node Scope SmapInstance
        Timeseries as_uuid normalise stream_uuid
    """,
    "smapd.desired": """
        Action AgentCache AgentSide CRUDHandler Change Deployment Export Exporter FrozenRegistry
        HandlerContext Id IgnoreResourceException InvalidOperation LogRecord ManagedResource Place
        PurgeableResource Resource ResourcePurged ResourceResult ResourceRun ResourceState Settled
        SkipResource TABLES Task cache deploy provider registry resource
    """,
    "smapd.driver": """
        AsyncDriver BadReading BaseDriver DeviceUnavailable DriverFailed DriverHost FetchDriver
        ListOf MissingExtra Option REQUIRED Secret SmapDriver bad boolean duration fetch_options
        Turns header integer number path port secret secret_url size uncertain uri url uuid words
    """,
    "smapd.drivers.caiso": "CaIsoDriver",
    "smapd.drivers.example": "Driver",
    "smapd.drivers.modbus": "ModbusDriver SimulatedMeter",
    "smapd.drivers.system": "SystemDriver",
    "smapd.http": """
        HttpParts Listener Site TABLES Timers check_listener listen listener_from make_site
    """,
    "smapd.reports": """
        Definition FORMATS KEPT_S KnownStreams Neighbours Reports Subscription TABLES
    """,
    "smapd.runtime": """
        Backoff Beat CallOwner Child Clock ClockWatch DiskWrites Durations FaultLog Lane Logging
        Notifier OrderedService PeriodicCall PoolSize ReactorLag Repeating Runtime Scheduler Status
        TABLES Threads Timer Watchdog attempt current_owner make_runtime pool_sizes start_logging
        watchdog_interval_s
    """,
    "smapd.sinks": """
        FORMATS Format HttpSink SinkLimits Targets TlsFiles TlsFilesUnusable judge_location
        """,
    "smapd.storage": """
        Control Cursor Daemon DataDir Definitions Delivery DeliveryOptions DeliveryState Draft
        EVENTS_POOL EventCursor EventLog EventSettings FORMAT FreshFirst Quarantine Quarantined
        READINGS_POOL Rates Readings Settings TABLES Target cannot_open event_settings_from
        fresh_names read_daemon seconds_until_loss settings_from tail
    """,
    "smapd.testing": """
        Answer DaemonProcess DriverCase FakeClock FakePeer FakeRuntime FakeThreads MemoryCursor
        MemoryDefinitions MemoryEventCursor MemoryEventLog MemoryReadings RecordingListener
        RecordingSink START_MS
    """,
    "smapd.twin": """
        AssetEvent AssetUnknown Client EmbeddedThings Event EventInvalid EventPublishFailure
        EventTypes Follower FollowerCallbacks Integrator IntegratorCallbacks MissingCallback
        NamedEventMixin NestedConfig NotConnected RetryingThingRunner RunContext ShutdownRequested
        T2Answer T2ProviderFailureReason T2ReqFailureReason T2Request T2ResponseException
        T2ResponseFailure T2Timeout T2Unavailable TABLES ThingRunner ThingSection Twin UnknownEvent
        WouldDeadlock field log_exceptions
    """,
}


def folder(room: str) -> Path:
    return (
        ROOT.joinpath(*room.removeprefix("smapd.").split("."))
        if "drivers" in room
        else (ROOT.joinpath(*room.split(".")))
    )


def test_every_room_has_its_door_here() -> None:
    rooms = {
        "smapd." + ".".join(file.parent.relative_to(top).parts)
        for top in (ROOT / "smapd", ROOT)
        for file in top.glob("drivers/*/__init__.py" if top == ROOT else "*/__init__.py")
    }

    assert rooms == DOORS.keys()


@pytest.mark.parametrize("room", DOORS)
def test_a_door_has_these_names(room: str) -> None:
    module = import_module(room)

    assert sorted(module.__all__) == sorted(DOORS[room].split())
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("room", DOORS)
def test_a_door_does_nothing_but_open(room: str) -> None:
    """A docstring, imports and ``__all__``."""
    body = ast.parse((folder(room) / "__init__.py").read_text("utf-8")).body

    assert isinstance(body[0], ast.Expr)
    assert ast.get_docstring(ast.Module(body, []))
    rest = [n for n in body[1:] if not isinstance(n, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(n).split(" ")[0] for n in rest] == ["__all__"]
