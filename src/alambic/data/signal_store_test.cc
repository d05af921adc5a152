#include "alambic/data/signal_store.h"
#include "alambic/data/test_errors.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

// A path that holds no store, cleaned up at both ends.
class ScratchStore {
 public:
  ScratchStore() {
    static int number = 0;
    directory_ = std::filesystem::temp_directory_path() /
                 fmt::format("alambic_signals_{}_{}", ::getpid(), number++);
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~ScratchStore() { std::filesystem::remove_all(directory_); }
  std::string path(const char* name = "signals.sqlite") const { return directory_ / name; }

 private:
  std::filesystem::path directory_;
};

SignalHeader draws_header() {
  return {SignalHeader{}.version, "teacher", "abc123", "MIT", "{prompt}",
          SignalKind::kDraws,     12,        1.0,      32000, 7};
}

SignalHeader topk_header() {
  SignalHeader header = draws_header();
  header.kind = SignalKind::kTopK;
  header.draws_or_k = 20;
  return header;
}

// Twelve draws from a Zipf-like law, as a teacher would give them.
TokenSignal random_draws(Rng& rng) {
  std::map<TokenId, int> counts;
  const auto offset = static_cast<double>(rng.below(20000));
  for (int i = 0; i < 12; ++i) {
    counts[static_cast<TokenId>(std::fmod(offset + std::exp(rng.uniform() * 10), 32000))]++;
  }
  TokenSignal signal;
  for (const auto& [id, count] : counts) {
    signal.ids.push_back(id);
    signal.probabilities.push_back(static_cast<float>(count) / 12.0F);
  }
  return signal;
}

TokenSignal random_topk(Rng& rng) {
  TokenSignal signal;
  double left = 1;
  std::map<TokenId, float> chosen;
  while (chosen.size() < 20) chosen[static_cast<TokenId>(rng.below(32000))] = 0;
  for (auto& [id, p] : chosen) {
    p = static_cast<float>(left * rng.uniform() * 0.7);
    left -= p;
    signal.ids.push_back(id);
    signal.probabilities.push_back(p);
  }
  signal.tail = static_cast<float>(left);
  return signal;
}

SignalRow row_of(const SignalHeader& header, int64_t example, int sample, int answer = 20) {
  Rng rng(static_cast<uint64_t>(example), static_cast<uint64_t>(sample));
  SignalRow row{example, sample, "prompt é", std::string("nul \0 and bad \xff", 15), {}, 5, {}};
  for (int i = 0; i < 5 + answer; ++i) row.tokens.push_back(static_cast<TokenId>(rng.below(32000)));
  for (int i = 0; i < answer; ++i) {
    row.signals.push_back(header.kind == SignalKind::kDraws ? random_draws(rng) : random_topk(rng));
  }
  return row;
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &connection), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(connection);
  sqlite3_close(connection);
}

TEST(SignalStore, DrawsComeBackExactlyAfterReopening) {
  const ScratchStore scratch;
  std::vector<SignalRow> rows;
  for (int i = 0; i < 30; ++i) rows.push_back(row_of(draws_header(), i / 3, i % 3));
  SignalStore::create_or_resume(scratch.path(), draws_header()).append(rows);
  const SignalStore store = SignalStore::open(scratch.path());
  EXPECT_EQ(store.header(), draws_header());
  EXPECT_EQ(store.size(), 30);
  for (const SignalRow& row : rows) EXPECT_EQ(store.read(row.example, row.sample), row);
  EXPECT_TRUE(store.contains(9, 2));
  EXPECT_FALSE(store.contains(10, 0));
  EXPECT_THROW(store.read(10, 0), Error);
}

TEST(SignalStore, AClosedStoreIsOneFileThatNeedsNoNeighboursToBeRead) {
  const ScratchStore scratch;
  SignalStore::create_or_resume(scratch.path(), draws_header())
      .append(std::vector{row_of(draws_header(), 0, 0)});
  const std::filesystem::path directory = std::filesystem::path(scratch.path()).parent_path();
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(directory), {});
  };
  EXPECT_EQ(files(), 1);
  const SignalStore reader = SignalStore::open(scratch.path());
  EXPECT_EQ(reader.read(0, 0), row_of(draws_header(), 0, 0));
  EXPECT_EQ(files(), 1);
}

