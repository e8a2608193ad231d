#pragma once
// What a model is and what it takes, from headers alone.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/language/opened_model.h"

namespace gw::inline language {

/// A model in memory, as one of LoadOptions::weights.
struct HeldView {
  std::string weights;
  int64_t bytes = 0;  ///< of all weights; those that look at the file count too
  int64_t read = 0;   ///< weights that one more token of one text reads; of a written one, beside a source
  int64_t remembered = 0;  ///< keys and values that a token leaves behind, a source's token as many
};

struct ModelView {
  std::string where, family;
  DecoderOptions options;
  std::optional<DecoderOptions> encoder;  ///< of a model that reads one text and writes another
  int64_t routed_layers = 0;
  int64_t parameters = 0;
  int64_t active = 0;  ///< without the experts that do not serve a token; of both sides, where there are two
  int64_t file_bytes = 0;
  std::map<std::string, int64_t> types;  ///< values of each type in the files
  std::vector<HeldView> held;            ///< file, keep (of files in codes), f32, bf16, int8, int4
};

/// Errors: as load_language_model, but for tensors of other shapes and tensors that nobody reads.
/// Cost:   the headers of the files.
ModelView view_language_model(const std::string& path);
/// The same of a model that reads one text and writes another. Errors: as load_encoder_decoder, as above.
ModelView view_encoder_decoder(const std::string& path);

}  // namespace gw::inline language
