// A GPU for tests: the functions of libcuda, libcublas and libnvrtc that the package calls, on the processor.
//
// Kernels are compiled as C++ and run for real, so that results can be compared; the threads of a block are fibers that
// meet at __syncthreads. Every call is recorded, and can be made to fail. Mistakes that a GPU may forgive are errors:
// memory outside an allocation, a thread without a context, a barrier that not all threads of a block come to.
//
// Compiled with -DCOMPILER='"clang++"' and -DPRELUDE='"…/kernel_prelude.h"'. Settings are variables of the environment:
//
//   STAND_IN_LOG        a file that calls are appended to, one a line
//   STAND_IN_FAIL       name:n:status: the n-th call of that name fails (from 1)
//   STAND_IN_DRIVER     the version of CUDA that the driver is for, e.g. 12040
//   STAND_IN_TOOLKIT    the version of CUDA that cuBLAS and NVRTC are of, e.g. 12040
//   STAND_IN_DEVICES    how many GPUs there are; those of odd number run threads and blocks in reverse
//   STAND_IN_CAPABILITY compute capability, e.g. 90
//   STAND_IN_MEMORY     bytes of memory of a GPU
//   STAND_IN_TAKEN      bytes of it that other programs have
//   STAND_IN_MODE       the GPU's compute mode: 3 for exclusive process
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

