// The files that a model's weights lie in, whatever its form: a directory with one file or with
// shards, a GGUF file, or adapters beside their base.
//
// Thread safety: plain functions. Errors: kNotFound and kCorruptData naming the file, as opening
// the model would.
#pragma once

#include <string>
#include <vector>

namespace alambic {

// Paths of everything that decides the numbers of the model, in a fixed order: those of a base come
// before its adapters.
std::vector<std::string> weight_files(const std::string& model);

// Where the files of a model disagree and what was taken, or what of them is not used: a line each,
// for people.
std::vector<std::string> model_notes(const std::string& model);

// SHA-256 of the one file; of several, that of the lines that `sha256sum` prints of them.
std::string weights_checksum(const std::string& model);

}  // namespace alambic
