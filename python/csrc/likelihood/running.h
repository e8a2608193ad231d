#pragma once
// Long computations under Python: without the GIL, stopped by Ctrl-C, ended before the interpreter is.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>

#include "gatewright/base/stop.h"

namespace gw::python {

/// Runs `body` on a thread of its own and waits without the GIL; its Stop is requested by Ctrl-C and when the
/// interpreter goes down. A thread of its own has a pool of its own, which ends with it: none spins beside
/// torch's afterwards, and a forked child finds no pool whose threads stayed in the parent (the reason why
/// OpenMP hangs there). In the main thread signals are looked after every 50 ms.
/// `threads`: of the pool; 0: what OpenMP gives the caller (OMP_NUM_THREADS, threadpoolctl).
/// Errors: the exception that Python's signal handler raised, after `body` has ended; Interrupted when the
///         interpreter goes down; what `body` throws.
/// Cost:   0.1 ms beside the body.
void run_apart(int64_t threads, const std::function<void(const Stop&)>& body);

/// The same for what takes less than a wink and starts no threads: on the caller's thread.
void run_here(const std::function<void(const Stop&)>& body);

/// Registers what ends computations of daemon threads before the interpreter goes down.
void register_shutdown();

}  // namespace gw::python
