"""Makes what stands beside the tests of this folder importable, and says where the project is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
