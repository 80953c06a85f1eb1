#pragma once
// The state as a plain struct, so that a hash needs no allocation.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
