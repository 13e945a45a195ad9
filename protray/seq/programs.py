"""Programs of others, run to their end."""

import subprocess
from pathlib import Path


def run_program(program: str, *arguments: object) -> str:
    """What a program prints; RuntimeError with its last words if it fails."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        name = f"{Path(program).name} {arguments[0]}"
        raise RuntimeError(f"{name} ended with {done.returncode}: {' / '.join(said[-2:])[:300]}")
    return done.stdout
