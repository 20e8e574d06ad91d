"""Serves one driver alone, at the root of a tree."""

from counter_driver import BaseDriver

from smapd import core, server

inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
drv = BaseDriver()
drv.setup(inst, {})
drv.start()
server.run(inst)
