#pragma once
// What banks promise, declared as constants and shown by `gatewright list`.
#include <string>
#include <vector>

namespace gw::inline experts {

/// The word for BankTraits::bf16, by which models ask for it.
inline constexpr const char* kComputesInBf16 = "computes in bf16";

struct BankTraits {
  bool bf16 = false;  ///< has the option `compute`: products in bf16 of weights that stay f32

  std::vector<std::string> words() const {
    return bf16 ? std::vector<std::string>{kComputesInBf16} : std::vector<std::string>{};
  }
};

}  // namespace gw::inline experts
