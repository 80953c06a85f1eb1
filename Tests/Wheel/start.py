"""How long programs take to start: the quartile of 40 starts of each command."""

import subprocess
import sys
import time

words = []
for command in sys.argv[1:]:
    times = []
    for _ in range(40):
        before = time.perf_counter()
        arguments = command.split() + ([] if "-c" in command else ["--version"])
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - before)
    words.append(f"{command.split('/')[-1]} {1000 * sorted(times)[10]:.1f} ms")
print(f"start: {', '.join(words)}")
