#include "alambic/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"

namespace alambic {
namespace {

static_assert(std::endian::native == std::endian::little, "values are read as they lie on disk");

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kMaxEntries = 1 << 20;
constexpr size_t kMaxName = 65535;
constexpr uint32_t kMaxDims = 4;
constexpr int kMaxArrayDepth = 4;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;

// Names come from the file: what is no text must not reach a terminal.
std::string printable(std::string_view name) { return dump_json(Json(name.substr(0, 80))); }

bool is_text(std::string_view name) {
  try {
    static_cast<void>(Json(name).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

// Bytes of one number, 0 for strings and arrays.
size_t scalar_size(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

template <class T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Walks the file; every step checks that the bytes are there.
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, std::string_view where) : file_(file), where_(where) {}

  size_t position() const { return at_; }
  size_t left() const { return file_.size() - at_; }
  std::span<const std::byte> since(size_t begin) const { return file_.subspan(begin, at_ - begin); }

  std::span<const std::byte> take(uint64_t size) {
    if (size > left()) {
      fail(ErrorCode::kCorruptData, "[{}] is truncated; got {} bytes at byte {}, want {}", where_,
           left(), at_, size);
    }
    at_ += static_cast<size_t>(size);
    return file_.subspan(at_ - static_cast<size_t>(size), static_cast<size_t>(size));
  }
  template <class T>
  T number() {
    return load_as<T>(take(sizeof(T)).data());
  }
  std::string_view string() {
    const auto bytes = take(number<uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> file_;
  std::string_view where_;
  size_t at_ = 0;
};

GgufType read_type(Cursor& cursor, std::string_view key, std::string_view where) {
  const auto type = cursor.number<uint32_t>();
  if (type > static_cast<uint32_t>(GgufType::kFloat64)) {
    fail(ErrorCode::kCorruptData, "[{}: key {}] value type; got {}, want 0 to 12", where,
         printable(key), type);
  }
  return static_cast<GgufType>(type);
}

void check_bools(std::span<const std::byte> bytes, std::string_view key, std::string_view where) {
  for (const std::byte byte : bytes) {
    if (std::to_integer<int>(byte) > 1) {
      fail(ErrorCode::kCorruptData, "[{}: key {}] truth value; got {}, want 0 or 1", where,
           printable(key), std::to_integer<int>(byte));
    }
  }
}

// Reads type and count, and walks over the elements.
GgufValue read_value(Cursor& cursor, GgufType type, std::string_view key, std::string_view where,
                     int depth) {
  GgufValue value;
  value.type = type;
  if (type != GgufType::kArray) {
    const size_t begin = cursor.position();
    type == GgufType::kString ? static_cast<void>(cursor.string())
                              : static_cast<void>(cursor.take(scalar_size(type)));
    value.bytes = cursor.since(begin);
    if (type == GgufType::kBool) check_bools(value.bytes, key, where);
    return value;
  }
  if (depth >= kMaxArrayDepth) {
    fail(ErrorCode::kCorruptData, "[{}: key {}] arrays nested more than {} deep", where,
         printable(key), kMaxArrayDepth);
  }
  value.element = read_type(cursor, key, where);
  value.count = cursor.number<uint64_t>();
  const size_t begin = cursor.position();
  // What an element takes at least: a string its length, an array its type and count.
  const size_t scalar = scalar_size(value.element);
  const size_t least = scalar != 0 ? scalar : value.element == GgufType::kString ? 8 : 12;
  if (value.count > cursor.left() / least) {
    fail(ErrorCode::kCorruptData, "[{}: key {}] array of {} elements in {} bytes of file", where,
         printable(key), value.count, cursor.left());
  }
  if (scalar != 0) {
    cursor.take(value.count * scalar);
  } else {
    for (uint64_t i = 0; i < value.count; ++i) {
      read_value(cursor, value.element, key, where, depth + 1);
    }
  }
  value.bytes = cursor.since(begin);
  if (value.element == GgufType::kBool) check_bools(value.bytes, key, where);
  return value;
}

uint64_t read_count(Cursor& cursor, const char* what, size_t least, std::string_view where) {
  const auto count = cursor.number<uint64_t>();
  if (count > kMaxEntries || count > cursor.left() / least) {
    fail(ErrorCode::kCorruptData, "[{}] {} {} in a file with {} bytes left; want at most {}", where,
         count, what, cursor.left(), std::min<uint64_t>(kMaxEntries, cursor.left() / least));
  }
  return count;
}

GgufTensor read_tensor(Cursor& cursor, std::string_view where) {
  GgufTensor tensor;
  const std::string_view name = cursor.string();
  if (name.empty() || name.size() > kMaxName || !is_text(name)) {
    fail(ErrorCode::kCorruptData, "[{}] tensor name {}; want 1 to {} bytes of UTF-8", where,
         printable(name), kMaxName);
  }
  tensor.name = name;
  const auto dims = cursor.number<uint32_t>();
  if (dims == 0 || dims > kMaxDims) {
    fail(ErrorCode::kCorruptData, "[{}: tensor {}] number of dimensions; got {}, want 1 to {}",
         where, printable(name), dims, kMaxDims);
  }
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    const auto dim = cursor.number<uint64_t>();
    if (!std::in_range<int64_t>(dim) ||
        __builtin_mul_overflow(elements, std::max<int64_t>(static_cast<int64_t>(dim), 1),
                               &elements)) {
      fail(ErrorCode::kCorruptData, "[{}: tensor {}] has too many elements; dimension {} is {}",
           where, printable(name), i, dim);
    }
    tensor.dims.push_back(static_cast<int64_t>(dim));
  }
  tensor.type = static_cast<GgmlType>(cursor.number<uint32_t>());
  tensor.offset = cursor.number<uint64_t>();
  return tensor;
}

struct NamedBlock {
  const char* name;
  GgmlBlock block;
};

NamedBlock describe(GgmlType type) {
  switch (static_cast<uint32_t>(type)) {
    case 0:
      return {"F32", {1, 4}};
    case 1:
      return {"F16", {1, 2}};
    case 2:
      return {"Q4_0", {32, 18}};
    case 3:
      return {"Q4_1", {32, 20}};
    case 6:
      return {"Q5_0", {32, 22}};
    case 7:
      return {"Q5_1", {32, 24}};
    case 8:
      return {"Q8_0", {32, 34}};
    case 12:
      return {"Q4_K", {256, 144}};
    case 13:
      return {"Q5_K", {256, 176}};
    case 14:
      return {"Q6_K", {256, 210}};
    case 30:
      return {"BF16", {1, 2}};
    default:
      break;
  }
  // Types that files use and alambic only names.
  static const std::map<uint32_t, const char*> others = {
      {9, "Q8_1"},    {10, "Q2_K"},    {11, "Q3_K"},  {15, "Q8_K"},   {16, "IQ2_XXS"},
      {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
      {22, "IQ2_S"},  {23, "IQ4_XS"},  {24, "I8"},    {25, "I16"},    {26, "I32"},
      {27, "I64"},    {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},
      {39, "MXFP4"}};
  const auto it = others.find(static_cast<uint32_t>(type));
  return {it == others.end() ? nullptr : it->second, {0, 0}};
}

// A number of the file as T. False if it is of another kind or does not fit.
template <class T>
bool convert(GgufType type, const std::byte* at, T& out) {
  const auto from_integer = [&](auto value) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      if (!std::in_range<T>(value)) return false;
      out = static_cast<T>(value);
      return true;
    }
    return false;
  };
  switch (type) {
    case GgufType::kUint8:
      return from_integer(load_as<uint8_t>(at));
    case GgufType::kInt8:
      // By way of the unsigned byte: a signed char is no number to linters.
      return from_integer(static_cast<int16_t>((load_as<uint8_t>(at) ^ 0x80) - 0x80));
    case GgufType::kUint16:
      return from_integer(load_as<uint16_t>(at));
    case GgufType::kInt16:
      return from_integer(load_as<int16_t>(at));
    case GgufType::kUint32:
      return from_integer(load_as<uint32_t>(at));
    case GgufType::kInt32:
      return from_integer(load_as<int32_t>(at));
    case GgufType::kUint64:
      return from_integer(load_as<uint64_t>(at));
    case GgufType::kInt64:
      return from_integer(load_as<int64_t>(at));
    case GgufType::kFloat32:
    case GgufType::kFloat64:
      if constexpr (std::is_floating_point_v<T>) {
        out = type == GgufType::kFloat32 ? static_cast<T>(load_as<float>(at))
                                         : static_cast<T>(load_as<double>(at));
        return true;
      }
      return false;
    case GgufType::kBool:
      if constexpr (std::is_same_v<T, bool>) out = load_as<uint8_t>(at) == 1;
      return std::is_same_v<T, bool>;
    case GgufType::kString:
      if constexpr (std::is_same_v<T, std::string_view>) {
        out = {reinterpret_cast<const char*>(at) + 8, static_cast<size_t>(load_as<uint64_t>(at))};
      }
      return std::is_same_v<T, std::string_view>;
    case GgufType::kArray:
      return false;
  }
  return false;
}

template <class T>
const char* kind() {
  if constexpr (std::is_same_v<T, bool>) return "bool";
  if constexpr (std::is_integral_v<T>) return "an integer in range";
  if constexpr (std::is_floating_point_v<T>) return "a floating-point number";
  return "a string";
}

}  // namespace

const char* gguf_type_name(GgufType type) {
  constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                    "int32",  "float32", "bool",   "string", "array",
                                    "uint64", "int64",   "float64"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

GgmlBlock ggml_block(GgmlType type) { return describe(type).block; }

std::string ggml_type_name(GgmlType type) {
  const char* name = describe(type).name;
  return name != nullptr ? name : fmt::format("type {}", static_cast<uint32_t>(type));
}

GgufFile::GgufFile(const std::string& path) : map_(std::make_unique<MappedFile>(path)) {
  load(map_->bytes(), path);
}

GgufFile GgufFile::parse(std::span<const std::byte> file, std::string_view where) {
  GgufFile result;
  result.load(file, where);
  return result;
}

void GgufFile::load(std::span<const std::byte> file, std::string_view where) {
  where_ = where;
  Cursor cursor(file, where);
  if (file.size() < 4 || cursor.number<uint32_t>() != kMagic) {
    fail(ErrorCode::kCorruptData, "[{}] is not a GGUF file: it does not begin with \"GGUF\"",
         where);
  }
  version_ = cursor.number<uint32_t>();
  if (version_ != 2 && version_ != 3) {
    const bool swapped = version_ == 2U << 24 || version_ == 3U << 24;
    fail(ErrorCode::kUnsupported, "[{}] GGUF version {}{}; want 2 or 3, little-endian", where,
         swapped ? version_ >> 24 : version_, swapped ? ", big-endian" : "");
  }
  // The shortest entries: a name's length, dimensions, one of them, type, offset; a key's length,
  // type, one byte.
  const uint64_t tensors = read_count(cursor, "tensors", 8 + 4 + 8 + 4 + 8, where);
  const uint64_t pairs = read_count(cursor, "metadata keys", 8 + 4 + 1, where);
  for (uint64_t i = 0; i < pairs; ++i) {
    const std::string_view key = cursor.string();
    const bool plain =
        std::all_of(key.begin(), key.end(), [](char c) { return c > 32 && c < 127; });
    if (key.empty() || key.size() > kMaxName || !plain) {
      fail(ErrorCode::kCorruptData, "[{}] metadata key {}; want 1 to {} printable ASCII characters",
           where, printable(key), kMaxName);
    }
    const GgufType type = read_type(cursor, key, where);
    if (!metadata_.emplace(key, read_value(cursor, type, key, where, 0)).second) {
      fail(ErrorCode::kCorruptData, "[{}] metadata key {} occurs twice", where, printable(key));
    }
  }
  for (uint64_t i = 0; i < tensors; ++i) {
    tensors_.push_back(read_tensor(cursor, where));
    if (!index_.emplace(tensors_.back().name, tensors_.size() - 1).second) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} occurs twice", where,
           printable(tensors_.back().name));
    }
  }
  const auto alignment = optional<uint64_t>("general.alignment", kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    fail(ErrorCode::kCorruptData,
         "[{}: key \"general.alignment\"] got {}, want a power of two up to {}", where, alignment,
         kMaxAlignment);
  }
  const uint64_t begin = (cursor.position() + alignment - 1) / alignment * alignment;
  // A file of metadata alone may end before the boundary.
  place_tensors(file.subspan(std::min<uint64_t>(begin, file.size())), alignment);
  check_overlaps();
}

void GgufFile::place_tensors(std::span<const std::byte> data, uint64_t alignment) {
  for (GgufTensor& tensor : tensors_) {
    const auto refuse = [&](const std::string& why) {
      fail(ErrorCode::kCorruptData, "[{}: tensor {}] {}", where_, printable(tensor.name), why);
    };
    if (tensor.offset % alignment != 0) {
      refuse(fmt::format("offset {} is no multiple of {}", tensor.offset, alignment));
    }
    const GgmlBlock block = ggml_block(tensor.type);
    int64_t bytes = 0;
    if (block.elements != 0) {
      if (tensor.dims[0] % block.elements != 0) {
        refuse(fmt::format("row of {} elements; want a multiple of {} for {}", tensor.dims[0],
                           block.elements, ggml_type_name(tensor.type)));
      }
      bytes = tensor.dims[0] / block.elements;
      bool fits = !__builtin_mul_overflow(bytes, block.bytes, &bytes);
      for (size_t i = 1; i < tensor.dims.size(); ++i) {
        fits = fits && !__builtin_mul_overflow(bytes, tensor.dims[i], &bytes);
      }
      if (!fits) refuse("has too many elements");
    }
    if (tensor.offset > data.size() || static_cast<uint64_t>(bytes) > data.size() - tensor.offset) {
      refuse(fmt::format("offset {} and {} bytes; the file has {} bytes of data (truncated?)",
                         tensor.offset, bytes, data.size()));
    }
    tensor.bytes = data.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(bytes));
  }
}

