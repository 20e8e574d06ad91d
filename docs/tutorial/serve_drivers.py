"""Serves the tree of driver.ini; the drivers begin with the server."""

from smapd import loader, server

inst = loader.load("driver.ini")
server.run(inst)
