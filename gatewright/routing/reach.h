#pragma once
// Does a loss reach the router? The commonest silent bug of mixtures is a balance loss that is constant,
// detached or never added (six independent stacks shipped one), so this is asked, not assumed.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace gw::inline routing {

/// Norm of d loss / d parameters over all of them; 0 where the loss does not depend on any. The graph is
/// kept.
double gradient_norm(const at::Tensor& loss, const std::vector<at::Tensor>& parameters);

/// The same, for a loss that is there to teach the router.
/// Errors: ValueError naming the loss if the norm is zero or there is no router to reach.
double router_reach(const std::string& name, const at::Tensor& loss,
                    const std::vector<at::Tensor>& router_parameters);

}  // namespace gw::inline routing
