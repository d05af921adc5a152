#include "alambic/base/workplace.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

class WorkplaceTest : public testing::Test {
 protected:
  WorkplaceTest() {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~WorkplaceTest() override { fs::remove_all(root_); }

  std::string path(const std::string& name) const { return root_ + "/" + name; }
  void put(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    write_file_atomic(path(name), text);
  }
  size_t entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(root_), fs::directory_iterator()));
  }

  std::string root_ = testing::TempDir() + "workplace." + std::to_string(::getpid());
};

TEST_F(WorkplaceTest, TheOldStaysWholeUntilTheNewTakesItsPlace) {
  put("m/weights", "old");
  put("m/leftover", "of the old");
  Workplace place(path("m"), Workplace::Begin::kAnew);
  write_file_atomic(place.path() + "/weights", "new");
  EXPECT_EQ(read_file(path("m/weights")), "old");
  place.publish();
  EXPECT_EQ(read_file(path("m/weights")), "new");
  EXPECT_FALSE(file_exists(path("m/leftover")));
  EXPECT_FALSE(file_exists(path("m/partial.txt")));
  EXPECT_EQ(entries(), 1U);
}

TEST_F(WorkplaceTest, WorkThatWasLeftIsGoneOnWithOrBegunAnew) {
  put("m/weights", "old");
  {
    Workplace place(path("m"), Workplace::Begin::kAnew);
    write_file_atomic(place.path() + "/half", "done");
  }
  EXPECT_TRUE(Workplace::is_begun(path("m")));
  {
    const Workplace place(path("m"), Workplace::Begin::kGoOn);
    EXPECT_EQ(read_file(place.path() + "/half"), "done");
  }
  const Workplace place(path("m"), Workplace::Begin::kAnew);
  EXPECT_FALSE(file_exists(place.path() + "/half"));
  EXPECT_EQ(read_file(path("m/weights")), "old");
}

TEST_F(WorkplaceTest, AKilledSwapIsSettled) {
  // As a kill leaves it between the exchange and the removal of the old.
  put("m/weights", "new");
  put("m/partial.txt", "mark");
  put("m.partial/weights", "old");
  settle_swap(path("m"));
  EXPECT_EQ(read_file(path("m/weights")), "new");
  EXPECT_EQ(entries(), 1U);
  EXPECT_FALSE(file_exists(path("m/partial.txt")));
}

TEST_F(WorkplaceTest, APlaceThatHoldsSomethingElseOrIsInUseIsRefused) {
  put("m.partial/photo.jpg", "dear");
  EXPECT_THROW(Workplace(path("m"), Workplace::Begin::kAnew), Error);
  EXPECT_EQ(read_file(path("m.partial/photo.jpg")), "dear");
  const Workplace first(path("other"), Workplace::Begin::kAnew);
  EXPECT_THROW(Workplace(path("other"), Workplace::Begin::kAnew), Error);
}

TEST_F(WorkplaceTest, WhatFailsLeavesNothingAndSpeaksOfTheFinalName) {
  const std::string name = path("copy");
  try {
    make_beside(name + "/", Made::kDirectory, [&](const std::string& at) {
      make_directories(at);
      fail(ErrorCode::kIo, "[{}/weights] cannot write: no room", at);
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "[" + name + "//weights] cannot write: no room");
  }
  EXPECT_EQ(entries(), 0U);
}

TEST_F(WorkplaceTest, WhatCannotBeMadeIsNamedAsItWasGiven) {
  put("file", "x");
  try {
    const Workplace place(path("file/m"), Workplace::Begin::kAnew);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "[" + path("file/m") + "] cannot be made: Not a directory");
  }
}

TEST_F(WorkplaceTest, AFileIsMadeBesideToo) {
  make_beside(path("x.gguf"), Made::kFile,
              [](const std::string& at) { write_file_atomic(at, "bytes"); });
  EXPECT_EQ(read_file(path("x.gguf")), "bytes");
  EXPECT_EQ(entries(), 1U);
  EXPECT_THROW(make_beside(path("x.gguf"), Made::kFile, [](const std::string&) {}), Error);
}

TEST_F(WorkplaceTest, ALinkToADirectoryStaysALink) {
  put("real/weights", "old");
  fs::create_directory_symlink("real", path("link"));
  EXPECT_EQ(settled_name(path("link/")), fs::canonical(path("real")).string());
  EXPECT_EQ(settled_name("a/b//"), "a/b");
}

TEST_F(WorkplaceTest, DevicesAndLinksAreWrittenThrough) {
  write_file_atomic("/dev/null", "nothing");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THROW(write_file_atomic("/dev/full", "too much"), Error);
  put("real", "old");
  fs::create_symlink("real", path("link"));
  write_file_atomic(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read_file(path("real")), "new");
  EXPECT_THROW(write_file_atomic(root_, "text"), Error);
}

TEST_F(WorkplaceTest, TemporaryFilesOfAKilledProgramDoNotTakeAName) {
  put("m/recipe.toml.tmp.123", "half");
  EXPECT_FALSE(is_taken(path("m")));
  put("m/.hidden", "");
  EXPECT_TRUE(is_taken(path("m")));
}

}  // namespace
}  // namespace alambic
