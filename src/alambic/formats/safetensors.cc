#include "alambic/formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <unordered_set>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/formats/float16.h"

namespace alambic {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they lie on disk");

constexpr size_t kPrefix = 8;                         // bytes of the header length
constexpr uint64_t kMaxHeader = uint64_t{100} << 20;  // what other readers accept, too
constexpr std::string_view kMetadataKey = "__metadata__";

// The header as a JSON object. nlohmann keeps the last of two equal keys, so a callback looks for
// the second; it also bounds the depth, which for a legal header is 3 (root, tensor, shape).
Json parse_header(std::string_view text, std::string_view where) {
  std::unordered_set<std::string> names;
  std::set<std::string> fields;  // of the tensor being read
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 3) fail(ErrorCode::kCorruptData, "[{}] header is nested too deep", where);
    if (event == Json::parse_event_t::object_start && depth == 1) fields.clear();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!(depth == 1 ? names.insert(key).second : fields.insert(key).second)) {
        fail(ErrorCode::kCorruptData, "[{}] \"{}\" occurs twice in the header", where, key);
      }
    }
    return true;
  };
  try {
    Json header = Json::parse(text, watch);
    if (header.is_object()) return header;
    fail(ErrorCode::kCorruptData, "[{}] header is a JSON {}; want an object", where,
         header.type_name());
  } catch (const Json::parse_error& error) {
    fail(ErrorCode::kCorruptData, "[{}] header is not valid JSON at byte {}", where, error.byte);
  } catch (const Json::exception&) {
    fail(ErrorCode::kCorruptData, "[{}] header holds a number that is out of range", where);
  }
}

// A list of non-negative integers below 2^63.
std::vector<int64_t> counts(const Json& tensor, const char* key, std::string_view where) {
  const auto it = tensor.find(key);
  if (it == tensor.end() || !it->is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] \"{}\" is not a list of integers", where, key);
  }
  std::vector<int64_t> values;
  values.reserve(it->size());
  for (const Json& item : *it) {
    const bool fits = item.is_number_unsigned() && item.get<uint64_t>() <= INT64_MAX;
    if (!fits) {
      fail(ErrorCode::kCorruptData, "[{}] \"{}\" holds {}; want integers from 0", where, key,
           dump_json(item).substr(0, 40));
    }
    values.push_back(item.get<int64_t>());
  }
  return values;
}

// The product, or -1 if it does not fit.
int64_t checked_product(std::span<const int64_t> factors) {
  // A zero anywhere makes the product zero, however large the rest.
  if (std::find(factors.begin(), factors.end(), 0) != factors.end()) return 0;
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(product, factor, &product)) return -1;
  }
  return product;
}

// Bytes of a tensor, or -1 if that does not fit.
int64_t byte_count(std::span<const int64_t> shape, DType dtype) {
  const int64_t elements = checked_product(shape);
  int64_t bytes = 0;
  if (elements < 0 ||
      __builtin_mul_overflow(elements, static_cast<int64_t>(dtype_size(dtype)), &bytes)) {
    return -1;
  }
  return bytes;
}

TensorEntry parse_tensor(const std::string& name, const Json& value,
                         std::span<const std::byte> data, std::string_view file) {
  const std::string where = fmt::format("{}: tensor \"{}\"", file, name);
  if (!value.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want an object", where, value.type_name());
  }
  TensorEntry entry;
  entry.name = name;
  const auto type = require<std::string>(value, "dtype", where);
  const auto dtype = dtype_from_name(type);
  if (!dtype) {
    fail(ErrorCode::kUnsupported, "[{}] element type {} is not supported", where,
         type.substr(0, 40));
  }
  entry.dtype = *dtype;
  entry.shape = counts(value, "shape", where);
  const std::vector<int64_t> offsets = counts(value, "data_offsets", where);
  const auto size = static_cast<int64_t>(data.size());
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    fail(ErrorCode::kCorruptData, "[{}] data_offsets are not [begin, end]", where);
  }
  if (offsets[1] > size) {
    fail(ErrorCode::kCorruptData,
         "[{}] ends at byte {}, but the file has {} bytes of data "
         "(truncated?)",
         where, offsets[1], size);
  }
  const int64_t want = byte_count(entry.shape, entry.dtype);
  if (want != offsets[1] - offsets[0]) {
    fail(ErrorCode::kCorruptData, "[{}] shape and type need {} bytes; got {}", where,
         want < 0 ? "too many" : std::to_string(want), offsets[1] - offsets[0]);
  }
  entry.bytes = data.subspan(static_cast<size_t>(offsets[0]), static_cast<size_t>(want));
  return entry;
}

// Entries sorted by position must tile the data exactly: an overlap or a hole can hide things from
// other readers.
void check_tiling(std::span<const TensorEntry> entries, std::span<const std::byte> data,
                  std::string_view where) {
  const std::byte* expected = data.data();
  for (const TensorEntry& entry : entries) {
    if (entry.bytes.data() != expected) {
      fail(ErrorCode::kCorruptData, "[{}: tensor \"{}\"] {} the tensor before it", where,
           entry.name, entry.bytes.data() < expected ? "overlaps" : "leaves a hole after");
    }
    expected += entry.bytes.size();
  }
  if (expected != data.data() + data.size()) {
    fail(ErrorCode::kCorruptData, "[{}] {} bytes after the last tensor belong to none", where,
         data.data() + data.size() - expected);
  }
}

}  // namespace

