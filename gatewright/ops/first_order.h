#pragma once

namespace gw::ops {

/// For a backward pass that autograd cannot follow. Errors: ValueError under create_graph: second derivatives
/// would be silently wrong.
void check_first_order(const char* part);

}  // namespace gw::ops
