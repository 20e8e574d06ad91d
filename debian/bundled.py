"""Lists the packages of the environment that runs this: name, version and licence, one a line."""

from importlib.metadata import PackageMetadata, distributions


def licence(about: PackageMetadata) -> str:
    """The licence as the package gives it, in one line; the newer field wins."""
    for field in ("License-Expression", "License"):
        lines = (about.get(field) or "").strip().splitlines()
        if len(lines) == 1:  # some have the whole text there
            return lines[0]
    classifiers = about.get_all("Classifier") or []
    named = [c.rpartition("::")[2].strip() for c in classifiers if c.startswith("License ::")]
    return ", ".join(named) or "see its dist-info"


for found in sorted(distributions(), key=lambda d: d.metadata["Name"].lower()):
    if found.metadata["Name"] != "smapd":
        print(f"{found.metadata['Name']} {found.version}: {licence(found.metadata)}")
