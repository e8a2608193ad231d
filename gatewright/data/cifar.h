#pragma once
#include <string>

#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// How the binary versions of CIFAR lay out a record: some labels of one byte, then the red, green and blue
/// planes of 32 x 32 pixels.
struct CifarRecords {
  int64_t labels = 1;  ///< bytes before the image
  int64_t label = 0;   ///< which of them is the class
  int64_t classes = 10;
};

/// Reads one file of records, plain or gzip.
/// Shapes: → "image" [n, 3, 32, 32] uint8, "label" [n] int64.
/// Errors: ValueError naming the file for bytes that are no whole records, none at all, or a label that is no
///         class; IoError if the file cannot be read.
/// Source: Krizhevsky 2009, the binary versions' description at cs.toronto.edu/~kriz/cifar.html.
TensorSet read_cifar(const std::string& part, const std::string& path, const CifarRecords& records);

}  // namespace gw::inline data
