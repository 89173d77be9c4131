"""What docs/egress.md says of the broker is so."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

from custodes.containment import AllowRule, Credential, EgressPolicy

REASON = re.compile(
    r"(?:Refusal\(\s*\d+,\s*|_stop\(|return |self\.reason = )"
    r'"([a-z0-9_]+)"'
)


def test_the_document_names_every_reason_and_every_field(repository: Path) -> None:
    said = (repository / "docs" / "egress.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([A-Za-z0-9_.]+)`", said))
    source = repository / "src" / "custodes" / "containment"
    reasons = {
        reason
        for name in ("", "_policy", "_wire", "_upstream", "_tunnel")
        for reason in REASON.findall((source / f"_broker{name}.py").read_text(encoding="utf-8"))
    }
    assert len(reasons) > 40
    assert reasons - words == set()
    fields = {field.name for kind in (EgressPolicy, AllowRule, Credential)
              for field in dataclasses.fields(kind)}  # fmt: skip
    assert fields - words == set()


def test_the_example_does_what_the_document_says(repository: Path, tmp_path: Path) -> None:
    said = (repository / "docs" / "egress.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", said, re.DOTALL)
    (promised,) = re.findall(r"^prints `(.*)`\.$", said, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", example],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == promised
