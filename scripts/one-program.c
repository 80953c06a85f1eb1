// All programs in one file, of which each is the part that its name stands for:
//
//     gradient-filters PROGRAM ARGUMENT…
//
// Ten programs that each hold the same libraries take ten times the room; see scripts/link-programs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// In the Swift runtime: what CommandLine.arguments says.
void _swift_stdlib_overrideUnsafeArgvArgc(char **argv, int argc);

#define PROGRAM(name, entry) int entry(int, char **);
#include "programs.inc"
#undef PROGRAM

int main(int argc, char **argv) {
  if (argc < 2) {
    fputs("gradient-filters: expected a program's name and its arguments\n", stderr);
    return 64;
  }
  argc -= 1;
  argv += 1;
  const char *program = argv[0];
  // The drop-in commands are gradient-run under their own names, which a script in between cannot hand on.
  char *called = getenv("GRADIENT_FILTERS_CALLED");
  if (called && !strcmp(program, "gradient-run")) argv[0] = strdup(called);
  unsetenv("GRADIENT_FILTERS_CALLED");
  _swift_stdlib_overrideUnsafeArgvArgc(argv, argc);
#define PROGRAM(name, entry) \
  if (!strcmp(program, name)) return entry(argc, argv);
#include "programs.inc"
  fprintf(stderr, "gradient-filters: no program '%s'\n", program);
  return 64;
}
