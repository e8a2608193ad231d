#pragma once
#include <functional>

namespace gw::ops {

/// What this processor can do with the threads that libtorch has now, measured: 1e9 operations (a multiply and an add are two) or bytes a second.
/// Zero where the instruction is missing. Matrix units (AMX) are not among them.
struct Peaks {
  double f32 = 0, bf16 = 0, int8 = 0;  ///< loops of FMA, of the bf16 dot product, of the int8 dot product over registers
  double read = 0;                     ///< reading 512 MB
};

/// Best of several rounds, about a second in all. The clock is given: the library reads none.
Peaks measure_peaks(const std::function<double()>& now_s);

}  // namespace gw::ops
