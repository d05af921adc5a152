// A linear classifier as a file: writing it, and reading it with every check.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/eval/linear_classifier.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/what_lies_at.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr const char* kFormat = "alambic-linear";
constexpr const char* kVersion = "1";

std::string lines_of(const std::vector<std::string>& terms) {
  std::string text;
  for (const std::string& term : terms) text.append(term).append("\n");
  return text;
}

template <class T>
TensorEntry tensor_of(const char* name, DType dtype, std::vector<int64_t> shape,
                      std::span<const T> values) {
  return {name, dtype, std::move(shape), std::as_bytes(values)};
}

// The tensors of a file, each of the type and shape that it must have.
class LinearFile {
 public:
  LinearFile(const SafetensorsFile& file, std::string_view where) : file_(file), where_(where) {}

  const std::string& text(const char* key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end())
      fail(ErrorCode::kCorruptData, "[{}] metadata has no \"{}\"", where_, key);
    return found->second;
  }
  // Of a number of two dimensions at most; -1: any.
  const TensorEntry& tensor(const char* name, DType dtype, std::vector<int64_t> shape) const {
    const TensorEntry* entry = file_.find(name);
    if (entry == nullptr) fail(ErrorCode::kCorruptData, "[{}] has no tensor {}", where_, name);
    bool fits = entry->dtype == dtype && entry->shape.size() == shape.size();
    for (size_t i = 0; fits && i < shape.size(); ++i)
      fits = shape[i] < 0 || entry->shape[i] == shape[i];
    if (!fits) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} is {} [{}]; want {} [{}]", where_, name,
           dtype_name(entry->dtype), fmt::join(entry->shape, ", "), dtype_name(dtype),
           fmt::join(shape, ", "));
    }
    return *entry;
  }
  std::vector<float> floats(const char* name, int64_t count) const {
    const TensorEntry& entry = tensor(name, DType::kF32, {count});
    std::vector<float> values(static_cast<size_t>(count));
    to_floats(entry, values);
    return values;
  }
  std::vector<std::string> terms(const char* name) const {
    const TensorEntry& entry = tensor(name, DType::kU8, {-1});
    const std::string_view text(reinterpret_cast<const char*>(entry.bytes.data()),
                                entry.bytes.size());
    if (!text.empty() && (text.back() != '\n' || valid_utf8_prefix(text) != text.size())) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} is not lines of UTF-8", where_, name);
    }
    const auto count = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    if (count > TfIdf::kMaxFeatures) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} has {} terms; want at most {}", where_, name,
           count, TfIdf::kMaxFeatures);
    }
    std::vector<std::string> terms;
    terms.reserve(count);
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      terms.emplace_back(text.substr(at, end - at));
      at = end + 1;
    }
    return terms;
  }
  std::vector<std::string> labels() const {
    const Json list = parse_json(text("labels"), where_);
    const bool right =
        list.is_array() && !list.empty() && list.size() <= LinearClassifier::kMaxClasses &&
        std::all_of(list.begin(), list.end(), [](const Json& item) { return item.is_string(); });
    if (!right) {
      fail(ErrorCode::kCorruptData, "[{}] \"labels\" are no list of 1 to {} texts", where_,
           LinearClassifier::kMaxClasses);
    }
    auto labels = list.get<std::vector<std::string>>();
    if (std::set<std::string>(labels.begin(), labels.end()).size() != labels.size())
      fail(ErrorCode::kCorruptData, "[{}] \"labels\" holds one twice", where_);
    return labels;
  }
  double number(const char* key, double low, double high) const {
    const Json value = parse_json(text(key), where_);
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
      fail(ErrorCode::kCorruptData, "[{}] \"{}\" is {}; want a number from {} to {}", where_, key,
           text(key), low, high);
    }
    return value.get<double>();
  }

 private:
  const SafetensorsFile& file_;
  std::string_view where_;
};

}  // namespace

void LinearClassifier::save(const std::string& directory) const {
  const std::string words = lines_of(tfidf_.words()), characters = lines_of(tfidf_.characters());
  const auto terms = static_cast<int64_t>(tfidf_.features());
  const auto labels = static_cast<int64_t>(classes_.size());
  const TensorEntry tensors[] = {
      tensor_of<float>("idf", DType::kF32, {terms}, tfidf_.inverse_frequencies()),
      tensor_of<float>("scales", DType::kF32, {terms + 1}, scales_),
      tensor_of<int8_t>("weights", DType::kI8, {terms + 1, labels}, weights_),
      tensor_of<char>("words", DType::kU8, {static_cast<int64_t>(words.size())}, words),
      tensor_of<char>("characters", DType::kU8, {static_cast<int64_t>(characters.size())},
                      characters)};
  make_directories(directory);
  write_safetensors(directory + "/" + kLinearFile, tensors,
                    {{"format", kFormat},
                     {"version", kVersion},
                     {"labels", dump_json(Json(classes_))},
                     {"temperature", dump_json(Json(temperature_))},
                     {"rows", fmt::format("{}", rows_)},
                     {"learned_from", learned_from_}});
}

LinearClassifier LinearClassifier::parse(std::span<const std::byte> bytes, std::string_view where) {
  const SafetensorsFile safetensors = SafetensorsFile::parse(bytes, where);
  const LinearFile file(safetensors, where);
  if (file.text("format") != kFormat) {
    fail(ErrorCode::kCorruptData, "[{}] is no linear classifier: its format is \"{}\"", where,
         file.text("format"));
  }
  if (file.text("version") != kVersion) {
    fail(ErrorCode::kUnsupported, "[{}] has version \"{}\"; this alambic reads version {}", where,
         file.text("version"), kVersion);
  }
  std::vector<std::string> words = file.terms("words"), characters = file.terms("characters");
  const auto terms = static_cast<int64_t>(words.size() + characters.size());
  LinearClassifier model(
      TfIdf(std::move(words), std::move(characters), file.floats("idf", terms), where),
      file.labels());
  model.scales_ = file.floats("scales", terms + 1);
  for (const float scale : model.scales_) {
    // Far beyond any separator, and small enough that no sum of margins overflows.
    if (!(scale >= 0 && scale <= 1e6F))
      fail(ErrorCode::kCorruptData, "[{}] a scale is {}; want 0 to 1e6", where, scale);
  }
  const TensorEntry& weights =
      file.tensor("weights", DType::kI8, {terms + 1, static_cast<int64_t>(model.classes_.size())});
  model.weights_.resize(weights.bytes.size());
  std::memcpy(model.weights_.data(), weights.bytes.data(), weights.bytes.size());
  model.temperature_ = file.number("temperature", 1e-3, 1e3);
  model.rows_ = static_cast<int64_t>(file.number("rows", 1, 1e15));
  model.learned_from_ = file.text("learned_from");
  return model;
}

LinearClassifier LinearClassifier::load(const std::string& directory) {
  const std::string path = directory + "/" + kLinearFile;
  const MappedFile file(path);
  return parse(file.bytes(), path);
}

}  // namespace alambic
