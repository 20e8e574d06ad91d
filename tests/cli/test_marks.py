"""Progress files: the last whole line counts, whatever a crash left behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from smapd.cli.marks import Marks
from smapd.cli.rejects import Rejects
from smapd.errors import SmapError

MARK = {"import": "csv", "line": 1}


def test_what_was_noted_last_is_read_again(tmp_path: Path) -> None:
    file = str(tmp_path / "p")
    with Marks(file) as marks:
        assert marks.last is None
        marks.note(MARK)
        marks.note({**MARK, "line": 2})

    with Marks(file) as marks:
        assert marks.last == {"import": "csv", "line": 2}
    with Marks(file, anew=True) as marks:
        assert marks.last is None


def test_every_crash_within_a_line_leaves_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "p"
    with Marks(str(file)) as marks:
        marks.note(MARK)
        first = file.stat().st_size
        marks.note({**MARK, "line": 2})
    data = file.read_bytes()

    for cut in range(len(data)):
        file.write_bytes(data[:cut])
        with Marks(str(file)) as marks:
            assert marks.last == (None if cut < first else MARK)
            marks.note({**MARK, "line": 3})
        with Marks(str(file)) as marks:
            assert marks.last == {"import": "csv", "line": 3}


def test_two_imports_do_not_share_one(tmp_path: Path) -> None:
    with Marks(str(tmp_path / "p")), pytest.raises(SmapError, match="another import"):
        Marks(str(tmp_path / "p"))


@pytest.mark.parametrize("content", ["time,value\n1,2\n", "[1]\n", '{"a": 1}\n', "hello"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "p").write_text(content)

    with pytest.raises(SmapError, match="is no progress file"):
        Marks(str(tmp_path / "p"))

    assert (tmp_path / "p").read_text() == content


def test_rejects_are_made_with_the_first_and_cut_back_to_what_was_noted(tmp_path: Path) -> None:
    file = tmp_path / "r"
    rejects = Rejects(str(file), b"t,v\r\n", "#")
    assert not file.exists()
    rejects.add(7, "the time 'x\n' is no number", b"x,1\r\n")
    size = rejects.size
    rejects.add(9, "why", b"y,1")
    rejects.close()

    again = Rejects(str(file), b"t,v\r\n", "#", size)
    again.add(9, "why", b"y,1")
    again.sync()
    again.close()

    assert file.read_bytes() == (
        b"t,v\r\n# line 7: the time 'x\\n' is no number\nx,1\r\n# line 9: why\ny,1\n"
    )
