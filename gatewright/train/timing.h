#pragma once
#include <functional>

#include "gatewright/models/model.h"

namespace gw::inline train {

/// Median milliseconds per example of several models at one batch size, measured in turns so that a noisy
/// machine disturbs all alike. The clock is given: the library reads none.
/// Examples are noise (Model::example); evaluation mode, no recording. Image networks run compiled
/// (gatewright/models/compiled_network.h) where they can be and are faster so at this batch, as a server
/// would run them; others with batch norm folded.
std::vector<double> milliseconds_per_example(const std::vector<Model*>& models, int64_t batch, int64_t rounds,
                                             const std::function<double()>& now_s);

/// The median; of an even number the greater of the middle two. Errors: expects one value at least.
double median_of(std::vector<double> values);

/// Seconds that two ways of the same work take.
struct TurnTimes {
  std::vector<double> first, second;  ///< of each round
};
/// Both ways `rounds` times in turns, so that what else the machine does disturbs both alike; one turn before
/// prepares what later ones find and is not counted.
TurnTimes time_in_turns(const std::function<void(int64_t round)>& first,
                        const std::function<void(int64_t round)>& second, int64_t rounds,
                        const std::function<double()>& now_s);

}  // namespace gw::inline train
