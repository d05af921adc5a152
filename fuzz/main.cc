// Replays a corpus, then a fixed number of seeded mutations of every file: the fuzz targets under
// ctest.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "alambic/base/file.h"
#include "alambic/base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMutationsPerFile = 200;

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string mutate(std::string bytes, alambic::Rng& rng) {
  const int edits = 1 + static_cast<int>(rng.below(8));
  for (int i = 0; i < edits && !bytes.empty(); ++i) {
    const size_t at = rng.below(bytes.size());
    switch (rng.below(5)) {
      case 0:
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        bytes.erase(at, 1 + rng.below(16));
        break;
      case 2:
        bytes.insert(at, 1 + rng.below(4), static_cast<char>(rng.below(256)));
        break;
      case 3:
        bytes.resize(at);
        break;
      default:
        bytes.insert(at, bytes.substr(rng.below(bytes.size()), 1 + rng.below(32)));
        break;
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  alambic::Rng rng(1);
  run("");
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      const std::string bytes = alambic::read_file(entry.path().string());
      run(bytes);
      for (int k = 0; k < kMutationsPerFile; ++k) run(mutate(bytes, rng));
      ++files;
    }
  }
  std::printf("%d corpus files, %d mutations each\n", files, kMutationsPerFile);
  return files > 0 ? 0 : 1;
}
