"""The package, as setuptools reads it."""

from pathlib import Path

from setuptools import setup

setup(
    name="acmecorp.dt.events",
    version="0.1.0",
    description="Example: the types of Acme Corp's events",
    long_description=(Path(__file__).parent / "README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    url="https://example.com/acmecorp",
    author="Acme Corp",
    author_email="engineering@example.com",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=["acmecorp.dt.events"],
    install_requires=["smapd"],
    entry_points={"smapd.events": ["acmecorp = acmecorp.dt.events"]},
)