namespace {

std::recursive_mutex lock;

long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

// Records a call. Returns the status that it is to fail with, else 0.
int record(const char *name, const char *format = "", ...) {
  static std::map<std::string, long> counts;
  long count = ++counts[name];
  if (const char *path = getenv("STAND_IN_LOG")) {
    if (FILE *file = fopen(path, "a")) {
      fprintf(file, "%s", name);
      va_list arguments;
      va_start(arguments, format);
      vfprintf(file, format, arguments);
      va_end(arguments);
      fputc('\n', file);
      fclose(file);
    }
  }
  const char *fail = getenv("STAND_IN_FAIL");
  if (!fail) return 0;
  std::string prefix = std::string(name) + ":" + std::to_string(count) + ":";
  return strncmp(fail, prefix.c_str(), prefix.size()) == 0 ? atoi(fail + prefix.size()) : 0;
}

#define ENTER(...)                                                                                                     \
  std::lock_guard<std::recursive_mutex> guard(lock);                                                                   \
  if (int status = record(__VA_ARGS__)) return status

enum { success = 0, invalidValue = 1, outOfMemory = 2, invalidDevice = 101, invalidImage = 200, invalidContext = 201,
       notFound = 500, illegalAddress = 700, launchFailed = 719 };

// MARK: - Memory

const unsigned long long mark = 1ull << 62;
// By address. Each ends at a page that nobody may touch.
std::map<char *, size_t> allocations;
size_t allocated = 0;

size_t totalMemory() { return setting("STAND_IN_MEMORY", 8l << 30); }

size_t freeMemory() {
  size_t gone = allocated + setting("STAND_IN_TAKEN", 0), total = totalMemory();
  return gone < total ? total - gone : 0;
}

// The place in this process, or null where [address, address + count) is not within one allocation.
char *place(unsigned long long address, size_t count) {
  char *start = (char *)(address & ~mark);
  auto after = allocations.upper_bound(start);
  if (!(address & mark) || after == allocations.begin()) return nullptr;
  auto [base, size] = *--after;
  return start + count <= base + size ? start : nullptr;
}

const size_t page = sysconf(_SC_PAGESIZE);
size_t wholePages(size_t count) { return (count + page - 1) / page * page; }

// What was never written to is NaN. Of much memory, most of which may never be touched, what is read is one file's pages.
void fillWithNaN(char *memory, size_t bytes) {
  const size_t most = 4 << 20;
  if (bytes <= most) return (void)memset(memory, 0xff, bytes);
  static int file = [] {
    std::vector<char> pattern(4 << 20, (char)0xff);
    int file = memfd_create("untouched", 0);
    if (write(file, pattern.data(), pattern.size()) != (ssize_t)pattern.size()) abort();
    return file;
  }();
  for (size_t at = 0; at < bytes; at += most)
    if (mmap(memory + at, std::min(most, bytes - at), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) ==
        MAP_FAILED)
      abort();
}

thread_local long currentDevice = -1;
thread_local std::vector<long> formerDevices;

// Work on the stream of nobody in particular is done at once; a copy on another stream as late as it may be: when
// somebody waits for an event that was recorded behind it.
struct Copy {
  void *host;
  unsigned long long device;
  size_t count;
  bool isUpload;
};

struct Stream {
  std::vector<Copy> waiting;
  size_t done = 0;
  // How much of the work it has waited for.
  long seen = 0;
  // How many of its copies the host has waited for.
  size_t known = 0;
};

struct Event {
  Stream *stream = nullptr;
  size_t copies = 0;
  long work = -1;
};

// Pieces of work that were begun.
// Of each thread: tests side by side have the same GPU, and one does not wait for another's work.
thread_local long begunWork = 0;
std::map<void *, size_t> pinned;
// By pinned memory: the stream that last copied from it, and how many copies that had then.
std::map<void *, std::pair<Stream *, size_t>> lastUploads;
// By the start of an allocation: the last piece of work that copied from it.
thread_local std::map<char *, long> lastCopies;

// MARK: - Kernels

struct Index {
  unsigned x, y, z;
};

struct Module {
  void *library;
  int file;
  Index *threadIdx, *blockIdx, *blockDim, *gridDim;
};

struct Kernel {
  Module *module;
  std::string name;
  void (*call)(void **);
};

struct Fiber {
  ucontext_t start;
  jmp_buf place;
  bool isStarted = false;
  // The thread that it runs, -1 without one.
  int thread = -1;
};

jmp_buf scheduler;
Fiber *running = nullptr;
std::vector<std::unique_ptr<Fiber>> fibers;
// The block that runs.
Kernel *kernel;
void **arguments;
int threads, begun;
bool isReversed;

void leave() {
  if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}

void work() {
  while (true) {
    while (begun < threads) {
      running->thread = begun++;
      kernel->module->threadIdx->x = isReversed ? threads - 1 - running->thread : running->thread;
      kernel->call(arguments);
    }
    running->thread = -1;
    leave();
  }
}

void resume(Fiber *fiber) {
  running = fiber;
  if (fiber->thread >= 0) kernel->module->threadIdx->x = isReversed ? threads - 1 - fiber->thread : fiber->thread;
  if (_setjmp(scheduler)) return;
  if (fiber->isStarted) _longjmp(fiber->place, 1);
  fiber->isStarted = true;
  getcontext(&fiber->start);
  size_t size = 256 << 10;
  fiber->start.uc_stack.ss_sp = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fiber->start.uc_stack.ss_size = size;
  makecontext(&fiber->start, work, 0);
  setcontext(&fiber->start);
}

// False where some threads wait at a barrier that others never come to.
bool runBlock() {
  begun = 0;
  std::vector<Fiber *> waiting;
  for (size_t i = 0; begun < threads; i++) {
    if (i == fibers.size()) fibers.push_back(std::make_unique<Fiber>());
    resume(fibers[i].get());
    if (fibers[i]->thread >= 0) waiting.push_back(fibers[i].get());
  }
  bool isComplete = true;
  while (!waiting.empty()) {
    isComplete = isComplete && waiting.size() == (size_t)threads;
    std::vector<Fiber *> still;
    for (Fiber *fiber : waiting) {
      resume(fiber);
      if (fiber->thread >= 0) still.push_back(fiber);
    }
    waiting = still;
  }
  return isComplete;
}

// A factor as the hardware reads it, which cuts off bits and does not round.
float cut(float value, int bits) {
  unsigned word;
  memcpy(&word, &value, sizeof word);
  if ((word & 0x7f800000) != 0x7f800000) word &= ~0u << (24 - bits);
  memcpy(&value, &word, sizeof value);
  return value;
}

float fromBfloat16(unsigned short half) {
  unsigned word = (unsigned)half << 16;
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

struct Products {
  char *workspace = nullptr;
  // Whether the factors of sums lie in the GPU's memory.
  bool factorsOnDevice = false;
};

std::string readAll(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Program {
  std::string source, log, code;
};

// Names of `extern "C" __global__` functions.
std::vector<std::string> kernelNames(const std::string &source) {
  std::vector<std::string> names;
  const std::string start = "extern \"C\" __global__ void ";
  for (size_t at = source.find(start); at != std::string::npos; at = source.find(start, at)) {
    at += start.size();
    if (source.compare(at, 17, "__launch_bounds__") == 0) at = source.find(')', at) + 2;
    names.push_back(source.substr(at, source.find('(', at) - at));
  }
  return names;
}

}  // namespace

extern "C" {

// MARK: - libcuda

int cuGetErrorString(int status, const char **text) {
  static const std::map<int, const char *> texts = {
      {outOfMemory, "out of memory"},
      {invalidContext, "invalid device context"},
      {illegalAddress, "an illegal memory access was encountered"},
      {launchFailed, "unspecified launch failure"},
  };
  auto known = texts.find(status);
  if (known == texts.end()) return invalidValue;
  *text = known->second;
  return success;
}

int cuInit(unsigned flags) {
  ENTER("cuInit");
  return flags == 0 ? success : invalidValue;
}

int cuDriverGetVersion(int *version) {
  ENTER("cuDriverGetVersion");
  *version = setting("STAND_IN_DRIVER", 12040);
  return success;
}

int cuDeviceGetCount(int *count) {
  ENTER("cuDeviceGetCount");
  *count = setting("STAND_IN_DEVICES", 2);
  return success;
}

int cuDeviceGet(int *device, int index) {
  ENTER("cuDeviceGet", " %d", index);
  *device = index;
  return index < setting("STAND_IN_DEVICES", 2) ? success : invalidDevice;
}

int cuDeviceGetName(char *name, int size, int device) {
  ENTER("cuDeviceGetName");
  snprintf(name, size, "stand-in %d", device);
  return success;
}

int cuDeviceGetAttribute(int *value, int attribute, int) {
  ENTER("cuDeviceGetAttribute", " %d", attribute);
  int capability = setting("STAND_IN_CAPABILITY", 90);
  switch (attribute) {
    case 20: *value = setting("STAND_IN_MODE", 0); return success;
    case 75: *value = capability / 10; return success;
    case 76: *value = capability % 10; return success;
  }
  return invalidValue;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
  ENTER("cuDevicePrimaryCtxRetain");
  *context = (void *)(long)(device + 1);
  return success;
}

int cuDevicePrimaryCtxRelease_v2(int) {
  ENTER("cuDevicePrimaryCtxRelease_v2");
  return success;
}

int cuCtxPushCurrent_v2(void *context) {
  ENTER("cuCtxPushCurrent_v2");
  formerDevices.push_back(currentDevice);
  currentDevice = (long)context - 1;
  return success;
}

int cuCtxPopCurrent_v2(void **context) {
  ENTER("cuCtxPopCurrent_v2");
  if (formerDevices.empty()) return invalidContext;
  *context = (void *)(currentDevice + 1);
  currentDevice = formerDevices.back();
  formerDevices.pop_back();
  return success;
}

int cuCtxSetCurrent(void *context) {
  ENTER("cuCtxSetCurrent");
  currentDevice = (long)context - 1;
  return success;
}

#define ENTER_CONTEXT(...)                                                                                             \
  ENTER(__VA_ARGS__);                                                                                                  \
  if (currentDevice < 0) return invalidContext

int cuMemGetInfo_v2(size_t *free, size_t *total) {
  ENTER_CONTEXT("cuMemGetInfo_v2");
  *total = totalMemory();
  *free = freeMemory();
  return success;
}

int cuMemAlloc_v2(unsigned long long *address, size_t count) {
  ENTER_CONTEXT("cuMemAlloc_v2", " %zu", count);
  if (count == 0) return invalidValue;
  if (count > freeMemory()) return outOfMemory;
  size_t pages = wholePages(count);
  char *memory = (char *)mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return outOfMemory;
  mprotect(memory + pages, page, PROT_NONE);
  fillWithNaN(memory, pages);
  char *start = memory + (pages - count) / 8 * 8;
  allocations[start] = count;
  allocated += count;
  lastCopies.erase(start);
  *address = (unsigned long long)start | mark;
  return success;
}

int cuMemFree_v2(unsigned long long address) {
  ENTER_CONTEXT("cuMemFree_v2");
  auto found = allocations.find((char *)(address & ~mark));
  if (found == allocations.end()) return invalidValue;
  size_t pages = wholePages(found->second);
  munmap((char *)((unsigned long long)found->first / page * page), pages + page);
  allocated -= found->second;
  allocations.erase(found);
  return success;
}

int cuMemcpyHtoD_v2(unsigned long long destination, const void *source, size_t count) {
  ENTER_CONTEXT("cuMemcpyHtoD_v2", " %zu", count);
  char *to = place(destination, count);
  if (!to) return illegalAddress;
  memcpy(to, source, count);
  return success;
}

int cuMemcpyDtoH_v2(void *destination, unsigned long long source, size_t count) {
  ENTER_CONTEXT("cuMemcpyDtoH_v2", " %zu", count);
  char *from = place(source, count);
  if (!from) return illegalAddress;
  memcpy(destination, from, count);
  return success;
}

int cuMemcpyDtoD_v2(unsigned long long destination, unsigned long long source, size_t count) {
  ENTER_CONTEXT("cuMemcpyDtoD_v2", " %zu", count);
  char *to = place(destination, count), *from = place(source, count);
  if (!to || !from) return illegalAddress;
  memmove(to, from, count);
  begunWork++;
  lastCopies[(--allocations.upper_bound(from))->first] = begunWork;
  return success;
}

int cuMemAllocHost_v2(void **address, size_t count) {
  ENTER_CONTEXT("cuMemAllocHost_v2", " %zu", count);
  *address = malloc(count);
  pinned[*address] = count;
  return success;
}

int cuMemFreeHost(void *address) {
  ENTER_CONTEXT("cuMemFreeHost");
  if (!pinned.erase(address)) return invalidValue;
  lastUploads.erase(address);
  free(address);
  return success;
}

int cuStreamCreate(void **stream, unsigned flags) {
  ENTER_CONTEXT("cuStreamCreate");
  *stream = new Stream;
  return flags == 1 ? success : invalidValue;
}

int cuStreamDestroy_v2(Stream *stream) {
  ENTER_CONTEXT("cuStreamDestroy_v2");
  // It is kept: events that were recorded on it can still be waited for.
  (void)stream;
  return success;
}

int cuEventDestroy_v2(Event *event) {
  ENTER_CONTEXT("cuEventDestroy_v2");
  delete event;
  return success;
}

int cuEventCreate(void **event, unsigned flags) {
  ENTER_CONTEXT("cuEventCreate");
  *event = new Event;
  return flags == 2 || flags == 0 ? success : invalidValue;
}

int cuEventRecord(Event *event, Stream *stream) {
  ENTER_CONTEXT("cuEventRecord");
  *event = {stream, stream ? stream->waiting.size() : 0, begunWork};
  return success;
}

// Copies what was to be copied before the event.
static int perform(Event *event) {
  if (!event->stream) return event->work < 0 ? invalidValue : success;
  for (size_t &i = event->stream->done; i < event->copies; i++) {
    Copy copy = event->stream->waiting[i];
    char *memory = place(copy.device, copy.count);
    if (!memory) return illegalAddress;
    if (copy.isUpload)
      memcpy(memory, copy.host, copy.count);
    else
      memcpy(copy.host, memory, copy.count);
  }
  return success;
}

int cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
  ENTER_CONTEXT("cuStreamWaitEvent");
  // The work waits for copies, and copies for the work.
  if (!stream) return event->stream ? perform(event) : invalidValue;
  if (event->stream || event->work < 0) return invalidValue;
  stream->seen = std::max(stream->seen, event->work);
  return success;
}

// Work takes no time.
int cuEventElapsedTime(float *milliseconds, Event *, Event *) {
  ENTER_CONTEXT("cuEventElapsedTime");
  *milliseconds = 0;
  return success;
}

int cuEventSynchronize(Event *event) {
  ENTER_CONTEXT("cuEventSynchronize");
  if (event->stream) event->stream->known = std::max(event->stream->known, event->copies);
  return perform(event);
}

int cuMemcpyDtoHAsync_v2(void *destination, unsigned long long source, size_t count, Stream *stream) {
  ENTER_CONTEXT("cuMemcpyDtoHAsync_v2", " %zu", count);
  auto found = pinned.find(destination);
  if (found == pinned.end() || found->second < count || !place(source, count) || !stream) return invalidValue;
  // A copy that has not waited for what makes its source.
  if (stream->seen < begunWork) return launchFailed;
  stream->waiting.push_back({destination, source, count, false});
  return success;
}

int cuMemcpyHtoDAsync_v2(unsigned long long destination, void *source, size_t count, Stream *stream) {
  ENTER_CONTEXT("cuMemcpyHtoDAsync_v2", " %zu", count);
  auto found = pinned.find(source);
  char *to = place(destination, count);
  if (found == pinned.end() || found->second < count || !to || !stream) return invalidValue;
  // A copy that has not waited until what is there was taken.
  if (stream->seen < lastCopies[(--allocations.upper_bound(to))->first]) return launchFailed;
  // A source that the host has filled anew and may not know to be copied.
  auto last = lastUploads.find(source);
  if (last != lastUploads.end() && last->second.first->known < last->second.second) return launchFailed;
  stream->waiting.push_back({source, destination, count, true});
  lastUploads[source] = {stream, stream->waiting.size()};
  return success;
}

int cuMemsetD8_v2(unsigned long long address, unsigned char value, size_t count) {
  ENTER_CONTEXT("cuMemsetD8_v2", " %zu", count);
  char *to = place(address, count);
  if (!to) return illegalAddress;
  memset(to, value, count);
  return success;
}

int cuModuleLoadData(void **module, const void *image) {
  ENTER_CONTEXT("cuModuleLoadData");
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return invalidImage;
  size_t size = header->e_shoff + header->e_shnum * header->e_shentsize;
  int file = memfd_create("kernels", 0);
  if (file < 0 || write(file, image, size) != (ssize_t)size) return outOfMemory;
  std::string path = "/proc/self/fd/" + std::to_string(file);
  // Modules have variables of their own, even where the code is the same: the file stays open and its name unique.
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return invalidImage;
  auto found = [&](const char *name) { return (Index *)dlsym(library, name); };
  *(void (**)())dlsym(library, "wait_for_block") = leave;
  *module = new Module{library, file, found("threadIdx"), found("blockIdx"), found("blockDim"), found("gridDim")};
  return success;
}

int cuModuleUnload(Module *module) {
  ENTER_CONTEXT("cuModuleUnload");
  dlclose(module->library);
  close(module->file);
  delete module;
  return success;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
  ENTER_CONTEXT("cuModuleGetFunction", " %s", name);
  void *symbol = dlsym(((Module *)module)->library, (std::string("call_") + name).c_str());
  if (!symbol) return notFound;
  *function = new Kernel{(Module *)module, name, (void (*)(void **))symbol};
  return success;
}

int cuLaunchKernel(
    void *function, unsigned x, unsigned y, unsigned z, unsigned threadsX, unsigned threadsY, unsigned threadsZ,
    unsigned, void *, void **values, void **) {
  ENTER_CONTEXT("cuLaunchKernel", " %s %u %u %u", ((Kernel *)function)->name.c_str(), x, y, threadsX);
  if (x == 0 || x > 0x7fffffff || y == 0 || y > 65535 || z != 1) return invalidValue;
  if (threadsX == 0 || threadsX > 1024 || threadsY != 1 || threadsZ != 1) return invalidValue;
  begunWork++;
  kernel = (Kernel *)function;
  arguments = values;
  threads = threadsX;
  isReversed = currentDevice % 2 == 1;
  *kernel->module->blockDim = {threadsX, 1, 1};
  *kernel->module->gridDim = {x, y, 1};
  for (unsigned long long i = 0, count = (unsigned long long)x * y; i < count; i++) {
    unsigned block = isReversed ? count - 1 - i : i;
    *kernel->module->blockIdx = {block % x, block / x, 0};
    if (!runBlock()) return launchFailed;
  }
  return success;
}

// MARK: - libcublas

int cublasGetProperty(int property, int *value) {
  ENTER("cublasGetProperty");
  *value = setting("STAND_IN_TOOLKIT", 12040) / 1000;
  return property == 0 ? success : 7;
}

int cublasCreate_v2(Products **handle) {
  auto known = [](const char *name) { return getenv(name) ? getenv(name) : "unset"; };
  ENTER("cublasCreate_v2", " %s %s", known("NVIDIA_TF32_OVERRIDE"), known("CUBLAS_EMULATE_SINGLE_PRECISION"));
  *handle = new Products;
  return success;
}

int cublasDestroy_v2(Products *handle) {
  ENTER_CONTEXT("cublasDestroy_v2");
  delete handle;
  return success;
}

int cublasSetWorkspace_v2(Products *handle, unsigned long long address, size_t count) {
  ENTER_CONTEXT("cublasSetWorkspace_v2", " %zu", count);
  handle->workspace = place(address, count);
  return handle->workspace && address % 256 == 0 ? success : 7;
}

int cublasSetPointerMode_v2(Products *handle, int mode) {
  ENTER("cublasSetPointerMode_v2");
  handle->factorsOnDevice = mode == 1;
  return success;
}

// What tensor cores make of products of halves: Hopper adds 16 of them and the sum so far, each cut off 25 bits behind
// the largest, and cuts the new sum off to 24 bits. An H200's relative errors are its own to within 2 %.
float tensorCoreSum(const double *a, const double *b, int count) {
  double sum = 0;
  for (int first = 0; first < count; first += 16) {
    int last = std::min(first + 16, count);
    double largest = fabs(sum), terms[16];
    for (int l = first; l < last; l++) largest = std::max(largest, fabs(terms[l - first] = a[l] * b[l]));
    if (!std::isfinite(largest)) largest = 0;
    double unit = largest > 0 ? scalbn(1.0, ilogb(largest) - 25) : 1;
    double next = largest > 0 ? trunc(sum / unit) * unit : sum;
    for (int l = first; l < last; l++)
      next += largest > 0 ? trunc(terms[l - first] / unit) * unit : terms[l - first];
    if (next != 0 && std::isfinite(next)) {
      unit = scalbn(1.0, ilogb(next) - 23);
      next = trunc(next / unit) * unit;
    }
    sum = next;
  }
  return (float)sum;
}

// C = alpha · op(A) · op(B) + beta · C by columns, op(A) being (m,k) and op(B) (k,n); C in float32, A and B in that or in
// half precision or bfloat16, of which tensor cores take the sums. Others are taken in float32, in parts whose number follows from the product's size: a GPU too chooses by it in
// which order it adds, and divides long sums where there are few of them.
int cublasGemmEx(
    Products *handle, int isATransposed, int isBTransposed, int m, int n, int k, const float *alpha,
    unsigned long long a, int typeA, int lda, unsigned long long b, int typeB, int ldb, const float *beta,
    unsigned long long c, int typeC, int ldc, int computeType, int) {
  ENTER_CONTEXT("cublasGemmEx", " %d %d %d %d %d", m, n, k, typeA, computeType);
  begunWork++;
  // In memory of the GPU's own choice sums would depend on what neighbours leave.
  if (!handle->workspace) return 1;
  const bool isHalf = typeA == 2 || typeA == 14;
  if (typeA != typeB || (typeA != 0 && !isHalf) || typeC != 0 || m <= 0 || n <= 0 || k < 0) return 7;
  if (computeType != 68 && (computeType != 77 || isHalf)) return 15;
  if (handle->factorsOnDevice) {
    alpha = (const float *)place((unsigned long long)alpha, sizeof *alpha);
    beta = (const float *)place((unsigned long long)beta, sizeof *beta);
    if (!alpha || !beta) return 7;
  }
  const int bits = computeType == 77 ? 11 : 24;
  auto check = [](unsigned long long address, long columns, long rows, long distance, size_t size) {
    return distance < rows ? nullptr : place(address, ((columns - 1) * distance + rows) * size);
  };
  const size_t size = isHalf ? 2 : 4;
  char *A = isATransposed ? check(a, m, k, lda, size) : check(a, k, m, lda, size);
  char *B = isBTransposed ? check(b, k, n, ldb, size) : check(b, n, k, ldb, size);
  float *C = (float *)check(c, n, m, ldc, sizeof(float));
  if (!A || !B || !C) return 7;
  auto factor = [&](char *matrix, size_t i) -> float {
    if (typeA == 2) return (float)((_Float16 *)matrix)[i];
    return isHalf ? fromBfloat16(((unsigned short *)matrix)[i]) : cut(((float *)matrix)[i], bits);
  };
  if (isHalf) {
    std::vector<double> left((size_t)m * k), right(k);
    for (int i = 0; i < m; i++)
      for (int l = 0; l < k; l++)
        left[(size_t)i * k + l] = factor(A, isATransposed ? (size_t)i * lda + l : (size_t)l * lda + i);
    for (int j = 0; j < n; j++) {
      for (int l = 0; l < k; l++) right[l] = factor(B, isBTransposed ? (size_t)l * ldb + j : (size_t)j * ldb + l);
      for (int i = 0; i < m; i++) {
        float *place = C + (size_t)j * ldc + i;
        double sum = tensorCoreSum(&left[(size_t)i * k], right.data(), k);
        *place = (float)(*alpha * sum + (*beta == 0 ? 0 : *beta * *place));
      }
    }
    return success;
  }
  // By rows of k, so that the inner loop runs along memory and has a sum for each of its numbers.
  std::vector<float> left((size_t)m * k);
  for (int l = 0; l < k; l++)
    for (int i = 0; i < m; i++)
      left[(size_t)l * m + i] = factor(A, isATransposed ? (size_t)i * lda + l : (size_t)l * lda + i);
  const int parts = n > 512 ? 4 : n > 256 ? 2 : std::max(1, (k + 1023) / 1024);
  std::vector<float> sums((size_t)parts * m);
  for (int j = 0; j < n; j++) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int l = 0; l < k; l++) {
      const float right = factor(B, isBTransposed ? (size_t)l * ldb + j : (size_t)j * ldb + l);
      const float *column = left.data() + (size_t)l * m;
      float *sum = sums.data() + (size_t)(l % parts) * m;
      for (int i = 0; i < m; i++) sum[i] += column[i] * right;
    }
    for (int i = 0; i < m; i++) {
      float sum = sums[i];
      for (int part = 1; part < parts; part++) sum += sums[(size_t)part * m + i];
      float *place = C + (size_t)j * ldc + i;
      *place = *alpha * sum + (*beta == 0 ? 0 : *beta * *place);
    }
  }
  return success;
}

