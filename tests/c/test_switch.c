/* The machine layer alone: registers, control words, staying, stack alignment.
 *
 * Two places on one stack, far enough apart that neither writes where the other lies, so that no memory
 * has to be exchanged. */
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "switch/gs_switch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#define PLAIN __attribute__((noinline, no_sanitize("address")))
#else
#define PLAIN __attribute__((noinline))
#endif

#if defined(__x86_64__)
enum { REGISTERS = 6, FLOATS = 0 };
#else
enum { REGISTERS = 10, FLOATS = 8 };
#endif

typedef struct pattern {
    uint64_t registers[10]; /* rbx rbp r12-r15; x19-x28 */
    uint64_t floats[8];     /* d8-d15 */
} pattern;

/* gs_switch(context, below, move, arrive) with `before` in every callee-saved register at the call; what is in
 * them after it goes to `after`. */
void *switch_with(void *context, void *below, gs_move *move, gs_arrive *arrive, const pattern *before,
                  pattern *after);

#if defined(__x86_64__)
__asm__(
    ".text\n"
    ".type switch_with, @function\n"
    "switch_with:\n"
    "    pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    "    pushq %r9\n"
    "    movq 0(%r8), %rbx\n movq 8(%r8), %rbp\n movq 16(%r8), %r12\n"
    "    movq 24(%r8), %r13\n movq 32(%r8), %r14\n movq 40(%r8), %r15\n"
    "    call gs_switch\n"
    "    popq %r8\n"
    "    movq %rbx, 0(%r8)\n movq %rbp, 8(%r8)\n movq %r12, 16(%r8)\n"
    "    movq %r13, 24(%r8)\n movq %r14, 32(%r8)\n movq %r15, 40(%r8)\n"
    "    popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n"
    "    ret\n"
    ".size switch_with, .-switch_with\n");
#else
__asm__(
    ".text\n"
    ".type switch_with, %function\n"
    "switch_with:\n"
    "    sub sp, sp, #192\n"
    "    stp x29, x30, [sp]\n stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n"
    "    stp x23, x24, [sp, #48]\n stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    str x5, [sp, #160]\n"
    "    ldp x19, x20, [x4]\n ldp x21, x22, [x4, #16]\n ldp x23, x24, [x4, #32]\n"
    "    ldp x25, x26, [x4, #48]\n ldp x27, x28, [x4, #64]\n"
    "    ldp d8, d9, [x4, #80]\n ldp d10, d11, [x4, #96]\n ldp d12, d13, [x4, #112]\n"
    "    ldp d14, d15, [x4, #128]\n"
    "    bl gs_switch\n"
    "    ldr x4, [sp, #160]\n"
    "    stp x19, x20, [x4]\n stp x21, x22, [x4, #16]\n stp x23, x24, [x4, #32]\n"
    "    stp x25, x26, [x4, #48]\n stp x27, x28, [x4, #64]\n"
    "    stp d8, d9, [x4, #80]\n stp d10, d11, [x4, #96]\n stp d12, d13, [x4, #112]\n"
    "    stp d14, d15, [x4, #128]\n"
    "    ldp d14, d15, [sp, #144]\n ldp d12, d13, [sp, #128]\n ldp d10, d11, [sp, #112]\n"
    "    ldp d8, d9, [sp, #96]\n ldp x27, x28, [sp, #80]\n ldp x25, x26, [sp, #64]\n"
    "    ldp x23, x24, [sp, #48]\n ldp x21, x22, [sp, #32]\n ldp x19, x20, [sp, #16]\n"
    "    ldp x29, x30, [sp]\n"
    "    add sp, sp, #192\n"
    "    ret\n"
    ".size switch_with, .-switch_with\n");
#endif

static struct {
    void *sp[2]; /* of place 0, main, and place 1 */
    int here;
    int refuse;  /* stay, this time */
    int visits;  /* how often place 1 was entered or resumed */
} state;

static void
fail(const char *what)
{
    printf("test_switch: %s\n", what);
    exit(1);
}

PLAIN static void *
move_other(void *context, void *sp)
{
    if (context != &state) {
        fail("move() got another context");
    }
    if ((uintptr_t)sp % 16 != 0 || (uintptr_t)__builtin_frame_address(0) % 16 != 0) {
        fail("the stack is not aligned");
    }
    if (state.refuse) {
        return NULL;
    }
    state.sp[state.here] = sp;
    state.here = !state.here;
    return state.sp[state.here];
}

