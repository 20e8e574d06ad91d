"""Serves the tree of nested.ini."""

from smapd import loader, server

inst = loader.load("nested.ini")
server.run(inst, port=8080)
