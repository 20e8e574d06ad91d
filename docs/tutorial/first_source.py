"""A tree with one timeseries, served on port 8080; nothing fills it yet."""

from smapd import core, server

inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
my_timeseries = inst.add_timeseries("/sensor0", "sensor0", "V")
assert inst.get_timeseries("/sensor0") is my_timeseries

server.run(inst, port=8080)
