"""A function that is called once a second, in a thread of its own."""

from smapd import core, server, util


def readValue(val):
    print("Reading value:", val)


util.periodicCallInThread(readValue, 1).start(1)

server.run(core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92"), port=8080)
