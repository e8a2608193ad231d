#pragma once
// Values of 8 and 4 bits that share scales, as files have them, expanded on the way into panels.
// Math:   fp8: value(code)·scale of its block, value of E4M3FN: 4 bits for the exponent, biased by 7, 3
// behind
//         the point, no infinities. mxfp4: 32 values of E2M1 (0, ½, 1, 1½, 2, 3, 4, 6 and a sign), the even
//         ones in the low halves of 16 bytes, times 2^(exponent − 127). Both are exact but for the one
//         rounding of the product, so that every level gives the same bits.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels {

inline constexpr int64_t kMxfp4Group = 32;  ///< values that share an exponent
inline constexpr int64_t kMxfp4Bytes = 16;  ///< of their codes

/// One level.
struct CodesTable {
  /// to[i] = value(codes[i])·scale.
  void (*fp8)(const uint8_t* codes, int64_t n, float scale, float* to);
  /// The values of whole groups. An exponent of 255 gives infinity.
  void (*mxfp4)(const uint8_t* codes, const uint8_t* exponents, int64_t groups, float* to);
  /// To the nearest bf16, ties to even; NaN stays one.
  void (*narrow)(const float* from, int64_t n, Bf16* to);
};

extern const CodesTable codes_ref, codes_avx2;

enum class CodeForm { fp8, mxfp4 };

/// A matrix as a file has it, of which lane l is row first + l·step: halves of a stack of gate and up, and
/// rows by turns, are read where they are.
struct CodedRows {
  const CodesTable* table = nullptr;
  CodeForm form = CodeForm::fp8;
  const uint8_t* codes = nullptr;
  const void* scales = nullptr;             ///< fp8: f32; mxfp4: exponents, a byte each
  int64_t stride = 0;                       ///< bytes of codes in a row
  int64_t scale_stride = 0;                 ///< scales in a row of blocks
  int64_t rows = 1, columns = kMxfp4Group;  ///< of a block that shares a scale
  int64_t first = 0, step = 1;
};

}  // namespace gw::kernels
