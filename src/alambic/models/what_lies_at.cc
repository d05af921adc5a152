#include "alambic/models/what_lies_at.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/models/adapters.h"
#include "alambic/models/gguf_model.h"

namespace alambic {

namespace fs = std::filesystem;

bool is_model(const std::string& path) {
  return is_gguf(path) || file_exists(path + "/config.json") || is_adapter_directory(path);
}

bool is_run(const std::string& path) {
  return file_exists(path + "/recipe.toml") && !file_exists(path + "/config.json");
}

bool is_linear_classifier(const std::string& path) {
  return file_exists(path + "/" + kLinearFile) && !is_model(path);
}

namespace {

std::string directory_in_words(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path, error))
    names.push_back(entry.path().filename().string());
  if (error) return fmt::format("a directory that cannot be read ({})", error.message());
  if (names.empty()) return "an empty directory";
  std::sort(names.begin(), names.end());
  const auto one = [&](const char* ending) {
    const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
      return name.ends_with(ending);
    });
    return found == names.end() ? "" : *found;
  };
  if (is_run(path)) {
    return is_model(path + "/student") ? fmt::format("a run; its student is {}/student", path)
                                       : "a run that has no student yet";
  }
  if (is_linear_classifier(path)) {
    return "a linear classifier, which alambic eval, generate, serve and inspect can open";
  }
  if (const std::string gguf = one(".gguf"); !gguf.empty())
    return fmt::format("a directory of GGUF files; name one of them, such as {}/{}", path, gguf);
  for (const std::string& name : names) {
    const std::string inner = fmt::format("{}/{}", path, name);
    if (is_model(inner)) return fmt::format("a directory of models, such as {}", inner);
  }
  if (!one(".safetensors").empty()) return "a directory with weights and no config.json";
  return "a directory without config.json";
}

std::string file_in_words(const std::string& path) {
  std::array<char, 512> buffer{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return "a file that cannot be read";
  file.read(buffer.data(), buffer.size());
  const std::string_view head(buffer.data(), static_cast<size_t>(file.gcount()));
  if (head.empty()) return "an empty file";
  if (head.starts_with("SQLite format 3")) return "a signal store, or another SQLite file";
  if (head.starts_with("\x1f\x8b")) return "a gzip file";
  if (head.starts_with("PK\x03\x04")) return "a zip archive, such as a .bin or .pt of PyTorch";
  if (head.size() > 8 && head[8] == '{' && head[6] == '\0' && head[7] == '\0')
    return fmt::format(
        "a file of weights alone; name the directory that it lies in, {}",
        fs::path(path).has_parent_path() ? fs::path(path).parent_path().string() : ".");
  const bool text = std::none_of(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f';
  });
  if (!text) return "a file of another kind";
  if (path.ends_with(".toml")) return "a recipe, or another TOML file";
  const size_t first = head.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (head[first] == '{' || head[first] == '['))
    return "a JSON file";
  return "a text file";
}

}  // namespace

std::string what_lies_at(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return "nothing";
  if (fs::is_directory(status)) return directory_in_words(path);
  if (fs::is_regular_file(status)) return file_in_words(path);
  return "a device or pipe";
}

void check_is_model(const std::string& path) {
  if (is_model(path)) return;
  if (path.empty()) {
    fail(ErrorCode::kInvalidArgument, "got an empty name; want a model directory or GGUF file");
  }
  std::error_code error;
  if (!fs::exists(path, error)) {
    fail(ErrorCode::kNotFound, "[{}] does not exist; want a model directory or GGUF file", path);
  }
  fail(ErrorCode::kInvalidArgument, "[{}] is {}; want a model directory or GGUF file", path,
       what_lies_at(path));
}

}  // namespace alambic
