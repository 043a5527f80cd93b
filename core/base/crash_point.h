// Named places where a test kills the process: what a power cut, the out-of-memory killer or an operator may do at any
// moment, done at the worst ones.
//
// An ordinary build has nothing of it: the macro is empty, and test/check_sources looks for traces. The build for
// test/crash compiles the sources that have a point once more, with FORGE_CRASH_POINTS defined. There the process that
// passes a point ends by SIGKILL if the directory named by the environment variable FORGE_CRASH_POINTS has a file of
// the point's name. The file is removed first, so a point fires once; where it holds a number n, at the n-th passage of
// any process or thread.
//
// Only sources of core and of the server library have points. A name is used once.
#pragma once

#ifdef FORGE_CRASH_POINTS
namespace forge {
void pass_crash_point(const char* name);
}
#define FORGE_CRASH_POINT(name) ::forge::pass_crash_point(name)
#else
#define FORGE_CRASH_POINT(name) static_cast<void>(0)
#endif
