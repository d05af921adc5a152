#include "alambic/data/trained_on.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_set>

#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/base/sha256.h"
#include "alambic/data/contamination.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigits = 12;  // of a hash, hexadecimal: 48 bits
constexpr size_t kMostHashes = size_t{1} << 20;

uint64_t short_key(const Example& example) { return words_key(compared_text(example)) >> 16; }

}  // namespace

void save_trained_on(const std::string& directory, std::span<const std::string> files,
                     std::span<const Example> examples) {
  OrderedJson record;
  record["files"] = OrderedJson::array();
  for (const std::string& path : files) {
    if (!fs::is_regular_file(path)) continue;
    record["files"].push_back({{"name", fs::path(path).filename().string()},
                               {"bytes", fs::file_size(path)},
                               {"sha256", sha256_of_file(path)}});
  }
  std::vector<uint64_t> keys;
  keys.reserve(examples.size());
  for (const Example& example : examples) keys.push_back(short_key(example));
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (keys.size() > kMostHashes) keys.resize(kMostHashes);  // the smallest: a sample
  std::string digits;
  digits.reserve(kDigits * keys.size());
  for (const uint64_t key : keys) fmt::format_to(std::back_inserter(digits), "{:012x}", key);
  record["rows"] = examples.size();
  record["prompts"] = std::move(digits);
  write_file_atomic((fs::path(directory) / kTrainedOnFile).string(), dump_json(record, 1) + "\n");
}

void carry_trained_on(const std::string& from, const std::string& to) {
  const std::string path = (fs::path(from) / kTrainedOnFile).string();
  if (!file_exists(path)) return;
  write_file_atomic((fs::path(to) / kTrainedOnFile).string(), read_file(path));
}

std::optional<SeenInTraining> seen_in_training(const std::string& directory,
                                               const std::string& file,
                                               std::span<const Example> examples) {
  const std::string path = (fs::path(directory) / kTrainedOnFile).string();
  if (!file_exists(path)) return std::nullopt;
  const Json record = read_json_file(path);
  const auto digits = require<std::string>(record, "prompts", path);
  std::unordered_set<uint64_t> keys;
  for (size_t at = 0; at < digits.size(); at += kDigits) {
    uint64_t key = 0;
    const char* end = digits.data() + std::min(digits.size(), at + kDigits);
    if (std::from_chars(digits.data() + at, end, key, 16).ptr != digits.data() + at + kDigits) {
      fail(ErrorCode::kCorruptData, "[{}] key \"prompts\" is no list of hashes", path);
    }
    keys.insert(key);
  }
  SeenInTraining seen;
  if (record.contains("files") && record.at("files").is_array() && fs::is_regular_file(file)) {
    const auto size = static_cast<uint64_t>(fs::file_size(file));
    for (const Json& known : record.at("files")) {
      // The sum is only worth its time where the size agrees.
      seen.same_file =
          seen.same_file || (require<uint64_t>(known, "bytes", path) == size &&
                             require<std::string>(known, "sha256", path) == sha256_of_file(file));
    }
  }
  for (const Example& example : examples) seen.rows += keys.contains(short_key(example)) ? 1 : 0;
  return seen;
}

}  // namespace alambic