TEST(SignalStore, AReaderSeesWhatAWriterHasCommitted) {
  const ScratchStore scratch;
  SignalStore writer = SignalStore::create_or_resume(scratch.path(), draws_header());
  writer.append(std::vector{row_of(draws_header(), 0, 0)});
  const SignalStore reader = SignalStore::open(scratch.path());
  writer.append(std::vector{row_of(draws_header(), 1, 0)});
  EXPECT_EQ(reader.read(1, 0), row_of(draws_header(), 1, 0));
}

TEST(SignalStore, TwelveDrawsTakeFewerThanFortyBytesAToken) {
  const ScratchStore scratch;
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  store.append(std::vector{row_of(draws_header(), 0, 0, 2000)});
  RecordProperty("bytes_per_token", std::to_string(store.bytes_per_token()));
  EXPECT_GT(store.bytes_per_token(), 10);
  EXPECT_LT(store.bytes_per_token(), 40);
}

TEST(SignalStore, TopKKeepsProbabilitiesToAFewTenThousandthsAndSumsToOne) {
  const ScratchStore scratch;
  SignalStore store = SignalStore::create_or_resume(scratch.path(), topk_header());
  const SignalRow row = row_of(topk_header(), 0, 0);
  store.append(std::vector{row});
  const SignalRow back = store.read(0, 0);
  for (size_t t = 0; t < row.signals.size(); ++t) {
    double sum = back.signals[t].tail;
    EXPECT_EQ(back.signals[t].ids, row.signals[t].ids);
    for (size_t i = 0; i < row.signals[t].ids.size(); ++i) {
      const float p = row.signals[t].probabilities[i];
      // Half a step of 1/2048 nat, once for the value and once for the rescaling.
      EXPECT_NEAR(back.signals[t].probabilities[i], p, 5e-4 * p);
      sum += back.signals[t].probabilities[i];
    }
    EXPECT_NEAR(back.signals[t].tail, row.signals[t].tail, 5e-4 * row.signals[t].tail);
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

TEST(SignalStore, TokensWithoutASignalAndTextsAreLegal) {
  const ScratchStore scratch;
  SignalRow row = row_of(draws_header(), 0, 0);
  row.signals[3] = {};
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  store.append(std::vector{row});
  EXPECT_EQ(store.read(0, 0), row);
  SignalHeader text;
  text.teacher_id.assign("endpoint");
  SignalStore texts = SignalStore::create_or_resume(scratch.path("texts.sqlite"), text);
  const SignalRow plain{4, 1, "question", "answer", {}, 0, {}};
  texts.append(std::vector{plain});
  EXPECT_EQ(texts.read(4, 1), plain);
  EXPECT_EQ(texts.bytes_per_token(), 0);
}

TEST(SignalStore, RowsAreVisitedInOrderWhateverTheOrderOfWriting) {
  const ScratchStore scratch;
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  for (const auto& [example, sample] : {std::pair{7, 1}, {2, 0}, {7, 0}, {100, 0}, {0, 0}}) {
    store.append(std::vector{row_of(draws_header(), example, sample, 1)});
  }
  std::vector<std::pair<int64_t, int>> seen;
  store.for_each([&](const SignalRow& row) { seen.emplace_back(row.example, row.sample); });
  EXPECT_EQ(seen.size(), 5U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(SignalStore, AnotherHeaderIsRefusedNamingTheField) {
  const ScratchStore scratch;
  SignalStore::create_or_resume(scratch.path(), draws_header());
  const auto refusal = [&](const std::function<void(SignalHeader&)>& change) {
    SignalHeader header = draws_header();
    change(header);
    return message_of([&] { SignalStore::create_or_resume(scratch.path(), header); });
  };
  EXPECT_NE(refusal([](SignalHeader& h) {
              h.temperature = 0.7;
            }).find("temperature is \"1\", want \"0.7\""),
            std::string::npos);
  EXPECT_NE(refusal([](SignalHeader& h) { h.teacher_id += 'x'; }).find("teacher_id"),
            std::string::npos);
  EXPECT_NE(refusal([](SignalHeader& h) { h.kind = SignalKind::kTopK; }).find("kind"),
            std::string::npos);
  EXPECT_NE(refusal([](SignalHeader& h) { h.draws_or_k = 8; }).find("draws_or_k"),
            std::string::npos);
  EXPECT_NE(refusal([](SignalHeader& h) { h.tokenizer_hash += 'x'; }).find("tokenizer_hash"),
            std::string::npos);
  EXPECT_EQ(refusal([](SignalHeader&) {}), "no error");
}

TEST(SignalStore, AppendIsAllOrNothing) {
  const ScratchStore scratch;
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  store.append(std::vector{row_of(draws_header(), 0, 0)});
  const std::vector batch = {row_of(draws_header(), 1, 0), row_of(draws_header(), 0, 0)};
  EXPECT_NE(message_of([&] { store.append(batch); }).find("already stored"), std::string::npos);
  EXPECT_FALSE(store.contains(1, 0));
  EXPECT_EQ(store.size(), 1);
  store.append(std::vector{row_of(draws_header(), 1, 0)});
  EXPECT_EQ(SignalStore::open(scratch.path()).size(), 2);
}

TEST(SignalStore, RowsThatBreakTheirHeaderAreRefused) {
  const ScratchStore scratch;
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  const auto refusal = [&](const std::function<void(SignalRow&)>& change) {
    SignalRow row = row_of(draws_header(), 0, 0);
    change(row);
    return message_of([&] { store.append(std::vector{row}); });
  };
  const auto refused = [&](const char* reason, const std::function<void(SignalRow&)>& change) {
    EXPECT_NE(refusal(change).find(reason), std::string::npos) << reason << ": " << refusal(change);
  };
  refused("outside the vocabulary", [](SignalRow& r) { r.tokens[0] = 32000; });
  refused("outside the vocabulary", [](SignalRow& r) { r.tokens[0] = -1; });
  refused("do not fit", [](SignalRow& r) { r.prompt_tokens = 6; });
  refused("do not fit", [](SignalRow& r) { r.prompt_tokens = 1000; });
  refused("negative", [](SignalRow& r) { r.sample = -1; });
  refused("ids but", [](SignalRow& r) { r.signals[0].probabilities.pop_back(); });
  refused("twice", [](SignalRow& r) { r.signals[0] = {{3, 3}, {0.5F, 0.5F}, 0}; });
  refused("11 draws", [](SignalRow& r) { r.signals[0] = {{3}, {11.0F / 12}, 0}; });
  refused("whole number", [](SignalRow& r) { r.signals[0] = {{3, 4}, {0.7F, 0.3F}, 0}; });
  refused("want 0 to 1", [](SignalRow& r) { r.signals[0] = {{3}, {NAN}, 0}; });
  EXPECT_EQ(store.size(), 0);
  SignalStore topk = SignalStore::create_or_resume(scratch.path("k.sqlite"), topk_header());
  SignalRow short_mass = row_of(topk_header(), 0, 0);
  short_mass.signals[0].tail += 0.1F;
  EXPECT_THROW(topk.append(std::vector{short_mass}), Error);
}

TEST(SignalStore, JsonLinesRoundTripAndImportCanBeRepeated) {
  const ScratchStore scratch;
  for (const SignalHeader& header : {draws_header(), topk_header()}) {
    const std::string name(signal_kind_name(header.kind));
    const std::string path = scratch.path((name + ".sqlite").c_str());
    const std::string copy = scratch.path((name + ".copy").c_str());
    const std::string lines = scratch.path((name + ".jsonl").c_str());
    SignalStore store = SignalStore::create_or_resume(path, header);
    for (int i = 0; i < 5; ++i) {
      SignalRow row = row_of(header, i, 0);
      row.text.assign("valid UTF-8 é");
      store.append(std::vector{row});
    }
    store.export_jsonl(lines);
    EXPECT_EQ(SignalStore::import_jsonl(lines, copy).size(), 5);
    const SignalStore again = SignalStore::import_jsonl(lines, copy);
    EXPECT_EQ(again.size(), 5);
    EXPECT_EQ(again.header(), header);
    for (int i = 0; i < 5; ++i) {
      const SignalRow a = store.read(i, 0), b = again.read(i, 0);
      EXPECT_EQ(a.tokens, b.tokens);
      EXPECT_EQ(a.text, b.text);
      for (size_t t = 0; t < a.signals.size(); ++t) {
        for (size_t k = 0; k < a.signals[t].ids.size(); ++k) {
          // Two roundings to 1/2048 nat.
          const float p = a.signals[t].probabilities[k];
          EXPECT_NEAR(b.signals[t].probabilities[k], p, 1e-3 * p);
        }
      }
    }
  }
}

TEST(SignalStore, BadJsonLinesNameFileAndLine) {
  const ScratchStore scratch;
  const std::string lines = scratch.path("x.jsonl");
  const std::string header = dump_json(signal_header_to_json(draws_header())) + "\n";
  const auto import = [&](const std::string& content) {
    write_file_atomic(lines, content);
    return message_of([&] { SignalStore::import_jsonl(lines, scratch.path("imported")); });
  };
  EXPECT_NE(import("{}").find("x.jsonl:1"), std::string::npos);
  EXPECT_NE(import(header + "{\"example\":0}").find("x.jsonl:2"), std::string::npos);
  EXPECT_NE(import(header + "\n{\"example\":1e99}").find("x.jsonl:3"), std::string::npos);
  EXPECT_NE(import("").find("empty"), std::string::npos);
}

TEST(SignalStore, ForeignAndDamagedFilesAreOneClearError) {
  const ScratchStore scratch;
  EXPECT_NE(message_of([&] { SignalStore::open(scratch.path("absent")); }).find("does not exist"),
            std::string::npos);
  write_file_atomic(scratch.path("text"), std::string(5000, 'x'));
  EXPECT_NE(message_of([&] { SignalStore::open(scratch.path("text")); }).find("not a SQLite file"),
            std::string::npos);
  run_sql(scratch.path("other"), "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  const std::string before = read_file(scratch.path("other"));
  for (const auto& use : std::initializer_list<std::function<void()>>{
           [&] { SignalStore::open(scratch.path("other")); },
           [&] { SignalStore::create_or_resume(scratch.path("other"), draws_header()); }}) {
    EXPECT_NE(message_of(use).find("no signal store"), std::string::npos);
  }
  EXPECT_EQ(read_file(scratch.path("other")), before);  // a stranger's file is left as it was
}

TEST(SignalStore, ForgedRowsAndTriggersAreRefused) {
  const ScratchStore scratch;
  const std::string path = scratch.path();
  SignalStore::create_or_resume(path, draws_header())
      .append(std::vector{row_of(draws_header(), 0, 0), row_of(draws_header(), 1, 0)});
  run_sql(path, "UPDATE rows SET signals = X'FFFFFFFFFFFFFFFF7F' WHERE example = 0");
  const SignalStore store = SignalStore::open(path);
  EXPECT_NE(message_of([&] { store.read(0, 0); }).find("example 0, sample 0] is damaged"),
            std::string::npos);
  EXPECT_EQ(store.read(1, 0), row_of(draws_header(), 1, 0));
  EXPECT_THROW(store.for_each([](const SignalRow&) {}), Error);
  run_sql(path, "UPDATE rows SET signals = 3, tokens = 'text'");
  EXPECT_THROW(SignalStore::open(path).read(1, 0), Error);
  run_sql(path, "CREATE VIEW v AS SELECT 1");
  EXPECT_NE(message_of([&] { SignalStore::open(path); }).find("no signal store"),
            std::string::npos);
}

TEST(SignalStore, EveryDamagedByteIsAnErrorOrLeavesTheRowsWhole) {
  const ScratchStore scratch;
  const SignalRow row = row_of(draws_header(), 0, 0, 3);
  SignalStore::create_or_resume(scratch.path(), draws_header()).append(std::vector{row});
  const std::string whole = read_file(scratch.path());
  Rng rng(11);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    bytes[rng.below(bytes.size())] ^= static_cast<char>(1 + rng.below(255));
    if (round % 3 == 0) bytes.resize(rng.below(bytes.size()));
    const std::string path = scratch.path("damaged");
    write_file_atomic(path, bytes);
    try {
      SignalStore::open(path).for_each([&](const SignalRow& got) { EXPECT_EQ(got, row); });
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

TEST(SignalStore, NothingAcknowledgedIsLostToKillNine) {
  const ScratchStore scratch;
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
      for (int64_t example = store.size();; ++example) {
        store.append(std::vector{row_of(draws_header(), example, 0)});
        if (::write(pipe_ends[1], &example, sizeof example) != sizeof example) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    int64_t acknowledged = -1;
    for (int i = 0; i < 10 + round; ++i) {
      ASSERT_EQ(::read(pipe_ends[0], &acknowledged, sizeof acknowledged),
                static_cast<ssize_t>(sizeof acknowledged));
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ::waitpid(child, nullptr, 0);
    // What it acknowledged between the last read and its end counts, too.
    while (::read(pipe_ends[0], &acknowledged, sizeof acknowledged) > 0) continue;
    ::close(pipe_ends[0]);
    const SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
    ASSERT_GE(store.size(), acknowledged + 1);
    for (int64_t example = 0; example <= acknowledged; ++example) {
      ASSERT_EQ(store.read(example, 0), row_of(draws_header(), example, 0));
    }
  }
}

// A writer that dies while it enters or leaves the write-ahead mode leaves a journal to be undone.
TEST(SignalStore, AReaderUndoesWhatAKilledWriterWasInTheMiddleOf) {
  const ScratchStore scratch;
  const std::string path = scratch.path(), crashed = scratch.path("crashed.sqlite");
  SignalStore::create_or_resume(path, draws_header())
      .append(std::vector{row_of(draws_header(), 0, 0)});
  sqlite3* writer = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &writer), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(writer,
                         "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN;"
                         "UPDATE rows SET example = example + 1; CREATE TABLE junk(x);"
                         "INSERT INTO junk WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                         "FROM n WHERE i < 2000) SELECT zeroblob(500) FROM n",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(writer);
  for (const char* neighbour : {"", "-journal"}) {
    std::filesystem::copy_file(path + neighbour, crashed + neighbour);
  }
  sqlite3_close(writer);
  EXPECT_EQ(SignalStore::open(crashed).read(0, 0), row_of(draws_header(), 0, 0));
}

TEST(SignalStore, AWriterKilledBeforeItsFirstTableLeavesAFileThatHoldsNothingYet) {
  const ScratchStore scratch;
  run_sql(scratch.path(), "PRAGMA journal_mode = WAL");
  EXPECT_NE(message_of([&] { SignalStore::open(scratch.path()); }).find("holds nothing yet"),
            std::string::npos);
  EXPECT_EQ(SignalStore::create_or_resume(scratch.path(), draws_header()).size(), 0);
}

TEST(SignalStore, FullDiskIsAnErrorAndKeepsWhatWasStored) {
  const ScratchStore scratch;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // No file of this process may grow past 128 KiB; writes beyond fail as on a full disk.
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{128 << 10, 128 << 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int64_t stored = 0;
    int status = 2;
    try {
      SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
      for (; stored < 10000; ++stored) {
        store.append(std::vector{row_of(draws_header(), stored, 0)});
      }
    } catch (const Error& error) {
      status = error.code() == ErrorCode::kIo ? 0 : 1;
    }
    if (::write(pipe_ends[1], &stored, sizeof stored) != sizeof stored) status = 3;
    ::_exit(status);
  }
  int64_t stored = 0;
  ASSERT_EQ(::read(pipe_ends[0], &stored, sizeof stored), static_cast<ssize_t>(sizeof stored));
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_GT(stored, 0);
  SignalStore store = SignalStore::create_or_resume(scratch.path(), draws_header());
  EXPECT_EQ(store.size(), stored);
  store.for_each([](const SignalRow& row) {
    EXPECT_EQ(row, row_of(draws_header(), row.example, row.sample));
  });
  store.append(std::vector{row_of(draws_header(), stored, 0)});  // and it goes on
}

TEST(SignalStore, WhatAskingCostIsStoredWithTheRows) {
  const ScratchStore scratch;
  SignalHeader header = draws_header();
  header.endpoint = "http://host/v1";
  {
    SignalStore store = SignalStore::create_or_resume(scratch.path(), header);
    EXPECT_EQ(store.spent(), Spending{});
    const SignalRow rows[] = {row_of(header, 1, 0)};
    store.append(rows, {3, 100, 20, 0.25});
    EXPECT_THROW(store.append(rows, {4, 1000, 200, 1}), Error);  // stored already: all or nothing
    store.append({}, {5, 110, 22, 0.5});
  }
  EXPECT_EQ(SignalStore::create_or_resume(scratch.path(), header).spent(),
            (Spending{5, 110, 22, 0.5}));
  EXPECT_EQ(SignalStore::open(scratch.path()).spent(), (Spending{5, 110, 22, 0.5}));
  EXPECT_EQ(SignalStore::open(scratch.path()).size(), 1);
}

TEST(SignalStore, WhatWasAskedInVainIsRememberedAndIsNoRow) {
  const ScratchStore scratch;
  const SignalHeader header = draws_header();
  {
    SignalStore store = SignalStore::create_or_resume(scratch.path(), header);
    const std::vector<SignalRow> rows = {row_of(header, 0, 0)};
    const std::vector<VainQuestion> vain = {{1, 0, "p", AnswerKind::kCut},
                                            {2, 3, "q", AnswerKind::kFiltered}};
    store.append(rows, vain, {.requests = 3});
  }
  const SignalStore store = SignalStore::open(scratch.path());
  EXPECT_EQ(store.size(), 1);
  EXPECT_EQ(store.outcome(0, 0), AnswerKind::kGood);
  EXPECT_EQ(store.outcome(1, 0), AnswerKind::kCut);
  EXPECT_EQ(store.outcome(2, 3), AnswerKind::kFiltered);
  EXPECT_EQ(store.outcome(2, 0), std::nullopt);
  std::string seen;
  store.for_each_unanswered([&](const VainQuestion& one) {
    seen += fmt::format("{} {} {};", one.example, one.sample, one.prompt);
  });
  EXPECT_EQ(seen, "1 0 p;2 3 q;");
  EXPECT_EQ(store.spent().requests, 3);
  run_sql(scratch.path(), "UPDATE unanswered SET kind = 'fine' WHERE example = 1");
  EXPECT_THROW(SignalStore::open(scratch.path()).outcome(1, 0), Error);
}

TEST(SignalStore, AnotherEndpointIsAnotherRunAndAnotherRevisionIsNot) {
  const ScratchStore scratch;
  SignalHeader header = draws_header();
  header.endpoint = "http://host/v1";
  header.begun = "2026-01-01";
  SignalStore::create_or_resume(scratch.path(), header).set_revision("fp_1");
  header.begun = "2026-01-02";
  {
    SignalStore store = SignalStore::create_or_resume(scratch.path(), header);
    EXPECT_EQ(store.header().revision, "fp_1");
    EXPECT_EQ(store.header().begun, "2026-01-01");
    store.set_revision("fp_2");  // the first one stays
    EXPECT_EQ(store.header().revision, "fp_1");
  }
  header.endpoint = "http://other/v1";
  EXPECT_THROW(SignalStore::create_or_resume(scratch.path(), header), Error);
}

}  // namespace
}  // namespace alambic
