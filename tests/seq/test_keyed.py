import subprocess
import sys

from protray.seq.keyed import generator, key


def test_key_is_the_same_in_another_process() -> None:
    """Python's own hash() would differ: it is salted per process."""
    code = "from protray.seq.keyed import key; print(key(0, 'downsample', 3, '1ABC_A'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == key(0, "downsample", 3, "1ABC_A")


def test_key_never_changes() -> None:
    """Stored runs resume with these numbers: blake2b of "0<0x1f>1ABC_A", 8 bytes, little-endian, halved."""
    assert key(0, "1ABC_A") == 8347702580479344403
    assert 0 <= key("x") < 2**63


def test_parts_do_not_run_into_each_other() -> None:
    assert len({key(1, 23), key(12, 3), key(123), key(1, 2, 3)}) == 4


def test_generators_of_the_same_parts_draw_the_same() -> None:
    assert generator(0, "a").integers(1 << 60, size=4).tolist() == generator(0, "a").integers(1 << 60, size=4).tolist()
    assert generator(0, "a").integers(1 << 60) != generator(1, "a").integers(1 << 60)
