#pragma once
#include <functional>
#include <memory>
#include <vector>

namespace gw::ops {

class Workspace;

/// What this processor can do with the threads that libtorch has now, measured: 1e9 operations (a multiply
/// and an add are two) or bytes a second.
/// Zero where the instruction is missing. Matrix units (AMX) are not among them.
struct Peaks {
  double f32 = 0, bf16 = 0,
         int8 = 0;  ///< loops of FMA, of the bf16 dot product, of the int8 dot product over registers (AVX2:
                    ///< pairs of 16 bits and an addition)
  double int4 = 0;  ///< what codes of 4 bits have where that is more: bytes by bytes and an addition
  double f32_fed =
      0;            ///< FMA of which every second takes a factor from the first-level cache, as products do
  double read = 0;  ///< reading 128 MB
};

/// Short measurements of the peaks, to be taken in turns with what they are compared with: a disturbance then
/// hits both.
class PeakProbe {
 public:
  /// Takes 512 MB. The clock is given: the library reads none.
  explicit PeakProbe(std::function<double()> now_s);
  /// One measurement of all six, about 25 ms in all. Each reads another part of the memory.
  Peaks once();

 private:
  double operations(int64_t (*loop)(int64_t)) const;
  double reading();

  std::function<double()> now_s_;
  std::shared_ptr<Workspace> memory_;
  char* bytes_;
  int64_t next_ = 0;
};

/// The median of each.
Peaks median(const std::vector<Peaks>& rounds);
/// The best of each.
Peaks best(const std::vector<Peaks>& rounds);

}  // namespace gw::ops
