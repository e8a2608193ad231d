#pragma once
// Matrices in codes as the kernels take them. Not for users.
#include "gatewright/kernels/codes/codes.h"
#include "gatewright/ops/coded.h"

namespace gw::ops {

/// Points into the matrix, which check_coded() has seen; for the level of now.
kernels::CodedRows coded_rows(const CodedMatrix& matrix);

}  // namespace gw::ops
