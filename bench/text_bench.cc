// How fast tokenizers read English: bytes per second on one core, by line and as one text.
//
//   ninja -C build/release text_bench && build/release/bench/text_bench
// wants the public data in ../shared/data; tests/golden/time_tokenizers.py gives the figure of
// Python's `tokenizers` on the same text. Further vocabularies may be named: text_bench T5.model
#include <benchmark/benchmark.h>

#include <filesystem>
#include <string>
#include <vector>

#include "alambic/base/file.h"
#include "alambic/text/tokenizer.h"
#include "alambic/text/unicode.h"

namespace {

const std::string kData = std::string(ALAMBIC_SOURCE_DIR) + "/../shared/data/";

std::string english() {
  std::string text = alambic::read_file(kData + "wikitext2/valid.txt");
  for (const char* book : {"1342-0.txt", "135-0.txt"}) {
    text += alambic::to_valid_utf8(alambic::read_file(kData + "gutenberg/" + book));
  }
  return text;
}

void encode(benchmark::State& state, const std::string& vocabulary, bool by_line) {
  const auto tokenizer = alambic::Tokenizer::load(
      std::filesystem::exists(vocabulary) ? vocabulary : kData + "tokenizer_vectors/" + vocabulary);
  const std::string text = english();
  std::vector<std::string_view> parts{text};
  if (by_line) parts = alambic::split_lines(text);
  size_t ids = 0;
  for (auto _ : state) {
    ids = 0;
    for (const std::string_view part : parts) ids += tokenizer.encode(part).size();
    benchmark::DoNotOptimize(ids);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["ids"] = static_cast<double>(ids);
}

}  // namespace

int main(int argc, char** argv) {
  if (!std::filesystem::exists(kData)) {
    std::puts("no ../shared/data here");
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  std::vector<std::string> vocabularies = {
      "ggml-vocab-gpt-2.gguf", "ggml-vocab-deepseek-coder.gguf", "ggml-vocab-llama-spm.gguf",
      "ggml-vocab-bert-bge.gguf", "test_model.model"};
  vocabularies.insert(vocabularies.end(), argv + 1, argv + argc);
  for (const std::string& vocabulary : vocabularies) {
    for (const bool by_line : {false, true}) {
      const std::string name = vocabulary + (by_line ? "/lines" : "/whole");
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        encode(state, vocabulary, by_line);
      })->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
