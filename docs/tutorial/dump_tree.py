"""Writes conf.ini: the tree of the first program as a config file."""

from smapd import core, loader

inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
inst.add_timeseries("/sensor0", "sensor0", "V")

loader.dump(inst, "conf.ini")
