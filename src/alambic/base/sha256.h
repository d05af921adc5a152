// SHA-256 of files (OpenSSL's), as `sha256sum` prints it. Errors: kNotFound and kIo of the file.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

std::string sha256_of_file(const std::string& path);
// Of a text.
std::string sha256_of(std::string_view text);

}  // namespace alambic
