// Leaves the processors to whoever else wants them: a competitor at the usual level 0 gets nine tenths. Disk priority
// follows where the disk's scheduler knows any (ioprio_set(2)). For good; levels that are lower already stay.
#pragma once

namespace forge::cli {

// Of this process. Threads inherit it, so it comes before them.
void lower_priority();
// Of the session too, which counts where sessions compete instead of processes (sched(7), "The autogroup feature"):
// only where there is nobody else in it who wants to get on.
void lower_priority_of_session();

}  // namespace forge::cli
