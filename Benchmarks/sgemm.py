#!/usr/bin/env python3
"""The machine's own matrix rate: OpenBLAS sgemm, one single-threaded call after another on each of some threads; or a
GPU's: cuBLAS in float32, one call after another.

    Benchmarks/sgemm.py --threads 2
    Benchmarks/sgemm.py --device cuda

Prints GFLOP/s of all threads together, for products of the size of Qwen2.5-0.5B's MLP: 512 rows by a matrix of
896 x 4864, or on a GPU as many rows as the filters pass at a time. It is a program of its own so that its buffers do
not count in the memory of what bench.py measures.
"""
import argparse
import ctypes
import ctypes.util
import glob
import os
import platform
import random
import subprocess
import sys
import threading
import time
from array import array

import data

ROWS, COLUMNS, INNER = 512, 4864, 896
GPU_ROWS = 8192
ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112
# Of cublasGemmEx.
FLOAT32, COMPUTE_FLOAT32, ANY_ALGORITHM = 0, 68, -1


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


def measure_gpu(index, seconds, rows):
    driver = cuda_library(["libcuda.so.1"], ["", "/usr/lib/wsl/lib"])
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    # The newest that the driver is for, as the filters take it.
    newest = version.value // 1000
    blas = cuda_library([f"libcublas.so.{major}" for major in range(newest, 10, -1)] + ["libcublas.so"], toolkit_folders())

    def demand(status, call):
        if status != 0:
            sys.exit(f"{call}: error {status}")

    device, context, handle = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    demand(driver.cuInit(0), "cuInit")
    demand(driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    demand(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    demand(driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    demand(blas.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")

    def memory(size):
        address = ctypes.c_uint64()
        demand(driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(4 * size)), "cuMemAlloc")
        return address

    def matrix(size):
        address, values = memory(size), (ctypes.c_float * size).from_buffer(random_floats(size))
        demand(driver.cuMemcpyHtoD_v2(address, values, ctypes.c_size_t(4 * size)), "cuMemcpyHtoD")
        return address

    x, weights, y = matrix(rows * INNER), matrix(COLUMNS * INNER), memory(rows * COLUMNS)
    alpha, beta = ctypes.c_float(1), ctypes.c_float(0)
    element = (ctypes.c_float * 1)()

    def several(count):
        for _ in range(count):
            # By columns: the transpose of rows times weights transposed.
            demand(blas.cublasGemmEx(
                handle, 1, 0, COLUMNS, rows, INNER, ctypes.byref(alpha), weights, FLOAT32, INNER, x, FLOAT32, INNER,
                ctypes.byref(beta), y, FLOAT32, COLUMNS, COMPUTE_FLOAT32, ANY_ALGORITHM), "cublasGemmEx")
        # Waits for all of them.
        demand(driver.cuMemcpyDtoH_v2(element, y, ctypes.c_size_t(4)), "cuMemcpyDtoH")

    several(1)
    start, done, count = time.monotonic(), 0, 1
    while time.monotonic() - start < seconds:
        several(count)
        done += count
        count = min(2 * count, 64)
    return 2 * rows * COLUMNS * INNER * done / (time.monotonic() - start) / 1e9


def cuda_library(names, folders):
    """The first of these that can be opened; "" is wherever the dynamic loader looks."""
    reason = None
    for folder in folders:
        for name in names:
            try:
                return ctypes.CDLL(f"{folder}/{name}" if folder else name)
            except OSError as error:
                reason = reason or error
    sys.exit(f"cannot open {names[0]}: {reason}")


def toolkit_folders():
    """Where the filters look for cuBLAS: see LibraryFolders.swift."""
    def named(*variables):
        return [os.environ[name] for name in variables if os.environ.get(name)]

    if folders := [folder for value in named("GRADIENT_FILTERS_CUDA") for folder in value.split(":") if folder]:
        return folders
    folders = []
    for environment in named("VIRTUAL_ENV", "CONDA_PREFIX"):
        folders += sorted(glob.glob(f"{glob.escape(environment)}/lib/python3*/site-packages/nvidia/*/lib"))
        folders.append(f"{environment}/lib")
    folders.append("")
    target = "sbsa" if platform.machine() == "aarch64" else "x86_64"
    for toolkit in named("CUDA_HOME", "CUDA_PATH") + ["/usr/local/cuda", "/opt/cuda"]:
        folders += [f"{toolkit}/lib64", f"{toolkit}/targets/{target}-linux/lib"]
    return folders


def random_floats(size):
    """Of sizes between 1/64 and 1/32: a GPU's rate depends on how many bits change."""
    return bytearray(b"".join(data.random_weights(random.Random(0), size, 4)))


def rate(threads, seconds, device="cpu", rows=GPU_ROWS):
    """GFLOP/s, measured in a process of its own."""
    command = [
        sys.executable, __file__, "--threads", str(threads), "--seconds", str(seconds), "--device", device,
        "--rows", str(rows)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit("the matrix rate cannot be measured")
    return float(result.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rows", type=int, default=GPU_ROWS, help=f"of a GPU's products (default: {GPU_ROWS})")
    options = parser.parse_args()
    if options.device == "cpu":
        found = measure(options.threads, options.seconds)
    else:
        found = measure_gpu(int(options.device.partition(":")[2] or 0), options.seconds, options.rows)
    print(f"{found:.1f}")