int64_t element_count(std::span<const int64_t> shape) {
  const int64_t product = checked_product(shape);
  if (product < 0) fail(ErrorCode::kInvalidArgument, "[shape] has too many elements");
  return product;
}

SafetensorsFile::SafetensorsFile(const std::string& path)
    : map_(std::make_unique<MappedFile>(path)) {
  load(map_->bytes(), path);
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> file, std::string_view where) {
  SafetensorsFile result;
  result.load(file, where);
  return result;
}

void SafetensorsFile::load(std::span<const std::byte> file, std::string_view where) {
  uint64_t length = 0;
  if (file.size() < kPrefix) {
    fail(ErrorCode::kCorruptData, "[{}] is not a safetensors file; got {} bytes, want at least {}",
         where, file.size(), kPrefix);
  }
  std::memcpy(&length, file.data(), kPrefix);
  if (length > kMaxHeader || length > file.size() - kPrefix) {
    fail(ErrorCode::kCorruptData,
         "[{}] is truncated or not a safetensors file; header of {} bytes in a file of {}", where,
         length, file.size());
  }
  const auto* text = reinterpret_cast<const char*>(file.data()) + kPrefix;
  const Json header = parse_header({text, static_cast<size_t>(length)}, where);
  const auto data = file.subspan(kPrefix + static_cast<size_t>(length));
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadataKey) {
      entries_.push_back(parse_tensor(name, value, data, where));
      continue;
    }
    if (!value.is_object()) fail(ErrorCode::kCorruptData, "[{}] metadata is no object", where);
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) {
        fail(ErrorCode::kCorruptData, "[{}] metadata \"{}\" is a {}; want a string", where, key,
             item.type_name());
      }
      metadata_[key] = item.get<std::string>();
    }
  }
  // Empty tensors sort before the one that starts where they stand.
  std::sort(entries_.begin(), entries_.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  check_tiling(entries_, data, where);
  for (size_t i = 0; i < entries_.size(); ++i) index_[entries_[i].name] = i;
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata, size_t alignment) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  std::unordered_set<std::string_view> names;
  size_t offset = 0;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.name.empty() || tensor.name == kMetadataKey || !names.insert(tensor.name).second) {
      fail(ErrorCode::kInvalidArgument, "[{}] tensor name \"{}\" is empty, reserved or used twice",
           path, tensor.name);
    }
    const int64_t want = byte_count(tensor.shape, tensor.dtype);
    if (want < 0 || static_cast<size_t>(want) != tensor.bytes.size()) {
      fail(ErrorCode::kInvalidArgument, "[{}: tensor \"{}\"] shape and type need {} bytes; got {}",
           path, tensor.name, want, tensor.bytes.size());
    }
    OrderedJson item = OrderedJson::object();
    item["dtype"] = dtype_name(tensor.dtype);
    item["shape"] = tensor.shape;
    item["data_offsets"] = {offset, offset + tensor.bytes.size()};
    header[tensor.name] = std::move(item);
    offset += tensor.bytes.size();
  }
  std::string text = dump_json(header);
  text.append((alignment - (kPrefix + text.size()) % alignment) % alignment, ' ');
  if (text.size() > kMaxHeader) {
    fail(ErrorCode::kInvalidArgument, "[{}] header of {} bytes; want at most {}", path, text.size(),
         kMaxHeader);
  }
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text.data(), text.size());
  for (const TensorEntry& tensor : tensors) file.write(tensor.bytes.data(), tensor.bytes.size());
  file.commit();
}

void to_floats(const TensorEntry& tensor, std::span<float> out) {
  const size_t width = dtype_size(tensor.dtype);
  if (tensor.bytes.size() != out.size() * width) {
    fail(ErrorCode::kInvalidArgument, "[tensor \"{}\"] has {} elements; want {}", tensor.name,
         tensor.bytes.size() / width, out.size());
  }
  const std::byte* in = tensor.bytes.data();
  const auto bits_at = [in](size_t i) {
    uint16_t bits;
    std::memcpy(&bits, in + 2 * i, 2);
    return bits;
  };
  if (tensor.dtype == DType::kF32) {
    if (!out.empty()) std::memcpy(out.data(), in, tensor.bytes.size());
  } else if (tensor.dtype == DType::kF16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = f16_to_float(bits_at(i));
  } else if (tensor.dtype == DType::kBf16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_float(bits_at(i));
  } else {
    fail(ErrorCode::kUnsupported, "[tensor \"{}\"] holds {}; want F32, F16 or BF16", tensor.name,
         dtype_name(tensor.dtype));
  }
}

std::vector<std::byte> pack_floats(std::span<const float> values, DType dtype) {
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBf16) {
    fail(ErrorCode::kUnsupported, "[tensor] cannot pack floats as {}; want F32, F16 or BF16",
         dtype_name(dtype));
  }
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  if (dtype == DType::kF32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = dtype == DType::kF16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

}  // namespace alambic
