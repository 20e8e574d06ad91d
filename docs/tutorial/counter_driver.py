"""A driver: what the programs before did, to be put into a tree as often as one likes."""

from smapd import util


class BaseDriver:
    def setup(self, inst, opts):
        self.t = inst.add_timeseries("/sensor0", "mysensor", "V")
        self.step = int(opts.get("Step", 1))

    def start(self):
        self.counter = 0
        util.periodicCallInThread(self.read).start(1)

    def read(self):
        self.t.add(self.counter)
        self.counter += self.step