// MARK: - libnvrtc

int nvrtcVersion(int *major, int *minor) {
  ENTER("nvrtcVersion");
  *major = setting("STAND_IN_TOOLKIT", 12040) / 1000;
  *minor = setting("STAND_IN_TOOLKIT", 12040) % 1000 / 10;
  return success;
}

int nvrtcGetNumSupportedArchs(int *count) {
  ENTER("nvrtcGetNumSupportedArchs");
  *count = 5;
  return success;
}

int nvrtcGetSupportedArchs(int *architectures) {
  ENTER("nvrtcGetSupportedArchs");
  for (int architecture : {90, 50, 61, 70, 80}) *architectures++ = architecture;
  return success;
}

int nvrtcCreateProgram(Program **program, const char *source, const char *, int, void *, void *) {
  ENTER("nvrtcCreateProgram");
  *program = new Program{source, "", ""};
  return success;
}

int nvrtcDestroyProgram(Program **program) {
  ENTER("nvrtcDestroyProgram");
  delete *program;
  *program = nullptr;
  return success;
}

int nvrtcCompileProgram(Program *program, int count, const char **options) {
  ENTER("nvrtcCompileProgram", " %s", count > 0 ? options[0] : "");
  char folder[] = "/tmp/stand-in-XXXXXX";
  if (!mkdtemp(folder)) return 1;
  std::string base = std::string(folder) + "/kernels";
  std::ofstream file(base + ".cpp");
  file << readAll(PRELUDE) << program->source;
  for (const auto &name : kernelNames(program->source))
    file << "\nextern \"C\" void call_" << name << "(void **arguments) { call(" << name << ", arguments); }";
  file.close();
  std::string command = std::string(COMPILER " -std=c++17 -O2 -shared -fPIC -w -o ") + base +
                        ".so " + base + ".cpp > " + base + ".log 2>&1";
  int status = system(command.c_str());
  program->log = readAll(base + ".log");
  program->code = readAll(base + ".so");
  for (const char *suffix : {".cpp", ".so", ".log"}) unlink((base + suffix).c_str());
  rmdir(folder);
  // NVRTC_ERROR_COMPILATION
  return status == 0 ? success : 6;
}

int nvrtcGetProgramLogSize(Program *program, size_t *size) {
  *size = program->log.size() + 1;
  return success;
}

int nvrtcGetProgramLog(Program *program, char *log) {
  memcpy(log, program->log.c_str(), program->log.size() + 1);
  return success;
}

int nvrtcGetCUBINSize(Program *program, size_t *size) {
  ENTER("nvrtcGetCUBINSize");
  *size = program->code.size();
  return success;
}

int nvrtcGetCUBIN(Program *program, char *code) {
  memcpy(code, program->code.data(), program->code.size());
  return success;
}

int nvrtcGetPTXSize(Program *program, size_t *size) {
  ENTER("nvrtcGetPTXSize");
  *size = program->code.size();
  return success;
}

int nvrtcGetPTX(Program *program, char *code) {
  memcpy(code, program->code.data(), program->code.size());
  return success;
}

}  // extern "C"
