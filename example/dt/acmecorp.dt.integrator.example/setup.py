"""The package, as setuptools reads it."""

from pathlib import Path

from setuptools import setup

setup(
    name="acmecorp.dt.integrator.example",
    version="0.1.0",
    description="Example: an integrator for Acme Corp",
    long_description=(Path(__file__).parent / "README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    url="https://example.com/acmecorp",
    author="Acme Corp",
    author_email="engineering@example.com",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=["acmecorp.integrator.example"],
    install_requires=["smapd", "acmecorp.dt.events"],
    entry_points={
        "console_scripts": [
            "acmecorp-dt-integrator-example = acmecorp.integrator.example.__main__:main"
        ]
    },
)
