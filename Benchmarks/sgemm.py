#!/usr/bin/env python3
"""The machine's own matrix rate: OpenBLAS sgemm, one single-threaded call after another on each of some threads.

    Benchmarks/sgemm.py --threads 2

Prints GFLOP/s of all threads together, for products of the size of Qwen2.5-0.5B's MLP: 512 rows by a matrix of
896 x 4864. It is a program of its own so that its buffers do not count in the memory of what bench.py measures.
"""
import argparse
import ctypes
import ctypes.util
import subprocess
import sys
import threading
import time
from array import array

ROWS, COLUMNS, INNER = 512, 4864, 896
ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112


def measure(threads, seconds):
    library = ctypes.CDLL(ctypes.util.find_library("openblas") or "libopenblas.so.0")
    library.openblas_set_num_threads(1)
    alpha, beta = ctypes.c_float(1), ctypes.c_float(0)
    counts = [0] * threads

    def multiply(thread):
        x, matrix, y = (
            (ctypes.c_float * size).from_buffer(array("f", [0.5, -0.25, 0.125, -1]) * (size // 4))
            for size in (ROWS * INNER, COLUMNS * INNER, ROWS * COLUMNS))

        def once():
            library.cblas_sgemm(
                ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, ROWS, COLUMNS, INNER,
                alpha, x, INNER, matrix, INNER, beta, y, COLUMNS)

        once()
        ready.wait()
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            once()
            counts[thread] += 1

    ready = threading.Barrier(threads + 1)
    workers = [threading.Thread(target=multiply, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.monotonic()
    for worker in workers:
        worker.join()
    return 2 * ROWS * COLUMNS * INNER * sum(counts) / (time.monotonic() - start) / 1e9


def rate(threads, seconds):
    """GFLOP/s, measured in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    print(f"{measure(options.threads, options.seconds):.1f}")
