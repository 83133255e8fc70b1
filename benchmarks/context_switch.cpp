// A switch of registers three ways: ours (csrc/bench), Boost.Context's fcontext, the C library's ucontext.
//
// Each is measured twice, as in csrc/bench: between two places in one and the same loop, and between two
// loops.  Prints a line for each run: who, which loops, nanoseconds for a switch.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <vector>

#include <boost/context/detail/fcontext.hpp>
#include <ucontext.h>

extern "C" {
double gs_bench_raw(long count);
double gs_bench_raw_apart(long count);
}

namespace {

namespace context = boost::context::detail;

constexpr long warm_up = 1000;
constexpr std::size_t stack_size = 64 * 1024;

double now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// fcontext: a switch hands over where it came from.

__attribute__((noinline)) context::transfer_t take_turns(context::transfer_t other, long turns)
{
    while (turns-- > 0) {
        other = context::jump_fcontext(other.fctx, nullptr);
    }
    return other;
}

void live_in_the_same_loop(context::transfer_t other)
{
    take_turns(other, std::numeric_limits<long>::max());
    std::abort();
}

void live_in_another_loop(context::transfer_t other)
{
    for (;;) {
        other = context::jump_fcontext(other.fctx, nullptr);
    }
}

double fcontext(long count, void (*live)(context::transfer_t))
{
    std::vector<char> stack(stack_size);
    context::transfer_t other{context::make_fcontext(stack.data() + stack_size, stack_size, live), nullptr};
    other = take_turns(other, warm_up);
    const double begin = now();
    take_turns(other, count / 2);
    return (now() - begin) / static_cast<double>(count / 2 * 2);
}

// ucontext: switches the signal mask as well, by a system call.

ucontext_t first, second;

__attribute__((noinline)) void take_turns(ucontext_t *here, ucontext_t *there, long turns)
{
    while (turns-- > 0) {
        swapcontext(here, there);
    }
}

void live_in_the_same_loop()
{
    take_turns(&second, &first, std::numeric_limits<long>::max());
    std::abort();
}

void live_in_another_loop()
{
    for (;;) {
        swapcontext(&second, &first);
    }
}

double ucontext(long count, void (*live)())
{
    std::vector<char> stack(stack_size);
    getcontext(&second);
    second.uc_stack.ss_sp = stack.data();
    second.uc_stack.ss_size = stack_size;
    second.uc_link = nullptr;
    makecontext(&second, live, 0);
    take_turns(&first, &second, warm_up);
    const double begin = now();
    take_turns(&first, &second, count / 2);
    return (now() - begin) / static_cast<double>(count / 2 * 2);
}

void print(const char *who, const char *loops, double seconds)
{
    std::printf("%s %s %.3f\n", who, loops, seconds * 1e9);
}

} // namespace

int main(int argc, char **argv)
{
    constexpr long count = 4'000'000, count_of_system_calls = 200'000;
    const int runs = argc > 1 ? std::atoi(argv[1]) : 1;
    for (int run = 0; run < runs; run++) {
        print("greenswitch", "same", gs_bench_raw(count));
        print("fcontext", "same", fcontext(count, live_in_the_same_loop));
        print("ucontext", "same", ucontext(count_of_system_calls, live_in_the_same_loop));
        print("greenswitch", "apart", gs_bench_raw_apart(count));
        print("fcontext", "apart", fcontext(count, live_in_another_loop));
        print("ucontext", "apart", ucontext(count_of_system_calls, live_in_another_loop));
    }
}
