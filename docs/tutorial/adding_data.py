"""One reading a second: 1, 2, 3 …"""

from smapd import core, server, util

inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
inst.add_timeseries("/sensor0", "sensor0", "V")

counter = 1


def read():
    global counter
    inst.add("/sensor0", counter)
    counter += 1


util.periodicCallInThread(read).start(1)
server.run(inst, port=8080)
