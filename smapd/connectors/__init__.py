"""Links to remote peers, one folder a kind: a core without sockets or clock, and a shell."""

__all__ = ()
