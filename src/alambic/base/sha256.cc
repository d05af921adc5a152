#include "alambic/base/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <memory>
#include <span>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

std::string sha256(std::span<const std::byte> bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ALAMBIC_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace

std::string sha256_of_file(const std::string& path) {
  const MappedFile file(path);
  return sha256(file.bytes());
}

std::string sha256_of(std::string_view text) {
  return sha256(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace alambic