void GgufFile::check_overlaps() const {
  std::vector<const GgufTensor*> order;
  order.reserve(tensors_.size());
  for (const GgufTensor& tensor : tensors_) {
    if (!tensor.bytes.empty()) order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->bytes.size() > order[i]->offset) {
      fail(ErrorCode::kCorruptData, "[{}: tensor {}] overlaps tensor {}", where_,
           printable(order[i]->name), printable(order[i - 1]->name));
    }
  }
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? nullptr : &it->second;
}

template <class T>
T GgufFile::require(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr)
    fail(ErrorCode::kCorruptData, "[{}] key {} is missing", where_, printable(key));
  T out{};
  if (!convert(value->type, value->bytes.data(), out)) {
    fail(ErrorCode::kCorruptData, "[{}: key {}] got {}, want {}", where_, printable(key),
         gguf_type_name(value->type), kind<T>());
  }
  return out;
}

template <class T>
std::vector<T> GgufFile::require_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr)
    fail(ErrorCode::kCorruptData, "[{}] key {} is missing", where_, printable(key));
  if (value->type != GgufType::kArray) {
    fail(ErrorCode::kCorruptData, "[{}: key {}] got {}, want an array", where_, printable(key),
         gguf_type_name(value->type));
  }
  std::vector<T> out;
  out.reserve(static_cast<size_t>(value->count));
  const std::byte* at = value->bytes.data();
  for (uint64_t i = 0; i < value->count; ++i) {
    T item{};
    if (!convert(value->element, at, item)) {
      fail(ErrorCode::kCorruptData, "[{}: key {}] element {}; got {}, want {}", where_,
           printable(key), i, gguf_type_name(value->element), kind<T>());
    }
    out.push_back(item);
    at += value->element == GgufType::kString ? 8 + load_as<uint64_t>(at)
                                              : scalar_size(value->element);
  }
  return out;
}

