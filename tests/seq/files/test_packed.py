"""Packed files and plain text, told by their first bytes."""

import bz2
import errno
import gzip
import io
import lzma
import random

import pytest

from protray.seq.errors import InputError, first_of
from protray.seq.files.packed import read_bytes, read_lines, unpack, unpack_into, without_packing

PACKERS = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress}


@pytest.mark.parametrize("name", PACKERS)
def test_content_tells_what_packed_a_file(tmp_path, name) -> None:
    text = b"".join(b"%d\n" % k for k in range(5000))
    packed = PACKERS[name](text)
    path = tmp_path / "x.txt"
    path.write_bytes(packed)
    assert read_bytes(path) == text
    unpack_into(path, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == text
    path.write_bytes(packed[:-9])
    with pytest.raises(InputError, match=r"x\.txt: the file is damaged: get it anew"):
        unpack_into(path, tmp_path / "plain")
    with pytest.raises(InputError, match=f"the {name} stream ends early: the file is truncated"):
        read_bytes(path)
    middle = len(packed) // 2
    path.write_bytes(packed[:middle] + bytes([packed[middle] ^ 0xFF]) + packed[middle + 1 :])
    with pytest.raises(InputError, match=f"the {name} stream is damaged"):
        read_bytes(path)


@pytest.mark.parametrize("name", PACKERS)
def test_a_disk_that_fails_is_not_the_files_fault(name) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 4000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(1000, 4000 - self.tell()) if size is None or size < 0 else min(size, 1000))

    packed = PACKERS[name](random.Random(0).randbytes(20_000))
    with pytest.raises(OSError, match="Input/output error") as raised:
        unpack(Failing(packed), "x")
    assert raised.value.errno == errno.EIO and not isinstance(raised.value, InputError)


@pytest.mark.parametrize(
    ("magic", "said"), [(b"\x28\xb5\x2f\xfd", "zstd -d"), (b"PK\x03\x04", "zip"), (b"\x1f\x9d", "gzip -d")]
)
def test_other_packers_are_named(tmp_path, magic, said) -> None:
    (tmp_path / "x.gz").write_bytes(magic + b"\0" * 20)
    with pytest.raises(InputError, match=said):
        read_bytes(tmp_path / "x.gz")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines(tmp_path, end, mark) -> None:
    (tmp_path / "x").write_bytes(mark + end.join(["a b", "", "c\x0cd"]).encode())
    assert read_lines(tmp_path / "x") == ["a b", "", "c\x0cd"]
    (tmp_path / "x").write_bytes("a\nb".encode("utf-16"))
    with pytest.raises(InputError, match="UTF-16"):
        read_lines(tmp_path / "x")


def test_names() -> None:
    assert [without_packing(name) for name in ("a.a3m", "a.a3m.gz", "a.xz", "a.bz2.gz")] == [
        "a.a3m",
        "a.a3m",
        "a",
        "a.bz2",
    ]


def test_many_in_few_words() -> None:
    assert first_of([]) == "" and first_of("ab") == "a, b"
    assert first_of(list(range(2000))) == "0, 1 and 1,998 more"
