"""Each test begins with no resource and no handler registered, and leaves none behind."""

from collections.abc import Iterator

import pytest

from smapd.desired import registry


@pytest.fixture(autouse=True)
def bare_registry() -> Iterator[None]:
    before = registry.frozen()
    registry.clear()
    yield
    registry.clear()
    for kind in before.resources.values():
        registry.add_resource(kind)
    for provider in before.providers.values():
        registry.add_provider(provider)
