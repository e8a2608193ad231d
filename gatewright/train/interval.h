#pragma once
#include <cstddef>
#include <vector>

namespace gw::inline train {

inline constexpr size_t kLeastForT = 2;          ///< values that a t interval needs
inline constexpr size_t kLeastForBootstrap = 5;  ///< with fewer it is far narrower than it claims to be

/// The t for which a Student variable of so many degrees of freedom is below it with probability p.
/// Errors: ValueError unless 0 < p < 1 and freedom >= 1.
double student_quantile(double p, int freedom);

/// A number that the mean of what the values are drawn from exceeds with this confidence (one-sided).
/// Errors: ValueError for fewer values than the kind of interval needs.
double lower_by_t(const std::vector<double>& values, double confidence);
/// The same by the percentile bootstrap: 10 000 resamples, always the same ones.
double lower_by_bootstrap(const std::vector<double>& values, double confidence);

}  // namespace gw::inline train
