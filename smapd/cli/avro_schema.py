"""The Avro schema of a report: what archivers of sMAP read, with one more branch for texts.

The names of records and their fields are the wire's; ``smapd.sinks`` writes the same by hand.
"""

from __future__ import annotations

from typing import Any


def schema() -> Any:
    """A map from path to Collection or Timeseries, as JSON."""
    text, number = _maybe("string"), _maybe("long", "double")
    uuid = {"type": "fixed", "name": "uuid", "size": 16}
    collection = _record(
        "Collection",
        Proxy=_maybe("boolean"),
        Metadata=_maybe(_metadata(text, number, uuid)),
        Contents=_array("string"),
    )
    timeseries = _record(
        "Timeseries",
        uuid="uuid",
        Description=text,
        Metadata=_maybe("Metadata"),
        Properties=_maybe(
            _record(
                "Properties",
                UnitofMeasure="string",
                ReadingType=_enum("ReadingType", "long", "double", "string"),
                Timezone=text,
            )
        ),
        Actuator=_maybe(_actuator(number)),
        Readings=_maybe(_array(_array(["long", "double", "string"]))),
    )
    return {"type": "map", "values": [collection, timeseries]}


def _metadata(text: Any, number: Any, uuid: Any) -> Any:
    unit = _enum("UnitofTime", "second", "minute")
    instrument = _record(
        "Instrument",
        **dict.fromkeys(("Manufacturer", "Model", "PartNumber", "SerialNumber", "Text"), text),
        **dict.fromkeys(("MinValue", "MaxValue", "Resolution", "Precision", "Accuracy"), number),
        SamplingPeriod=_maybe("string", _record("Duration", Value="long", UnitofTime=unit)),
    )
    places = (
        "Area Building Campus City Country Description Floor Latitude Longitude Postalcode Room "
        "State Street Text Uri"
    )
    location = _record("Location", Altitude=_maybe("long"), **dict.fromkeys(places.split(), text))
    operator = _record(
        "Operator",
        Expression=["string"],
        SourceStreams=_array(uuid),
        Materialized="boolean",
    )
    texts = {"type": "map", "values": "string"}
    return _record(
        "Metadata",
        SourceName=text,
        Instrument=_maybe(instrument),
        Location=_maybe(location),
        Operator=_maybe(operator),
        BACnet=_maybe(_record("BACnet", Units=_maybe("int")), texts),
        Extra=_maybe(texts),
    )


def _actuator(number: Any) -> Any:
    return _record(
        "Actuator",
        Model=_enum("Models", "binary", "discrete", "continuous", "continuousInteger"),
        **dict.fromkeys(("MinValue", "MaxValue", "StepSize"), number),
        Values=_maybe(_array(["null", "long", "double", "string"])),
    )


def _maybe(*kinds: Any) -> list[Any]:
    return ["null", *kinds]


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _enum(name: str, *symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": symbols}


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }
