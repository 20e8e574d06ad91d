"""A follower: takes the events of each asset, and asks for a document."""

from .impl import FollowerExample

__all__ = ["FollowerExample"]
