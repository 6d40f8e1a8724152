"""The chaos tests share this folder and the crash programme's."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "crash"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