template bool GgufFile::require<bool>(std::string_view) const;
template int32_t GgufFile::require<int32_t>(std::string_view) const;
template uint32_t GgufFile::require<uint32_t>(std::string_view) const;
template int64_t GgufFile::require<int64_t>(std::string_view) const;
template uint64_t GgufFile::require<uint64_t>(std::string_view) const;
template float GgufFile::require<float>(std::string_view) const;
template double GgufFile::require<double>(std::string_view) const;
template std::string_view GgufFile::require<std::string_view>(std::string_view) const;
template std::vector<bool> GgufFile::require_array<bool>(std::string_view) const;
template std::vector<int32_t> GgufFile::require_array<int32_t>(std::string_view) const;
template std::vector<int64_t> GgufFile::require_array<int64_t>(std::string_view) const;
template std::vector<float> GgufFile::require_array<float>(std::string_view) const;
template std::vector<std::string_view> GgufFile::require_array<std::string_view>(
    std::string_view) const;

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

std::span<const std::byte> GgufFile::bytes_of(const GgufTensor& tensor) const {
  if (ggml_block(tensor.type).elements == 0) {
    fail(ErrorCode::kUnsupported,
         "[{}: tensor {}] holds {}; want F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K "
         "or Q6_K",
         where_, printable(tensor.name), ggml_type_name(tensor.type));
  }
  return tensor.bytes;
}

}  // namespace alambic