PLAIN static void *
move_start(void *context, void *sp)
{
    (void)context;
    if (state.refuse) {
        return NULL;
    }
    state.sp[state.here] = sp;
    state.here = !state.here;
    return sp;
}

PLAIN static void *
arrive(void *context)
{
    if (context != NULL && context != &state) {
        fail("arrive() got another context");
    }
    if ((uintptr_t)__builtin_frame_address(0) % 16 != 0) {
        fail("the stack of arrive() is not aligned");
    }
    return context;
}

static void
fill(pattern *p, uint64_t seed)
{
    for (int i = 0; i < 10; i++) {
        p->registers[i] = seed * 0x9e3779b97f4a7c15u + (uint64_t)i;
    }
    for (int i = 0; i < 8; i++) {
        p->floats[i] = seed * 0xc2b2ae3d27d4eb4fu + (uint64_t)i;
    }
}

/* One switch, with everything in it checked after the return. */
PLAIN static void
visit(uint64_t seed, int rounding)
{
    pattern before, after;
    memset(&after, 0, sizeof after);
    fill(&before, seed);
    fesetround(rounding);
    if (switch_with(&state, state.sp[!state.here], move_other, arrive, &before, &after) != &state) {
        fail("gs_switch did not return what arrive() did");
    }
    if (memcmp(before.registers, after.registers, REGISTERS * 8) != 0) {
        fail("an integer register was lost");
    }
    if (memcmp(before.floats, after.floats, FLOATS * 8) != 0) {
        fail("a floating-point register was lost");
    }
    if (fegetround() != rounding) {
        fail("the rounding mode was lost");
    }
#if defined(__x86_64__)
    unsigned short expected = rounding == FE_UPWARD ? 0x0800 : rounding == FE_DOWNWARD ? 0x0400 : 0;
    unsigned short word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    if ((word & 0x0c00) != expected) {
        fail("the x87 control word was lost");
    }
#endif
}

PLAIN static void
place_1(void *context)
{
    if (context != &state) {
        fail("enter() got another context");
    }
    if ((uintptr_t)__builtin_frame_address(0) % 16 != 0) {
        fail("the stack of enter() is not aligned");
    }
    for (uint64_t i = 0;; i++) {
        state.visits++;
        visit(1000003 + i, i % 3 == 0 ? FE_UPWARD : FE_TONEAREST);
    }
}

/* Start place 1 some 64 KiB below, so that calls of main do not reach it. */
PLAIN static void
start_below(int levels)
{
    volatile char space[16384];
    space[levels] = (char)levels;
    if (levels > 0) {
        start_below(levels - 1);
    }
    else if (gs_start(&state, move_start, place_1) != &state) {
        fail("gs_start did not return what arrive() did");
    }
    if (space[levels] != (char)levels) {
        fail("the stack was overwritten");
    }
}

PLAIN static void
never(void *context)
{
    (void)context;
    fail("a start that was refused has happened");
}

int
main(void)
{
    state.refuse = 1;
    if (gs_start(&state, move_start, never) != NULL) {
        fail("gs_start did not stay");
    }
    state.refuse = 0;
    start_below(4);
    if (state.here != 0 || state.visits != 1) {
        fail("the start did not come back");
    }
    for (uint64_t i = 0; i < 100000; i++) {
        visit(i, i % 2 == 0 ? FE_DOWNWARD : FE_TONEAREST);
    }
    if (state.visits != 100001) {
        fail("the other place was not visited each time");
    }
    /* Staying, with `below` far down and right here. */
    state.refuse = 1;
    pattern before, after;
    fill(&before, 42);
    if (switch_with(&state, state.sp[1], move_other, arrive, &before, &after) != NULL ||
        memcmp(before.registers, after.registers, REGISTERS * 8) != 0 ||
        switch_with(&state, (void *)UINTPTR_MAX, move_other, arrive, &before, &after) != NULL ||
        memcmp(before.floats, after.floats, FLOATS * 8) != 0) {
        fail("gs_switch did not stay");
    }
    return 0;
}
