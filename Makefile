# The front door of an extension: make, make install, make installcheck, with PG_CONFIG= where there are several servers.
# Builds the server library here (PGXS) and the executable through CMake, into build/.
#
#   FORGE_WERROR=OFF   for packagers: warnings are not errors
#   FORGE_EXECUTABLE=OFF  for packagers: the server library only, where there are several servers and one executable
#   TAP_TESTS=         installcheck without the TAP tests (they start servers of their own and do not run as root)

PG_CONFIG ?= pg_config
FORGE_WERROR ?= ON
FORGE_EXECUTABLE ?= ON
FORGE_VERSION := $(shell cat VERSION)

MODULE_big = forge_backup
EXTENSION = extension/forge_backup
DATA = $(wildcard sql/forge_backup--*.sql)

pg_version := $(shell $(PG_CONFIG) --version)
ifeq ($(pg_version),)
$(error cannot run "$(PG_CONFIG)": install postgresql-server-dev-15 or give PG_CONFIG=/path/of/pg_config)
endif
pg_major := $(shell echo '$(pg_version)' | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
ifneq ($(shell test $(pg_major) -ge 15 && echo yes),yes)
$(error forge_backup needs PostgreSQL 15 or later, "$(PG_CONFIG)" belongs to $(pg_version))
endif
ifneq ($(shell sed -nE "s/^default_version = '(.*)'/\1/p" extension/forge_backup.control),$(shell sed -E 's/^([0-9]+\.[0-9]+).*/\1/' VERSION))
$(error default_version in extension/forge_backup.control does not fit VERSION)
endif

# What the server library uses of the core: no thread, no network, no codec.
server_sources := $(shell grep -E '^(extension|archive_module|bgworker|core/protocol|core/schedule)/' sources.list) \
	$(addprefix core/base/,bytes.cpp lsn.cpp statistics.cpp status.cpp text.cpp)
OBJS = $(addprefix build/pgxs/,$(server_sources:.cpp=.o))

warnings := -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Wnull-dereference
ifneq ($(FORGE_WERROR),OFF)
warnings += -Werror
endif

# Only what is marked is exported; 15 marks nothing by itself. Its headers use "register" and are not ours to warn about.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) '-DPGDLLEXPORT=__attribute__((visibility("default")))' \
	-DFORGE_VERSION='"$(FORGE_VERSION)"' -DFORGE_HELPER_PATH='"$(shell $(PG_CONFIG) --bindir)/forge-backup"'
# The same bytes wherever the sources are.
PG_CXXFLAGS = -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden -Wno-register -ffile-prefix-map='$(CURDIR)'=. $(warnings)
# PGXS links with the C compiler.
SHLIB_LINK = -lstdc++

REGRESS = surface privileges arguments preload
REGRESS_OPTS = --inputdir=test
PROVE_TESTS = $(wildcard test/t/*.pl)
ifneq ($(shell id -u),0)
ifneq ($(PROVE_TESTS),)
TAP_TESTS = 1
endif
endif

EXTRA_CLEAN = build/pgxs
ifneq ($(FORGE_EXECUTABLE),OFF)
EXTRA_CLEAN += build/cmake
endif

# No bitcode: it would need clang, and there is nothing worth inlining into queries.
override with_llvm := no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
# PGXS adds the packager's options to those of C only.
override CXXFLAGS += $(COPT)
PROVE_FLAGS += -I '$(CURDIR)/test/perl'

ccache := $(shell command -v ccache)

# Objects belong to one server: those of another are compiled anew.
server_mark := build/pgxs/server
$(server_mark): FORCE
	@mkdir -p $(@D)
	@echo '$(pg_version) $(bindir)' | cmp -s - $@ || echo '$(pg_version) $(bindir)' >$@

build/pgxs/%.o: %.cpp VERSION Makefile $(server_mark)
	@mkdir -p $(@D)
	$(ccache) $(CXX) $(CXXFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# The library with crash points (core/base/crash_point.h), for test/crash: only what has some is compiled once more.
crash_objects := $(patsubst %.cpp,build/pgxs/crash/%.o,core/base/crash_point.cpp $(shell grep -l FORGE_CRASH_POINT $(server_sources)))

build/pgxs/crash/%.o: %.cpp VERSION Makefile $(server_mark)
	@mkdir -p $(@D)
	$(ccache) $(CXX) $(CXXFLAGS) $(CPPFLAGS) -DFORGE_CRASH_POINTS -MMD -MP -c -o $@ $<

build/pgxs/crash/forge_backup.so: $(crash_objects) $(OBJS)
	$(LINK.shared) -o $@ $(crash_objects) $(filter-out $(subst /crash/,/,$(crash_objects)),$(OBJS)) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK)

-include $(OBJS:.o=.d) $(crash_objects:.o=.d)

ifneq ($(FORGE_EXECUTABLE),OFF)
all: executable
install: install-executable
uninstall: uninstall-executable
endif

# CMake knows what is out of date. The unit tests are configured where their library is there, and built by ./dev test.
.PHONY: FORCE executable crash install-executable uninstall-executable bench
executable:
	@cmake -S . -B build/cmake $(if $(shell command -v ninja),-G Ninja) --log-level=WARNING \
		-DFORGE_WERROR=$(FORGE_WERROR) $(if $(ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=$(ccache)) \
		-DFORGE_TESTS=$(if $(shell pkg-config --exists gtest 2>/dev/null && echo yes),ON,OFF)
	@cmake --build build/cmake --target forge-backup $(if $(shell command -v ninja),-- --quiet)

# Both programs with crash points: build/pgxs/crash/forge_backup.so and build/cmake/crash/forge-backup.
crash: build/pgxs/crash/forge_backup.so executable
	@cmake --build build/cmake --target forge-backup-crash $(if $(shell command -v ninja),-- --quiet)

install-executable: executable
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) build/cmake/forge-backup '$(DESTDIR)$(bindir)/forge-backup'

uninstall-executable:
	rm -f '$(DESTDIR)$(bindir)/forge-backup'

bench:
	./dev bench
