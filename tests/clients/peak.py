"""Runs a program, without its output, and says how many KiB of memory it held at most: peak.py PROGRAM ARGUMENT..."""

import os
import subprocess
import sys

child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
if status != 0:
    sys.exit(f"it ended with {status}")
print(usage.ru_maxrss)
