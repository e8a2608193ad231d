#pragma once
// `gatewright convert` of language models.
#include <string>

namespace gw {

/// Whether the path is a run directory, which holds a recipe.
bool is_run(const std::string& path);
/// Whether the path or name is that of a folder with a config.json or of a GGUF file.
bool is_language_model(const std::string& name);
/// Writes a model as the folder that transformers loads, `type` file, f32 or bf16; or, where `out` ends with
/// .gguf, as llama.cpp's file, `type` f16, bf16, q8_0 or f32. Prints what was written.
/// Errors: as load_language_model, save_language_model and save_gguf.
void convert_model(const std::string& path, const std::string& out, const std::string& type, bool json);
/// The same of a run of networks/language_model: its file's tensors with the weights that were trained; or of
/// networks/encoder_decoder, as a folder of nllb-moe. Errors: as convert_model and as_published; ValueError
/// for a run of another network.
void convert_trained(const std::string& run, const std::string& checkpoint, const std::string& out,
                     const std::string& type, bool json);
/// Whether a path names a GGUF file.
bool wants_gguf(const std::string& out);

}  // namespace gw
